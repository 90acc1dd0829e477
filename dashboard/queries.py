"""The list's queries over all lanes. Owns their SQL; changes nothing.

Each (lane, state) is one branch that walks an index in the list's order and stops after one page, so a page costs the same
on a thousand rows and on ten million. There is no OFFSET and no full count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.filters import CHANGED, LEFT, NO_DEADLINE, OVER, SPANS, WAITING, ListFilter, Position
from dashboard.naming import keys_column, recipient_columns, with_recipients
from dashboard.search_keys import having_key
from dashboard.wording import IN_DOUBT, STATES
from dispatchlog.engine.database import fetch_all, fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Lane, Row

PAGE_ROWS = 50
COUNT_LIMIT = 1_000
# How far the number of all that match is counted, and how many of them one bulk action takes.
MATCH_LIMIT = 10_000
# A prefix that more keys than this begin with says nothing; the newest of them come first within these.
SEARCH_LIMIT = 5_000
MOST_CAUSES = 100

# The list's index is for queries that say so: a worker whose statistics lag must not be tempted to sort by it.
_BY_LIST_INDEX = "t.seq > 0"
_WAITS_SINCE = {"PENDING": "t.due_at", "QUEUED": "t.claimed_at"}

Query = tuple[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list in its order; `older` and `newer` are where the neighbours begin, if there are any."""

    rows: list[Row]
    older: Position | None
    newer: Position | None


@dataclass(frozen=True, slots=True)
class Count:
    """A count that stops at its limit."""

    number: int
    limit: int = COUNT_LIMIT

    def __str__(self) -> str:
        return f"{self.limit:,}+" if self.number > self.limit else f"{self.number:,}"

    def __bool__(self) -> bool:
        return self.number > 0

    @property
    def is_exact(self) -> bool:
        return self.number <= self.limit


def list_dispatches(wanted: ListFilter, lanes: Sequence[Lane]) -> Page:
    """One page of the dispatches of `lanes` that the filter lets through."""
    sql, params = list_query(wanted, lanes, limit=PAGE_ROWS + 1)
    found = with_recipients(fetch_dicts(sql, params), lanes) if sql else []
    return page_of(found, wanted.position)


def matching_rows(wanted: ListFilter, lanes: Sequence[Lane], *, limit: int) -> list[Row]:
    """The first `limit` dispatches that the filter lets through, in the list's order, from its beginning."""
    sql, params = list_query(wanted, lanes, limit=limit, whole=True)
    return with_recipients(fetch_dicts(sql, params), lanes) if sql else []


def rows_by_id(lane: Lane, ids: Sequence[UUID]) -> list[Row]:
    """These dispatches as they stand, in no order, as a list shows them; unknown ids are left out."""
    columns = _columns(lane, "t.updated_at")
    sql = f"SELECT {columns} FROM {lane.table} t WHERE t.id = ANY (%s::uuid[])"
    return with_recipients(fetch_dicts(sql, (lane.name, list(ids))), [lane])


def count_by_state(wanted: ListFilter, lanes: Sequence[Lane]) -> dict[str, Count]:
    """How many dispatches of `lanes` the filter lets through in each state, whatever states it asks for."""
    sql, params = count_query(wanted, lanes)
    counted = fetch_one(sql, params)
    return {state: Count(int(number), COUNT_LIMIT) for state, number in zip(STATES, counted, strict=True)}


def count_matching(wanted: ListFilter, lanes: Sequence[Lane], known: dict[str, Count]) -> Count:
    """How many dispatches the filter lets through, up to MATCH_LIMIT; `known` are the counts by state."""
    shown = [known[state] for state in wanted.shown_states]
    if all(count.is_exact for count in shown):
        return Count(sum(count.number for count in shown), MATCH_LIMIT)
    sql, params = matching_count_query(wanted, lanes)
    return Count(int(fetch_one(sql, params)[0]), MATCH_LIMIT)


def causes(lanes: Sequence[Lane]) -> list[str]:
    """The error codes that stand on rows of these lanes now."""
    found: set[str] = set()
    for lane in lanes:
        sql, params = causes_query(lane)
        found |= {row[0] for row in fetch_all(sql, params)}
    return sorted(found)


def list_query(wanted: ListFilter, lanes: Sequence[Lane], *, limit: int, whole: bool = False) -> Query:
    """The rows from the filter's position on (`whole`: from the beginning), in walking order; "" where none can match."""
    position = None if whole else wanted.position
    newer = position is not None and position.newer
    falling = (wanted.order == CHANGED) is not newer
    ways = "DESC" if falling else "ASC"
    branches, params = [], []
    for lane in lanes:
        for state in wanted.shown_states:
            key = _key(wanted, state)
            where, values = _where(wanted, state, lane)
            if position is not None:
                where += f" AND {_beyond(wanted, position, key)[0]}"
                values += [position.at, position.id]
            branches.append(
                f"(SELECT {_columns(lane, key)} FROM {_source(wanted, lane)} t WHERE {where}"
                f" ORDER BY {key} {ways}, t.id {ways} LIMIT %s)"
            )
            params += [lane.name, *values, limit]
    if not branches:
        return "", []
    head, found = _found(wanted, lanes)
    union = " UNION ALL ".join(branches)
    sql = f"{head}SELECT * FROM ({union}) every_lane ORDER BY sort_at {ways}, id {ways} LIMIT %s"
    return sql, [*found, *params, limit]


def count_query(wanted: ListFilter, lanes: Sequence[Lane]) -> Query:
    """One number per state of STATES, each of which stops beyond COUNT_LIMIT per lane."""
    every_state = replace(wanted, states=(), sort=wanted.order)
    columns, params = [], []
    for state in STATES:
        parts = []
        for lane in lanes if state in every_state.shown_states else ():
            sql, values = _counted(every_state, lane, state, COUNT_LIMIT + 1)
            parts.append(f"(SELECT count(*) FROM ({sql}) c)")
            params += values
        columns.append(" + ".join(parts) or "0")
    head, found = _found(wanted, lanes)
    return f"{head}SELECT {', '.join(columns)}", [*found, *params]


def matching_count_query(wanted: ListFilter, lanes: Sequence[Lane]) -> Query:
    """One number: how many rows match, which stops beyond MATCH_LIMIT."""
    parts, params = [], []
    for lane in lanes:
        for state in wanted.shown_states:
            sql, values = _counted(wanted, lane, state, MATCH_LIMIT + 1)
            parts.append(f"({sql})")
            params += values
    if not parts:
        return "SELECT 0", []
    head, found = _found(wanted, lanes)
    union = " UNION ALL ".join(parts)
    return f"{head}SELECT count(*) FROM (SELECT FROM ({union}) m LIMIT {MATCH_LIMIT + 1}) c", [*found, *params]


def export_query(wanted: ListFilter, lane: Lane, *, before: UUID | None, limit: int) -> Query:
    """The next `limit` rows of one lane for a file, by falling id, which never changes: no row comes twice, and none that
    was there at the beginning is passed over because it moved meanwhile.
    """
    shown = wanted.shown_states
    whole = set(shown) == set(STATES)
    branches, params = [], []
    for state in ("",) if whole else shown:
        where, values = _where(wanted, state, lane)
        if before is not None:
            where += " AND t.id < %s"
            values.append(before)
        branches.append(
            f"(SELECT {_columns(lane, 't.updated_at')} FROM {_source(wanted, lane)} t"
            f" WHERE {where} ORDER BY t.id DESC LIMIT %s)"
        )
        params += [lane.name, *values, limit]
    if not branches:
        return "", []
    head, found = _found(wanted, [lane])
    return f"{head}SELECT * FROM ({' UNION ALL '.join(branches)}) e ORDER BY id DESC LIMIT %s", [*found, *params, limit]


def sort_value(wanted: ListFilter, row: Row) -> datetime | None:
    """What the list orders this row by as it stands; None where it has none of it."""
    column = _key(wanted, IN_DOUBT if row["in_doubt"] else row["status"]).removeprefix("t.")
    found: datetime | None = row[column]
    return found


def place_query(wanted: ListFilter, lanes: Sequence[Lane], position: Position, *, of: str) -> Query:
    """Three numbers: the rows of the list before a position and behind it, each of which stops beyond COUNT_LIMIT, and
    whether the row at it still stands in the list. The row itself, in the lane called `of`, is never counted.
    """
    before, behind = replace(position, newer=True), replace(position, newer=False)
    counted = [_beside(wanted, lanes, way) for way in (before, behind)]
    there, values = [], []
    for lane in lanes:
        for state in wanted.shown_states if lane.name == of else ():
            where, given = _where(wanted, state, lane)
            there.append(f"(SELECT FROM {_source(wanted, lane)} t WHERE {where} AND t.id = %s)")
            values += [*given, position.id]
    if not counted[0][0]:
        return "SELECT 0, 0, 0", []
    numbers = [f"(SELECT count(*) FROM ({sql}) c)" for sql, _ in counted]
    numbers.append(f"(SELECT count(*) FROM ({' UNION ALL '.join(there)}) c)" if there else "0")
    head, found = _found(wanted, lanes)
    return f"{head}SELECT {', '.join(numbers)}", [*found, *counted[0][1], *counted[1][1], *values]


def _beside(wanted: ListFilter, lanes: Sequence[Lane], position: Position) -> Query:
    """The rows on one side of a position, as many as are counted, without what stands in them."""
    parts, params = [], []
    for lane in lanes:
        for state in wanted.shown_states:
            key = _key(wanted, state)
            where, values = _where(wanted, state, lane)
            beyond, ways = _beyond(wanted, position, key)
            parts.append(
                f"(SELECT FROM {_source(wanted, lane)} t WHERE {where} AND {beyond} AND t.id <> %s"
                f" ORDER BY {key} {ways}, t.id {ways} LIMIT {COUNT_LIMIT + 1})"
            )
            params += [*values, position.at, position.id, position.id]
    sql = f"SELECT FROM ({' UNION ALL '.join(parts)}) s LIMIT {COUNT_LIMIT + 1}" if parts else ""
    return sql, params


def _beyond(wanted: ListFilter, position: Position, key: str) -> tuple[str, str]:
    """The condition on what comes after a position in its direction, and the way in which it is walked."""
    falling = (wanted.order == CHANGED) is not position.newer
    return f"({key}, t.id) {'<' if falling else '>'} (%s, %s)", "DESC" if falling else "ASC"


def causes_query(lane: Lane) -> Query:
    """Each error code once: one step down the index for each, however many rows have it."""
    first = f"SELECT t.last_error_code AS code FROM {lane.table} t WHERE t.last_error_code IS NOT NULL"
    sql = (
        f"WITH RECURSIVE codes AS (({first} ORDER BY t.last_error_code LIMIT 1) UNION ALL"
        f" SELECT (SELECT n.last_error_code FROM {lane.table} n WHERE n.last_error_code > codes.code"
        " ORDER BY n.last_error_code LIMIT 1) FROM codes WHERE codes.code IS NOT NULL)"
        f" SELECT code::text FROM codes WHERE code IS NOT NULL LIMIT {MOST_CAUSES}"
    )
    return sql, []


def _counted(wanted: ListFilter, lane: Lane, state: str, limit: int) -> Query:
    """Ordered only so that its index is walked: a table of a million rows would be read for a thousand otherwise."""
    where, values = _where(wanted, state, lane)
    return f"SELECT FROM {_source(wanted, lane)} t WHERE {where} ORDER BY {_key(wanted, state)} LIMIT {limit}", values


def _columns(lane: Lane, key: str) -> str:
    route = "t.route" if lane.routes is not None else "NULL"
    return (
        "%s::text AS lane, t.id, t.status::text, t.in_doubt, t.attempts, t.attempts_forgiven, t.claims, t.generation,"
        " t.due_at, t.expires_at, t.created_at, t.updated_at, t.sent_at, t.first_claimed_at, t.last_error_code::text,"
        f" t.last_error, {keys_column(lane, 't')} AS search_keys, {recipient_columns(lane, 't')},"
        f" {route}::text AS route, {key} AS sort_at"
    )


def _key(wanted: ListFilter, state: str) -> str:
    """What the rows of one state are ordered by."""
    if wanted.order == LEFT:
        return "t.expires_at"
    if wanted.order == WAITING:
        return _WAITS_SINCE.get(state, "t.updated_at")
    return "t.updated_at"


def _where(wanted: ListFilter, state: str, lane: Lane) -> Query:
    """The conditions on rows of one state, "" being any; of a lane through one route those of that route."""
    parts: list[str] = []
    values: list[Any] = []
    if state:
        # No other status can be in doubt; where all say so, the index by cause gives the order too.
        parts = ["t.status = %s", _BY_LIST_INDEX, "t.in_doubt" if state == IN_DOUBT else "NOT t.in_doubt"]
        values.append("FAILED" if state == IN_DOUBT else state)
    if lane.route is not None:
        parts.append("t.route = %s")
        values.append(lane.route.name)
    if wanted.within:
        parts.append("t.updated_at >= now() - %s")
        values.append(SPANS[wanted.within][1])
    for condition, given in (
        ("t.updated_at >= %s", wanted.from_at),
        ("t.updated_at < %s", wanted.before_at),
        ("t.last_error_code = %s", wanted.cause or None),
    ):
        if given is not None:
            parts.append(condition)
            values.append(given)
    for about_time, instants in (_waits(wanted, state), _time_left(wanted)):
        if about_time:
            parts.append(about_time)
            values += instants
    return " AND ".join(parts) or "true", values


def _waits(wanted: ListFilter, state: str) -> Query:
    if not wanted.age:
        return "", []
    return f"{_WAITS_SINCE.get(state, 't.updated_at')} <= now() - %s", [SPANS[wanted.age][1]]


def _time_left(wanted: ListFilter) -> Query:
    if wanted.left == NO_DEADLINE:
        return "t.expires_at IS NULL", []
    if wanted.left == OVER:
        return "t.expires_at <= now()", []
    if wanted.left:
        return "t.expires_at > now() AND t.expires_at <= now() + %s", [SPANS[wanted.left][1]]
    return ("t.expires_at > now()" if wanted.order == LEFT else ""), []


def _found(wanted: ListFilter, lanes: Sequence[Lane]) -> Query:
    """What the search finds in each lane, read once for all branches; no more than SEARCH_LIMIT rows of a lane."""
    if not wanted.text or not lanes:
        return "", []
    identity = _as_uuid(wanted.text)
    having, key = having_key(wanted.text, "s.key")
    hits, values = [], []
    for lane in lanes:
        hits.append(
            f"{_source(wanted, lane)} AS MATERIALIZED (SELECT t.* FROM {lane.table} t WHERE t.id = ANY (ARRAY("
            f"SELECT s.dispatch_id FROM dispatch_search s WHERE {having} AND s.lane = %s"
            f" ORDER BY s.key, s.dispatch_id LIMIT {SEARCH_LIMIT}) || %s::uuid[]))"
        )
        values += [key, lane.name, [identity] if identity else []]
    return f"WITH {', '.join(hits)} ", values


def _source(wanted: ListFilter, lane: Lane) -> str:
    """What the branches of a lane read: its table, or what the search has found of it."""
    return f"found_{lane.table}" if wanted.text else lane.table


def _as_uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def page_of(found: Sequence[Row], position: Position | None) -> Page:
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
        older=Position(rows[-1]["sort_at"], rows[-1]["id"]) if has_older else None,
        newer=Position(rows[0]["sort_at"], rows[0]["id"], newer=True) if has_newer else None,
    )
