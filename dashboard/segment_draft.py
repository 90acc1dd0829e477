"""The rules of a segment as a form has them: read from fields that are named by their place. Stores nothing.

A group at `place` has `place.join` ("and", "or", "not-and", "not-or") and rules at `place.rules.0`, `place.rules.1`, ...; a
rule has `.field`, `.operator` and its value; one about several things `.mode`, `.threshold` and a group at `.value`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from werkzeug.datastructures import MultiDict

from dashboard.segment_shapes import Shape, empty, entered, is_empty, reshaped, shape_of
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments.fields import COLLECTION, Field
from dispatchlog.systems.outreach.segments.rules import MOST_DEPTH, MOST_RULES, parse

ROOT = "all"
JOINS = ("and", "or", "not-and", "not-or")
COUNTED = ("atLeast", "atMost", "exactly")
MODES = ("some", "none", "all", *COUNTED)
MOST_PARTS = 4 * (MOST_DEPTH + 4)
_MOST_NAMES = 12 * (MOST_RULES + 20)

Document = dict[str, Any]
Fields = Mapping[str, Field]


def by_name(fields: Sequence[Field]) -> dict[str, Field]:
    """Fields by their names."""
    return {each.name: each for each in fields}


def new_group() -> Document:
    """A group without rules."""
    return {"combinator": "and", "not": False, "rules": []}


def new_rule() -> Document:
    """A rule of which nothing is chosen."""
    return {"field": "", "operator": "", "value": ""}


def read(form: MultiDict[str, str], fields: Sequence[Field]) -> Document:
    """The document that the form's fields say, with whatever is unfinished or wrong in it.

    Raises:
        OutreachError: INVALID_RULES where it has far more fields than rules may have.
    """
    names = [name for name in form if name.startswith(f"{ROOT}.")]
    if len(names) > _MOST_NAMES or any(name.count(".") > MOST_PARTS for name in names):
        raise OutreachError(f"at most {MOST_RULES} rules, {MOST_DEPTH} deep, can be asked", code="INVALID_RULES")
    return _group(form, ROOT, by_name(fields), _children(names))


def unfinished(document: Document, fields: Sequence[Field], place: str = ROOT) -> dict[str, str]:
    """What has yet to be chosen, by its place, each in words."""
    found: dict[str, str] = {}
    known = by_name(fields)
    for number, rule in enumerate(document["rules"]):
        here = f"{place}.rules.{number}"
        if rule.get("disabled"):
            continue
        if "rules" in rule:
            found |= unfinished(rule, fields, here)
        elif not rule["field"]:
            found[f"{here}.field"] = "Choose what the rule asks about."
        elif (field := known.get(rule["field"])) is None:
            continue
        elif field.kind == COLLECTION:
            if rule["match"]["mode"] in COUNTED and rule["match"]["threshold"] == "":
                found[f"{here}.threshold"] = "Say how many."
            found |= unfinished(rule["value"], field.fields, f"{here}.value")
        elif is_empty(rule["value"], shape_of(field, rule["operator"])):
            found[f"{here}.value"] = "Say which."
    return found


def finished(document: Document, without: Mapping[str, str], place: str = ROOT) -> Document:
    """The document with the rules at these places left out, and groups in which nothing is left. Numbers stay."""
    rules = [_finished_rule(rule, without, f"{place}.rules.{number}") for number, rule in enumerate(document["rules"])]
    return {**document, "rules": rules}


def _finished_rule(rule: Document, without: Mapping[str, str], place: str) -> Document:
    if "rules" in rule:
        inner = finished(rule, without, place)
        gone = bool(inner["rules"]) and all(each.get("disabled") for each in inner["rules"])
        return {**inner, "disabled": True} if gone else inner
    if any(f"{place}.{part}" in without for part in ("field", "value", "threshold")):
        return {**rule, "disabled": True}
    if isinstance(rule["value"], dict) and "rules" in rule["value"]:
        return {**rule, "value": finished(rule["value"], without, f"{place}.value")}
    return rule


def _children(names: Sequence[str]) -> dict[str, list[int]]:
    """The numbers of the rules at each place, in order."""
    found: dict[str, set[int]] = {}
    for name in names:
        parts = name.split(".")
        for at, part in enumerate(parts[:-1]):
            number = parts[at + 1]
            if part == "rules" and number.isascii() and number.isdecimal() and len(number) <= 4:
                found.setdefault(".".join(parts[:at]), set()).add(int(number))
    return {place: sorted(numbers) for place, numbers in found.items()}


def _group(form: MultiDict[str, str], place: str, fields: Fields, children: Mapping[str, list[int]]) -> Document:
    join = form.get(f"{place}.join", "and")
    negated, _, word = (join if join in JOINS else "and").rpartition("-")
    rules = [_rule(form, f"{place}.rules.{number}", fields, children) for number in children.get(place, ())]
    return {"combinator": word, "not": bool(negated), "rules": rules}


def _rule(form: MultiDict[str, str], place: str, fields: Fields, children: Mapping[str, list[int]]) -> Document:
    off = {"disabled": True} if form.get(f"{place}.off") else {}
    if f"{place}.join" in form:
        return {**_group(form, place, fields, children), **off}
    return {**_one_rule(form, place, fields, children), **off}


def _one_rule(form: MultiDict[str, str], place: str, fields: Fields, children: Mapping[str, list[int]]) -> Document:
    name = form.get(f"{place}.field", "")[:64]
    field = fields.get(name)
    if field is None:
        return {**new_rule(), "field": name}
    if field.kind == COLLECTION:
        return _match(form, place, field, children)
    before = fields.get(form.get(f"{place}.was", ""))
    operator = form.get(f"{place}.operator", "")
    operator = operator if operator in field.operators else field.operators[0]
    shape = shape_of(field, operator)
    if before is None or before.name != name:
        return {"field": name, "operator": operator, "value": empty(shape)}
    shown = form.get(f"{place}.shape", "")
    shown_shape = Shape(shown) if shown in {*Shape} else shape
    value = entered(form, place, shown_shape)
    return {"field": name, "operator": operator, "value": reshaped(value, shown_shape, shape)}


def _match(form: MultiDict[str, str], place: str, field: Field, children: Mapping[str, list[int]]) -> Document:
    mode = form.get(f"{place}.mode", "some")
    match: dict[str, Any] = {"mode": mode if mode in MODES else "some"}
    if match["mode"] in COUNTED:
        text = form.get(f"{place}.threshold", "2").strip()[:12]
        match["threshold"] = int(text) if text.isascii() and text.isdecimal() else text
    same = form.get(f"{place}.was", "") == field.name
    group = _group(form, f"{place}.value", by_name(field.fields), children) if same else new_group()
    return {"field": field.name, "operator": "", "match": match, "value": group}


def shown(document: Mapping[str, Any], fields: Sequence[Field], about: str = "") -> Document:
    """A stored document as a form has it: without what other builders add, values as their controls take them.

    Nothing has checked what is left out in it; what no rule could be is dropped. `about`: whose fields these are.
    """
    known = by_name(fields)
    kept = [each for each in document["rules"] if not _is_off(each) or _is_sound(each, about)]
    return {
        "combinator": document.get("combinator", "and"),
        "not": bool(document.get("not")),
        "rules": [_shown_rule(each, known, about) for each in kept],
    }


def _is_off(rule: Mapping[str, Any]) -> bool:
    return bool(rule.get("disabled") or rule.get("muted"))


def _is_sound(rule: Mapping[str, Any], about: str) -> bool:
    group = {"rules": [{key: value for key, value in rule.items() if key not in ("disabled", "muted")}]}
    match = {"field": about, "operator": "", "match": {"mode": "some"}, "value": group}
    try:
        parse({"rules": [match]} if about else group)
    except OutreachError:
        return False
    return True


def _shown_rule(rule: Mapping[str, Any], known: Fields, about: str) -> Document:
    off = {"disabled": True} if _is_off(rule) else {}
    if "rules" in rule:
        return {**shown(rule, [*known.values()], about), **off}
    name, operator, value = str(rule.get("field", "")), str(rule.get("operator", "")), rule.get("value")
    field = known[name]
    if field.kind == COLLECTION and isinstance(value, Mapping):
        match = {key: each for key, each in rule["match"].items() if key == "mode" or rule["match"]["mode"] in COUNTED}
        return {"field": name, "operator": "", "match": match, "value": shown(value, field.fields, name), **off}
    return {"field": name, "operator": operator, "value": value, **off}
