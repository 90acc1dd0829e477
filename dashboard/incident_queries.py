"""Incidents and replays: what failed lately, by provider and cause, and how far a replay is. Owns their SQL; changes
nothing.

Each lane has an index by cause, state and last change. The causes are found by skipping from one to the next in it, and
each is counted up to the count limit, so a page costs the same on a hundred failures and on a million.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from dashboard.naming import keys_column
from dashboard.queries import COUNT_LIMIT, Count
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Lane, Row

# Of more causes than this those are looked at whose codes come first.
MOST_CAUSES = 200
MOST_CAUSES_OF_ROUTES = 2_000
PAGE_INCIDENTS = 20
PAGE_REPLAY_ROWS = 50
LATEST_REPLAYS = 20

# What failed lately, by cause, with the latest of each.
_CAUSES = """
WITH RECURSIVE causes AS (
    (SELECT last_error_code AS cause FROM {table} WHERE last_error_code IS NOT NULL ORDER BY last_error_code LIMIT 1)
    UNION ALL
    SELECT (SELECT f.last_error_code FROM {table} f WHERE f.last_error_code > c.cause
        ORDER BY f.last_error_code LIMIT 1)
    FROM causes c WHERE c.cause IS NOT NULL)
SELECT c.cause, last.at, last.id, last.last_error, last.search_keys
FROM (SELECT cause FROM causes WHERE cause IS NOT NULL LIMIT %(most)s) c
CROSS JOIN LATERAL (SELECT f.updated_at AS at, f.id, f.last_error, {keys} AS search_keys FROM {table} f WHERE {same}
    ORDER BY f.updated_at DESC, f.id DESC LIMIT 1) last
"""
# The first of some causes and how many there are, which is what costs.
_MEASURES = """
SELECT c.cause, first.at, n.number FROM unnest(%(causes)s::text[]) AS c (cause)
CROSS JOIN LATERAL (SELECT f.updated_at AS at FROM {table} f WHERE {same} ORDER BY f.updated_at, f.id LIMIT 1) first
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (SELECT FROM {table} f WHERE {same} LIMIT %(most)s) x) n
"""
# The same by endpoint, in a lane divided into routes.
_CAUSES_BY_ROUTE = """
WITH RECURSIVE causes AS (
    (SELECT f.route, f.last_error_code AS cause FROM {table} f WHERE {failed}
        ORDER BY f.route, f.last_error_code LIMIT 1)
    UNION ALL
    SELECT n.route, n.cause FROM causes c CROSS JOIN LATERAL (
        SELECT f.route, f.last_error_code AS cause FROM {table} f
        WHERE {failed} AND (f.route, f.last_error_code) > (c.route, c.cause)
        ORDER BY f.route, f.last_error_code LIMIT 1) n)
SELECT c.route, c.cause, last.at, last.id, last.last_error, last.search_keys
FROM (SELECT route, cause FROM causes LIMIT %(most)s) c
CROSS JOIN LATERAL (SELECT f.updated_at AS at, f.id, f.last_error, {keys} AS search_keys FROM {table} f WHERE {same}
    ORDER BY f.updated_at DESC, f.id DESC LIMIT 1) last
"""
_MEASURES_BY_ROUTE = """
SELECT c.route, c.cause, first.at, n.number FROM unnest(%(routes)s::text[], %(causes)s::text[]) AS c (route, cause)
CROSS JOIN LATERAL (SELECT f.updated_at AS at FROM {table} f WHERE {same} ORDER BY f.updated_at, f.id LIMIT 1) first
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (SELECT FROM {table} f WHERE {same} LIMIT %(most)s) x) n
"""
_FAILED = "f.status = 'FAILED' AND NOT f.in_doubt AND f.last_error_code IS NOT NULL"
_SAME = "f.status = 'FAILED' AND NOT f.in_doubt AND f.last_error_code = c.cause AND f.updated_at >= %(since)s"


@dataclass(frozen=True, slots=True)
class Share:
    """One lane's part of an incident."""

    lane: Lane
    number: Count


@dataclass(slots=True)
class Incident:
    """Dispatches that failed for one cause at one provider; `sample` is the latest of them, with its `lane`."""

    gateway: str
    cause: str
    first_at: datetime
    last_at: datetime
    sample: Row
    shares: list[Share] = field(default_factory=list)

    @property
    def number(self) -> Count:
        """All lanes' together; each lane's count stops at the limit."""
        return Count(sum(share.number.number for share in self.shares))


@dataclass(frozen=True, slots=True)
class Progress:
    """How many rows of a replay stand in each state."""

    total: int
    waiting: int = 0
    released: int = 0
    sent: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def done(self) -> int:
        return self.sent + self.failed + self.skipped


def window_since(days: int) -> datetime:
    """The beginning of a window of so many days before today: a midnight UTC, as the lists count days."""
    today: date = datetime.now(UTC).date()
    return datetime(today.year, today.month, today.day, tzinfo=UTC) - timedelta(days=days)


def incidents(lanes: Sequence[Lane], *, since: datetime, most: int = PAGE_INCIDENTS) -> list[Incident]:
    """What failed (and is not in doubt) since then, by provider and cause: the latest incidents, `most` at the most."""
    latest: dict[tuple[str, str], Row] = {}
    for lane in lanes:
        for row in _causes(lane, since):
            key = lane.of(row).gateway.name, row["cause"]
            if key not in latest or row["at"] > latest[key]["at"]:
                latest[key] = {**row, "lane": lane.name}
    shown = sorted(latest, key=lambda key: latest[key]["at"], reverse=True)[:most]
    found = {key: Incident(*key, latest[key]["at"], latest[key]["at"], latest[key]) for key in shown}
    for lane in lanes:
        for row in _measures(lane, found, since):
            incident = found[lane.of(row).gateway.name, row["cause"]]
            incident.first_at = min(incident.first_at, row["at"])
            incident.shares.append(Share(lane, Count(int(row["number"]))))
    return [*found.values()]


def _causes(lane: Lane, since: datetime) -> Sequence[Row]:
    """The latest of each cause, in a divided lane of each cause and route."""
    if not lane.is_routed:
        values = {"since": since, "most": MOST_CAUSES}
        return fetch_dicts(_CAUSES.format(table=lane.table, same=_SAME, keys=keys_column(lane, "f")), values)
    keys = keys_column(lane, "f")
    sql = _CAUSES_BY_ROUTE.format(table=lane.table, failed=_FAILED, same=f"{_SAME} AND f.route = c.route", keys=keys)
    return fetch_dicts(sql, {"since": since, "most": MOST_CAUSES_OF_ROUTES})


def _measures(lane: Lane, found: dict[tuple[str, str], Incident], since: datetime) -> Sequence[Row]:
    """The first of each incident in this lane, and how many there are."""
    values: dict[str, Any] = {"since": since, "most": COUNT_LIMIT + 1}
    if not lane.is_routed:
        values["causes"] = [cause for gateway, cause in found if gateway == lane.gateway.name]
        sql = _MEASURES.format(table=lane.table, same=_SAME)
        return fetch_dicts(sql, values) if values["causes"] else ()
    places = [
        (incident.sample["route"], incident.cause)
        for incident in found.values()
        if incident.sample["lane"] == lane.name
    ]
    values |= {"routes": [route for route, _ in places], "causes": [cause for _, cause in places]}
    sql = _MEASURES_BY_ROUTE.format(table=lane.table, same=f"{_SAME} AND f.route = c.route")
    return fetch_dicts(sql, values) if places else ()


def open_replays(*, without: Collection[str] = ()) -> dict[tuple[str, str], Row]:
    """The replays that have not ended, by provider and cause; `without` those with anything of these lanes."""
    sql = "SELECT * FROM dispatch_replays WHERE state IN ('RUNNING', 'STOPPED', 'HALTED') AND NOT lanes && %s::text[]"
    rows = fetch_dicts(sql, ([*without],))
    return {(row["gateway"], row["cause"]): row for row in rows}


def latest_replays(*, without: Collection[str] = ()) -> list[Row]:
    """The newest replays, whatever became of them; `without` those with anything of these lanes."""
    sql = "SELECT * FROM dispatch_replays WHERE NOT lanes && %s::text[] ORDER BY id DESC LIMIT %s"
    return [*fetch_dicts(sql, ([*without], LATEST_REPLAYS))]


def find_replay(replay_id: int, *, without: Collection[str] = ()) -> Row | None:
    """The replay; None where there is none of this number, or one with anything of the lanes `without`."""
    sql = "SELECT * FROM dispatch_replays WHERE id = %s AND NOT lanes && %s::text[]"
    rows = fetch_dicts(sql, (replay_id, [*without]))
    return rows[0] if rows else None


def progress(replay: Row) -> Progress:
    """How far the replay is."""
    rows = fetch_all(
        "SELECT lower(state), count(*) FROM dispatch_replay_rows WHERE replay_id = %s GROUP BY 1", (replay["id"],)
    )
    return Progress(replay["total"], **{state: int(number) for state, number in rows})


def replay_rows(replay_id: int, *, state: str = "", after: int = 0) -> tuple[list[Row], int | None]:
    """One page of a replay's rows in their order, all or those in one state; where the next begins (None: nowhere)."""
    narrowed, values = ("AND state = %s", [state]) if state else ("", [])
    found = fetch_dicts(
        "SELECT position, lane, dispatch_id, state, code, note, released_at, settled_at FROM dispatch_replay_rows"
        f" WHERE replay_id = %s {narrowed} AND position > %s ORDER BY position LIMIT %s",
        [replay_id, *values, after, PAGE_REPLAY_ROWS + 1],
    )
    page: list[Row] = [*found[:PAGE_REPLAY_ROWS]]
    return page, page[-1]["position"] if len(found) > PAGE_REPLAY_ROWS else None


def keys_of(rows: Sequence[Row], lanes: Sequence[Lane]) -> dict[Any, list[str]]:
    """The search keys of the dispatches that these rows name by `lane` and `dispatch_id`."""
    keys: dict[Any, list[str]] = {}
    for lane in lanes:
        ids = [row["dispatch_id"] for row in rows if row["lane"] == lane.name]
        if ids:
            sql = f"SELECT t.id, {keys_column(lane, 't')} FROM {lane.table} t WHERE id = ANY (%s::uuid[])"
            keys |= dict(fetch_all(sql, (ids,)))
    return keys
