"""What a segment means, in one sentence: "Patients aged 65 or more who were sent no message within the last 30 days".

Owns the sentence. It is made from the document as it was written, which has been found right before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard.segment_phrases import (
    OWN,
    THINGS,
    Phrase,
    choice_word,
    instant_phrase,
    number_phrase,
    text_phrase,
    value_words,
)
from dashboard.segment_queries import NAMED, named_in, names_of

_MODES = {"atLeast": "at least", "atMost": "at most", "exactly": "exactly"}
_ALL_BUT = "are not among those who"

Names = Mapping[str, str]


def meaning(document: Mapping[str, Any], *, organization: str = "") -> str:
    """The sentence, with the names of clinics, providers, campaigns and segments looked up."""
    names: dict[str, str] = {}
    for field, ids in named_in(document).items():
        names |= names_of(field, ids)
    return sentence(document, names=names, organization=organization)


def sentence(document: Mapping[str, Any], *, names: Names, organization: str = "") -> str:
    """The sentence, with these names by id."""
    rules = _used(document)
    who = f"patients of {organization}" if organization else "patients"
    if not rules:
        return f"All {who}."
    aged = ""
    if _word(document) == "and" and not document.get("not") and len(rules) > 1:
        aged = next((_aged(each) for each in rules if _aged(each)), "")
        rules = [each for each in rules if not aged or _aged(each) != aged]
    clause = _joined({**document, "rules": rules}, names, depth=0)
    return f"{who[0].upper()}{who[1:]}{aged} who {clause}."


def _used(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = [each for each in group.get("rules", ()) if not (each.get("disabled") or each.get("muted"))]
    return [each for each in found if "rules" not in each or _used(each)]


def _word(group: Mapping[str, Any]) -> str:
    return str(group.get("combinator", "and"))


def _aged(rule: Mapping[str, Any]) -> str:
    words = {">=": "{} or more", ">": "more than {}", "<": "under {}", "<=": "{} or less", "=": "{}"}
    if rule.get("field") != "age" or rule.get("operator") not in words:
        return ""
    return f" aged {words[rule['operator']].format(rule.get('value'))}"


def _joined(group: Mapping[str, Any], names: Names, *, depth: int) -> str:
    clauses = [_clause(each, names, depth=depth + 1) for each in _used(group)]
    word = _word(group)
    if group.get("not"):
        if word == "or" and depth == 0 and len(clauses) > 1 and not any("rules" in each for each in _used(group)):
            return f"neither {_listed(clauses, 'nor')}"
        return f"{_ALL_BUT} {_listed(clauses, word)}"
    return _listed(clauses, word)


def _clause(rule: Mapping[str, Any], names: Names, *, depth: int) -> str:
    if "rules" in rule:
        inner = _joined(rule, names, depth=depth)
        return f"({inner})" if len(_used(rule)) > 1 else inner
    if rule["field"] in THINGS and isinstance(rule["value"], Mapping):
        return _counted(rule, names)
    return _phrase(OWN, rule, names)


def _phrase(phrases: Mapping[str, Phrase], rule: Mapping[str, Any], names: Names) -> str:
    field, operator, value = str(rule["field"]), str(rule["operator"]), rule.get("value")
    phrase = phrases.get(field) or Phrase(f"have the {field.replace('_', ' ')} {{}}")
    if phrase.kind == "instant":
        return instant_phrase(phrase, operator, value)
    if phrase.kind == "number":
        return number_phrase(phrase, operator, value)
    if phrase.kind == "boolean":
        yes = (value in (True, "true")) == (operator != "!=")
        return phrase.yes if yes else phrase.no
    words = value_words(value, lambda each: names.get(each, each) if field in NAMED else choice_word(field, each))
    return text_phrase(phrase, operator, words, several=isinstance(value, list) and len(value) > 1)


def _counted(rule: Mapping[str, Any], names: Names) -> str:
    thing = THINGS[str(rule["field"])]
    match = rule.get("match") or {"mode": "some"}
    mode, threshold = match["mode"], match.get("threshold", 1)
    where = _things(rule["value"], thing.phrases, names, depth=0)
    where = f" {where}" if where else ""
    if mode == "none" or (mode in ("atMost", "exactly") and int(threshold) == 0):
        return f"{thing.verb} no {thing.one}{where}"
    if mode == "all":
        return f"{thing.verb} no {thing.one} but those{where}" if where else f"{thing.verb} any or no {thing.many}"
    if mode == "some":
        return f"{thing.verb} {thing.a} {thing.one}{where}"
    noun = thing.one if int(threshold) == 1 else thing.many
    return f"{thing.verb} {_MODES[mode]} {threshold} {noun}{where}"


def _things(group: Mapping[str, Any], phrases: Mapping[str, Phrase], names: Names, *, depth: int) -> str:
    found = []
    for each in _used(group):
        if "rules" in each:
            inner = _things(each, phrases, names, depth=depth + 1)
            found.append(f"({inner})" if len(_used(each)) > 1 and not each.get("not") else inner)
        else:
            found.append(_phrase(phrases, each, names))
    if not found:
        return ""
    plain_and = _word(group) == "and" and not group.get("not")
    words = _listed(found, "and", close=True) if plain_and else _listed(found, _word(group))
    return f"not ({words})" if group.get("not") else words


def _listed(words: Sequence[str], last: str, *, close: bool = False) -> str:
    """Such as "a, b and c"; `close`: two stand beside each other without a word between."""
    if len(words) == 2 and close and not words[1].startswith(("sent", "not", "opened", "answered")):
        return " ".join(words)
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"
