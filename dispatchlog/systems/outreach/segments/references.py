"""Segments that name each other: what each means, and that no way leads back. Reads `patient_segments`; writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import rules
from dispatchlog.systems.outreach.segments.rule_values import Place, refused
from dispatchlog.systems.outreach.segments.rules import Group, Rule

# What is written out for one segment with all that it names, and how long a way of names may be.
MOST_TOGETHER = 1_000
LONGEST_WAY = 10

_READ = "SELECT id, name, rules, organization_id FROM patient_segments WHERE id = ANY (%s::uuid[]) AND is_active"


@dataclass(frozen=True, slots=True)
class _Stored:
    name: str
    group: Group


def resolved(group: Group, *, but: UUID | None = None) -> Mapping[UUID, Group]:
    """What each segment means that these rules name, or that one of those names.

    Raises:
        OutreachError: SEGMENT_NOT_FOUND, SEGMENT_CYCLE (`but` is the segment that the rules are stored as; `present` has
            the "names" on the way), INVALID_RULES where it becomes too much; each with the place of the rule.
    """
    named = rules.named_segments(group)
    if not named:
        return {}
    stored = _read_all([segment_id for segment_id, _ in named])
    for segment_id, place in named:
        _check_way(segment_id, place, stored, but=but)
    if _written_out(group, stored, {}) > MOST_TOGETHER:
        raise refused(
            f"with the segments that they name these are more than {MOST_TOGETHER} rules", "INVALID_RULES", named[-1][1]
        )
    return {segment_id: each.group for segment_id, each in stored.items()}


def meaning_of(segment_id: UUID) -> tuple[Group, Mapping[UUID, Group]]:
    """What a stored segment means, its organisation with it, and the segments that it names.

    Raises:
        OutreachError: SEGMENT_NOT_FOUND; as `resolved`.
    """
    stored = _read_all([segment_id])
    if segment_id not in stored:
        raise OutreachError("there is no such segment", code="SEGMENT_NOT_FOUND", field="segment_id")
    group = stored[segment_id].group
    return group, resolved(group, but=segment_id)


def every_meaning() -> Mapping[UUID, Group]:
    """What each active segment means whose rules can be understood."""
    rows = fetch_dicts("SELECT id, name, rules, organization_id FROM patient_segments WHERE is_active")
    stored = {row["id"]: each for row in rows if (each := _parsed(row)) is not None}
    found = {}
    for segment_id, each in stored.items():
        try:
            _check_way(segment_id, Place(), stored, but=None)
        except OutreachError:
            continue
        if _written_out(each.group, stored, {}) <= MOST_TOGETHER:
            found[segment_id] = each.group
    return found


def users_of(segment_id: UUID) -> Sequence[Mapping[str, Any]]:
    """The active segments that name this one themselves: id, name."""
    rows = fetch_dicts(
        "SELECT id, name, rules, organization_id FROM patient_segments WHERE is_active AND rules::text LIKE %s",
        (f"%{segment_id}%",),
    )
    found = []
    for row in rows:
        each = _parsed(row)
        if each is not None and any(named == segment_id for named, _ in rules.named_segments(each.group)):
            found.append({"id": row["id"], "name": row["name"]})
    return found


def _read_all(wanted: Sequence[UUID]) -> dict[UUID, _Stored]:
    """These segments, and all to which they lead."""
    found: dict[UUID, _Stored] = {}
    missing = set(wanted)
    while missing:
        rows = fetch_dicts(_READ, (list(missing),))
        new = {row["id"]: each for row in rows if (each := _parsed(row)) is not None}
        found |= new
        led_to = {segment_id for each in new.values() for segment_id, _ in rules.named_segments(each.group)}
        missing = led_to - set(found)
        if not new:
            break
    return found


def _parsed(row: Mapping[str, Any]) -> _Stored | None:
    try:
        group = rules.parse(row["rules"])
    except OutreachError:
        return None  # written by a version that knew other fields
    if row["organization_id"] is not None:
        group = Group("and", negated=False, rules=(Rule("organization", "=", row["organization_id"]), group))
    return _Stored(row["name"], group)


def _check_way(segment_id: UUID, place: Place, stored: Mapping[UUID, _Stored], *, but: UUID | None) -> None:
    way: list[UUID] = [] if but is None else [but]
    heights: dict[UUID, int] = {}

    def height(one: UUID) -> int:
        if one in way:
            # The segment that is being written may not be stored yet.
            names = [stored[each].name for each in (*way, one) if each in stored]
            error = refused("the segments name each other in a circle", "SEGMENT_CYCLE", place)
            present = {**error.present, "names": names}
            raise OutreachError(error.message, code=error.code, field=error.field, present=present)
        if one not in stored:
            raise refused("there is no such segment, or it is archived", "SEGMENT_NOT_FOUND", place)
        if one not in heights:
            way.append(one)
            named = {each for each, _ in rules.named_segments(stored[one].group)}
            heights[one] = 1 + max(map(height, named), default=0)
            way.pop()
        return heights[one]

    if height(segment_id) > LONGEST_WAY:
        raise refused(f"segments may name each other {LONGEST_WAY} deep", "INVALID_RULES", place)


def _written_out(group: Group, stored: Mapping[UUID, _Stored], known: dict[UUID, int]) -> int:
    """How many rules it is with those of all that it names, each time that it names them."""
    total = rules.size_of(group)
    for segment_id, _ in rules.named_segments(group):
        if segment_id not in known:
            known[segment_id] = _written_out(stored[segment_id].group, stored, known)
        total += known[segment_id]
    return total
