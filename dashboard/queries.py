"""The list's queries over all lanes. Owns their SQL; changes nothing.

A list is ordered by last change. Each (lane, state) is one branch that walks the index (status, updated_at) and stops
after one page, so a page costs the same on a thousand rows and on ten million. There is no OFFSET and no full count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dashboard.filters import ListFilter, Position
from dashboard.wording import IN_DOUBT, STATES
from dispatchlog.engine.database import fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Lane, Row

PAGE_ROWS = 50
COUNT_LIMIT = 1_000
# A prefix that more keys than this begin with says nothing; the newest of them come first within these.
SEARCH_LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list, last changed first; `older` and `newer` are where the neighbours begin, if there are any."""

    rows: list[Row]
    older: Position | None
    newer: Position | None


@dataclass(frozen=True, slots=True)
class Count:
    """A count that stops at COUNT_LIMIT."""

    number: int

    def __str__(self) -> str:
        return f"{COUNT_LIMIT:,}+" if self.number > COUNT_LIMIT else f"{self.number:,}"

    def __bool__(self) -> bool:
        return self.number > 0


def list_dispatches(wanted: ListFilter, lanes: Sequence[Lane]) -> Page:
    """One page of the dispatches of `lanes` that the filter lets through."""
    position = wanted.position
    newer = position is not None and position.newer
    order = "updated_at ASC, id ASC" if newer else "updated_at DESC, id DESC"
    branches, params = [], []
    for lane in lanes:
        for state in wanted.states or STATES:
            where, values = _where(wanted, lane, state)
            if position is not None:
                where += f" AND (t.updated_at, t.id) {'>' if newer else '<'} (%s, %s)"
                values += [position.at, position.id]
            branches.append(f"(SELECT {_columns(lane)} FROM {lane.table} t WHERE {where} ORDER BY {order} LIMIT %s)")
            params += [lane.name, *values, PAGE_ROWS + 1]
    sql = f"SELECT * FROM ({' UNION ALL '.join(branches)}) every_lane ORDER BY {order} LIMIT %s"
    found = fetch_dicts(sql, [*params, PAGE_ROWS + 1])
    return _page(found, position)


def count_by_state(wanted: ListFilter, lanes: Sequence[Lane]) -> dict[str, Count]:
    """How many dispatches of `lanes` the filter lets through in each state, whatever states it asks for."""
    columns, params = [], []
    for state in STATES:
        parts = []
        for lane in lanes:
            where, values = _where(wanted, lane, state)
            parts.append(f"(SELECT count(*) FROM (SELECT FROM {lane.table} t WHERE {where} LIMIT {COUNT_LIMIT + 1}) c)")
            params += values
        columns.append(" + ".join(parts))
    counted = fetch_one(f"SELECT {', '.join(columns)}", params)
    return {state: Count(int(number)) for state, number in zip(STATES, counted, strict=True)}


def _columns(lane: Lane) -> str:
    recipient = f"t.{lane.recipient_column}" if lane.recipient_column else "NULL"
    return (
        "%s::text AS lane, t.id, t.status::text, t.in_doubt, t.attempts, t.claims, t.generation, t.due_at, t.expires_at,"
        " t.created_at, t.updated_at, t.sent_at, t.first_claimed_at, t.last_error_code::text, t.last_error,"
        f" t.search_keys, {recipient}::text AS recipient"
    )


def _where(wanted: ListFilter, lane: Lane, state: str) -> tuple[str, list[Any]]:
    parts, params = ["t.status = %s"], ["FAILED" if state == IN_DOUBT else state]
    values: list[Any] = [*params]
    if state in ("FAILED", IN_DOUBT):
        parts.append("t.in_doubt" if state == IN_DOUBT else "NOT t.in_doubt")
    if wanted.from_at is not None:
        parts.append("t.updated_at >= %s")
        values.append(wanted.from_at)
    if wanted.before_at is not None:
        parts.append("t.updated_at < %s")
        values.append(wanted.before_at)
    if wanted.text:
        matches = (
            "SELECT s.dispatch_id FROM dispatch_search s WHERE s.key LIKE %s AND s.lane = %s"
            f" ORDER BY s.key, s.dispatch_id LIMIT {SEARCH_LIMIT}"
        )
        condition = f"t.id IN ({matches})"
        values += [f"{_literal(wanted.text.lower())}%", lane.name]
        identity = _as_uuid(wanted.text)
        if identity is not None:
            condition = f"({condition} OR t.id = %s)"
            values.append(identity)
        parts.append(condition)
    return " AND ".join(parts), values


def _literal(text: str) -> str:
    """LIKE takes these characters to mean any."""
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _page(found: list[dict[str, Any]], position: Position | None) -> Page:
    """Rows come in walking order with one more than a page, which only proves that there are more."""
    more = len(found) > PAGE_ROWS
    rows: list[Row] = [*found[:PAGE_ROWS]]
    newer_walk = position is not None and position.newer
    if newer_walk:
        rows.reverse()
    if not rows:
        return Page([], None, None)
    has_newer = more if newer_walk else position is not None
    has_older = True if newer_walk else more
    return Page(
        rows,
        older=Position(rows[-1]["updated_at"], rows[-1]["id"]) if has_older else None,
        newer=Position(rows[0]["updated_at"], rows[0]["id"], newer=True) if has_newer else None,
    )
