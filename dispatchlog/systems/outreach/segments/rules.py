"""A rule document as react-querybuilder writes it, read into a tree of checked values. Knows no SQL and no patient.

A group is {"combinator": "and" | "or", "not": bool, "rules": [...]}; a rule is {"field", "operator", "value"}. About what
there are several of (messages, appointments, answers, consents, stops, events) a rule is {"field": "messages",
"operator": "", "match": {"mode": "some" | "all" | "none" | "atLeast" | "atMost" | "exactly", "threshold": n}, "value":
<group>}, its group's fields being those of one of them. `id`, `path`, `disabled`, `muted` and `valueSource: "value"` are
taken; a disabled or muted rule is left out as react-querybuilder leaves it out. What else a document holds is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.segments import fields, rule_values
from dispatchlog.systems.outreach.segments.fields import Field
from dispatchlog.systems.outreach.segments.rule_values import Place, refused

__all__ = ["MOST_DEPTH", "MOST_RULES", "Group", "Match", "Rule", "named_segments", "parse", "size_of"]

MOST_RULES = 200
MOST_DEPTH = 12
MOST_THRESHOLD = 10_000

_PASSED = frozenset({"id", "path", "disabled", "muted"})
_GROUP = _PASSED | {"combinator", "not", "rules"}
_RULE = _PASSED | {"field", "operator", "value", "valueSource"}


@dataclass(frozen=True, slots=True)
class Rule:
    """One condition. `value` is of the field's kind: str, int, bool, date, UUID, `rule_values.Span`, a pair, a tuple of
    several, or None. `place` is where it stands in its document."""

    field: str
    operator: str
    value: Any
    place: Place = dataclass_field(default=Place(), compare=False)


@dataclass(frozen=True, slots=True)
class Match:
    """A condition on how many of a collection's things fulfil `group`. `mode`: some, all, none, atLeast, atMost, exactly;
    `threshold` for the last three."""

    field: str
    mode: str
    threshold: int
    group: Group


@dataclass(frozen=True, slots=True)
class Group:
    """Conditions joined by `combinator` ("and", "or"), turned round where `negated`. None of them: everybody."""

    combinator: str
    negated: bool
    rules: Sequence[Rule | Match | Group]


def parse(document: Mapping[str, Any]) -> Group:
    """The document as a checked tree.

    Raises:
        OutreachError: INVALID_RULES (no group, an unknown key, too many rules, too deep), UNKNOWN_FIELD, UNKNOWN_OPERATOR,
            WRONG_TYPE (the value is not the field's kind), UNKNOWN_VALUE; `field` is the place as a path from the root,
            such as "rules[2].rules[0].value", and `present` has {"place": [2, 0], "known": [...]} where that helps.
    """
    if isinstance(document, Mapping) and _is_left_out(document, Place()):
        raise refused("the outermost group cannot be left out", "INVALID_RULES", Place())
    return _Reader().group(document, Place(), {each.name: each for each in fields.every_field()}, depth=1)


def named_segments(group: Group) -> list[tuple[UUID, Place]]:
    """The segments that the rules name, each with the place of its rule."""
    found: list[tuple[UUID, Place]] = []
    for each in group.rules:
        if isinstance(each, Group):
            found += named_segments(each)
        elif isinstance(each, Rule) and each.field == fields.SEGMENT:
            named = each.value if isinstance(each.value, tuple) else (each.value,)
            found += [(segment_id, each.place) for segment_id in named]
    return found


def size_of(group: Group) -> int:
    """How many rules and groups there are in it, with itself."""
    found = 1
    for each in group.rules:
        found += size_of(each) if isinstance(each, Group) else 1 + size_of(each.group) if isinstance(each, Match) else 1
    return found


class _Reader:
    """One document's reading: counts its rules on the way."""

    def __init__(self) -> None:
        self._rules = 0

    def group(self, document: Any, place: Place, known: Mapping[str, Field], *, depth: int) -> Group:
        if not isinstance(document, Mapping) or "rules" not in document:
            raise refused('a group has "combinator" and "rules"', "INVALID_RULES", place)
        if depth > MOST_DEPTH:
            raise refused(f"groups may stand in each other {MOST_DEPTH} deep", "INVALID_RULES", place)
        _check_keys(document, _GROUP, place)
        combinator, negated, rules = document.get("combinator", "and"), document.get("not", False), document["rules"]
        if combinator not in ("and", "or"):
            raise refused(
                'the combinator is "and" or "or"', "INVALID_RULES", place.at("combinator"), known=("and", "or")
            )
        if not isinstance(negated, bool):
            raise refused('"not" is true or false', "INVALID_RULES", place.at("not"))
        if not isinstance(rules, list | tuple):
            raise refused('"rules" is a list', "INVALID_RULES", place.at("rules"))
        read = [self._one(each, place.rule(number), known, depth=depth) for number, each in enumerate(rules)]
        return Group(combinator, negated, tuple(each for each in read if each is not None))

    def _one(
        self, document: Any, place: Place, known: Mapping[str, Field], *, depth: int
    ) -> Rule | Match | Group | None:
        self._rules += 1
        if self._rules > MOST_RULES:
            raise refused(f"a segment has at most {MOST_RULES} rules and groups", "INVALID_RULES", place)
        if not isinstance(document, Mapping):
            raise refused("a rule or group is an object", "INVALID_RULES", place)
        if _is_left_out(document, place):
            return None
        if "rules" in document:
            return self.group(document, place, known, depth=depth + 1)
        field = _field_of(document, place, known)
        if field.kind == fields.COLLECTION:
            return self._match(document, place, field, depth=depth)
        _check_keys(document, _RULE, place)
        operator = _operator_of(document, place, field)
        value = rule_values.read(document.get("value"), place.at("value"), field, operator)
        return Rule(field.name, operator, value, place)

    def _match(self, document: Mapping[str, Any], place: Place, field: Field, *, depth: int) -> Match:
        _check_keys(document, _RULE | {"match"}, place)
        if document.get("operator") not in (None, "", "="):
            raise refused(
                "it has a match instead of an operator", "UNKNOWN_OPERATOR", place.at("operator"), known=("",)
            )
        mode, threshold = _how_many(document.get("match"), place.at("match"))
        inner = {each.name: each for each in field.fields}
        group = self.group(document.get("value"), place.at("value"), inner, depth=depth + 1)
        return Match(field.name, mode, threshold, group)


def _is_left_out(document: Mapping[str, Any], place: Place) -> bool:
    for key in ("disabled", "muted"):
        if not isinstance(document.get(key, False), bool):
            raise refused(f'"{key}" is true or false', "INVALID_RULES", place.at(key))
    return bool(document.get("disabled") or document.get("muted"))


def _check_keys(document: Mapping[str, Any], known: frozenset[str], place: Place) -> None:
    unknown = [key for key in document if key not in known]
    if unknown:
        raise refused("there is no such key here", "INVALID_RULES", place.named(unknown[0]), known=sorted(known))
    if document.get("valueSource", "value") != "value":
        raise refused("a rule compares with a value", "INVALID_RULES", place.at("valueSource"), known=("value",))


def _field_of(document: Mapping[str, Any], place: Place, known: Mapping[str, Field]) -> Field:
    name = document.get("field")
    if not isinstance(name, str) or name not in known:
        raise refused("there is no such field here", "UNKNOWN_FIELD", place.at("field"), known=tuple(known))
    return known[name]


def _operator_of(document: Mapping[str, Any], place: Place, field: Field) -> str:
    operator = document.get("operator")
    if not isinstance(operator, str) or operator not in field.operators:
        words = f"{field.label} cannot be asked so"
        raise refused(words, "UNKNOWN_OPERATOR", place.at("operator"), known=tuple(field.operators))
    return operator


def _how_many(document: Any, place: Place) -> tuple[str, int]:
    if not isinstance(document, Mapping) or set(document) - {"mode", "threshold"}:
        raise refused('a match has "mode" and "threshold"', "INVALID_RULES", place)
    mode = document.get("mode")
    if not isinstance(mode, str) or mode not in fields.MODES:
        raise refused("there is no such match", "UNKNOWN_VALUE", place.at("mode"), known=tuple(fields.MODES))
    if mode in ("some", "all", "none"):
        return mode, 0
    threshold = document.get("threshold")
    if isinstance(threshold, bool) or not isinstance(threshold, int):
        raise refused("how many is a whole number", "WRONG_TYPE", place.at("threshold"))
    if not (1 if mode == "atLeast" else 0) <= threshold <= MOST_THRESHOLD:
        raise refused(f"how many is 1 to {MOST_THRESHOLD}", "UNKNOWN_VALUE", place.at("threshold"))
    return mode, threshold
