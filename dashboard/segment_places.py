"""Places in the form of a segment's rules, such as "all.rules.1": what stands there, and what its buttons do to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import deepcopy
from types import MappingProxyType

from dashboard.segment_draft import MOST_PARTS, ROOT, Document, new_group, new_rule


def acted(document: Document, act: str) -> tuple[Document, str]:
    """The document after one of the buttons, such as "add-rule@all.rules.1", and the place to go on at."""
    name, _, place = act.partition("@")
    found = _at(document, place)
    if found is None or name not in _ACTS:
        return document, ""
    group, number = found
    if name in _ADDED:
        target = group if number is None else group["rules"][number]
        return document, _ADDED[name](target, place) if "rules" in target else ""
    return document, "" if number is None else _CHANGED[name](group, number, place)


def _add_rule(group: Document, place: str) -> str:
    group["rules"].append(new_rule())
    return f"{place}.rules.{len(group['rules']) - 1}"


def _add_group(group: Document, place: str) -> str:
    group["rules"].append({**new_group(), "rules": [new_rule()]})
    return f"{place}.rules.{len(group['rules']) - 1}.rules.0"


def _copy(group: Document, number: int, place: str) -> str:
    group["rules"].insert(number + 1, deepcopy(group["rules"][number]))
    return f"{place.rpartition('.')[0]}.{number + 1}"


def _leave_out(group: Document, number: int, place: str) -> str:
    rule = group["rules"][number]
    if not rule.pop("disabled", False):
        rule["disabled"] = True
    return place


def _remove(group: Document, number: int, place: str) -> str:
    del group["rules"][number]
    return place


_ADDED: Mapping[str, Callable[[Document, str], str]] = MappingProxyType(
    {"add-rule": _add_rule, "add-group": _add_group}
)
_CHANGED: Mapping[str, Callable[[Document, int, str], str]] = MappingProxyType(
    {"copy": _copy, "off": _leave_out, "remove": _remove}
)
_ACTS = frozenset((*_ADDED, *_CHANGED))


def control_of(document: Document, path: str) -> str:
    """The control in the form of what stands at a path in the document: "rules[2].match.threshold" is entered at
    "all.rules.2.threshold"; the field of the rule, or the word of the group, where it has no control of its own."""
    path = path.replace("[", ".").replace("]", "").removeprefix("rules.rules.").removeprefix("rules.")
    parts = [ROOT, "rules", *path.split(".")] if path[:1].isdecimal() else [ROOT]
    rest: list[str] = []
    while (found := _at(document, ".".join(parts))) is None:
        rest.insert(0, parts.pop())
    group, number = found
    target = group if number is None else group["rules"][number]
    if "rules" in target:
        return f"{'.'.join(parts)}.join"
    own = ["mode", "threshold"] if isinstance(target.get("match"), dict) else ["operator", "value"]
    part = next((each for each in rest if each in own), "field")
    return f"{'.'.join(parts)}.{part}"


def _at(document: Document, place: str) -> tuple[Document, int | None] | None:
    """The group of a place, and the number of the rule in it (None: the group itself); None where there is none."""
    parts = place.split(".")
    if parts[0] != ROOT or len(parts) > MOST_PARTS:
        return None
    group, number = document, None
    rest = parts[1:]
    while rest:
        head, rest = rest[0], rest[1:]
        if head == "value" and number is not None and _has_group(group["rules"][number]):
            group, number = group["rules"][number]["value"], None
        elif head == "rules" and rest and rest[0].isascii() and rest[0].isdecimal() and len(rest[0]) <= 4:
            group = group if number is None else group["rules"][number]
            number, rest = int(rest[0]), rest[1:]
            if number >= len(group.get("rules", ())):
                return None
        else:
            return None
    return group, number


def _has_group(rule: Document) -> bool:
    value = rule.get("value")
    return isinstance(value, dict) and "rules" in value
