"""The in-doubt desk's queries: which doubts there are, in the order in which they should be settled. Owns their SQL;
changes nothing.

Escalated ones come first, then those that are of use for the shortest time, then the oldest; what is of no use any more
comes last. Each lane's doubts have an index in this order, so a page costs the same on ten and on a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.connection import DATABASE_ERRORS
from dashboard.days import instant_of, microseconds_of
from dashboard.lanes import visible_lanes
from dashboard.naming import readable
from dashboard.queries import COUNT_LIMIT, Count
from dispatchlog.engine.database import database, fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Lane, Row

PAGE_DOUBTS = 10
# The parts of the desk, as they follow each other.
ESCALATED, OF_USE, EXPIRED = 2, 1, 0
_DEADLINE = "coalesce(t.expires_at, 'infinity'::timestamptz)"
_SINCE = "coalesce(t.claimed_at, t.created_at)"


@dataclass(frozen=True, slots=True)
class Place:
    """After which doubt a page begins."""

    part: int
    deadline: datetime | None
    since: datetime
    id: UUID

    def __str__(self) -> str:
        deadline = "never" if self.deadline is None else str(microseconds_of(self.deadline))
        return f"{self.part}.{deadline}.{microseconds_of(self.since)}.{self.id.hex}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """What `str` wrote.

        Raises:
            ValueError: it is none of ours.
        """
        try:
            part, deadline, since, identity = text.split(".")
            return cls(
                {"2": ESCALATED, "1": OF_USE, "0": EXPIRED}[part],
                None if deadline == "never" else instant_of(deadline),
                instant_of(since),
                UUID(hex=identity),
            )
        except (ValueError, KeyError, OverflowError) as error:
            raise ValueError("no place in the list of doubts") from error


@dataclass(frozen=True, slots=True)
class Doubts:
    """One page of rows in doubt, each with its `lane` and its `escalation` (None: not escalated); `after` is where the
    next page begins.
    """

    rows: list[Row]
    after: Place | None


def number_in_doubt() -> Count | None:
    """How many doubts there are in all lanes, for the menu; None where the database cannot be asked."""
    if database.is_closed():
        return None
    try:
        return count_doubts(visible_lanes())
    except DATABASE_ERRORS:
        return None


def count_doubts(lanes: Sequence[Lane]) -> Count:
    """How many doubts these lanes have."""
    counts = " + ".join(
        f"(SELECT count(*) FROM (SELECT FROM {lane.table} t WHERE t.in_doubt LIMIT {COUNT_LIMIT + 1}) c)"
        for lane in lanes
    )
    return Count(int(fetch_one(f"SELECT {counts}")[0]))


def count_escalated(lanes: Sequence[Lane]) -> Count:
    """How many of them are escalated."""
    counts = " + ".join(
        f"(SELECT count(*) FROM (SELECT {_ESCALATED.format(table=lane.table)} LIMIT {COUNT_LIMIT + 1}) c)"
        for lane in lanes
    )
    return Count(int(fetch_one(f"SELECT {counts}", [lane.name for lane in lanes])[0]))


_ESCALATED = """FROM dispatch_escalations e JOIN {table} t
    ON t.id = e.dispatch_id AND t.in_doubt AND t.claim_token = e.claim_token
    WHERE e.lane = %s AND e.closed_at IS NULL"""
_OTHERS = """FROM {table} t WHERE t.in_doubt AND NOT EXISTS (SELECT FROM dispatch_escalations e
    WHERE e.dispatch_id = t.id AND e.claim_token = t.claim_token AND e.closed_at IS NULL)"""


def list_doubts(lanes: Sequence[Lane], *, only_escalated: bool = False, after: Place | None = None) -> Doubts:
    """One page of the doubts of these lanes: escalated ones, then by time left, then the oldest, then the expired."""
    branches: list[str] = []
    params: list[Any] = []
    for lane in lanes:
        for part in (ESCALATED,) if only_escalated else (ESCALATED, OF_USE, EXPIRED):
            if after is None or after.part >= part:
                _add(branches, params, lane, part, after if after and after.part == part else None)
    if not branches:
        return Doubts([], None)
    found = fetch_dicts(
        "SELECT lane, id, part, nullif(deadline, 'infinity') AS deadline, since"
        f" FROM ({' UNION ALL '.join(branches)}) d ORDER BY part DESC, d.deadline, d.since, id LIMIT %s",
        [*params, PAGE_DOUBTS + 1],
    )
    page = found[:PAGE_DOUBTS]
    last = page[-1] if len(found) > PAGE_DOUBTS else None
    place = Place(last["part"], last["deadline"], last["since"], last["id"]) if last else None
    return Doubts(_whole(page, lanes), place)


_PARTS = {
    ESCALATED: _ESCALATED,
    OF_USE: f"{_OTHERS} AND {_DEADLINE} > now()",
    EXPIRED: f"{_OTHERS} AND {_DEADLINE} <= now()",
}


def _add(branches: list[str], params: list[Any], lane: Lane, part: int, after: Place | None) -> None:
    where = ""
    params += [lane.name, lane.name] if part == ESCALATED else [lane.name]
    if after is not None:
        where = f" AND ({_DEADLINE}, {_SINCE}, t.id) > (%s::timestamptz, %s, %s)"
        params += [after.deadline or "infinity", after.since, after.id]
    branches.append(
        f"(SELECT %s::text AS lane, t.id, {part} AS part, {_DEADLINE} AS deadline, {_SINCE} AS since"
        f" {_PARTS[part].format(table=lane.table)}{where} ORDER BY {_DEADLINE}, {_SINCE}, t.id LIMIT %s)"
    )
    params.append(PAGE_DOUBTS + 1)


def _whole(page: Sequence[Row], lanes: Sequence[Lane]) -> list[Row]:
    rows: dict[UUID, Row] = {}
    for lane in lanes:
        ids = [found["id"] for found in page if found["lane"] == lane.name]
        if ids:
            whole = fetch_dicts(f"SELECT * FROM {lane.table} WHERE id = ANY (%s::uuid[])", (ids,))
            rows |= {row["id"]: {**readable(lane, row), "lane": lane.name} for row in whole}
    noted = escalations_of([*rows.values()])
    return [{**rows[found["id"]], "escalation": noted.get(found["id"])} for found in page if found["id"] in rows]


def escalations_of(rows: Sequence[Row]) -> dict[UUID, Row]:
    """The open escalations of these rows, by dispatch."""
    found = fetch_dicts(
        "SELECT dispatch_id, claim_token, note, escalated_by, escalated_at FROM dispatch_escalations"
        " WHERE dispatch_id = ANY (%s::uuid[]) AND closed_at IS NULL",
        ([row["id"] for row in rows],),
    )
    tries = {row["id"]: row["claim_token"] for row in rows if row["in_doubt"]}
    return {note["dispatch_id"]: note for note in found if tries.get(note["dispatch_id"]) == note["claim_token"]}
