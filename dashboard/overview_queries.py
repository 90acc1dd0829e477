"""The overview's queries: counts per lane, workers, sweeps and the latest moves. Owns their SQL; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from dashboard.filters import ListFilter
from dashboard.queries import Count, count_by_state
from dispatchlog.engine.breaker import Breaker, BreakerState
from dispatchlog.engine.database import fetch_all, fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Lane, Row

WORKER_ALIVE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class LaneCard:
    """What the overview says of one lane."""

    lane: Lane
    counts: dict[str, Count]
    sent_today: Count
    oldest_due_at: datetime | None
    next_due_at: datetime | None
    last_sweep_at: datetime | None
    breaker: BreakerState


@dataclass(frozen=True, slots=True)
class Workers:
    """The worker processes seen within WORKER_ALIVE_SECONDS, and when the latest of all was seen."""

    alive: int
    hosts: int
    last_seen_at: datetime | None


def today() -> date:
    """The current day in UTC, as the lists count days."""
    return datetime.now(UTC).date()


def lane_card(lane: Lane, breaker: Breaker) -> LaneCard:
    """Counts and instants of one lane; every number has an index of its own or stops at the count limit."""
    every = ListFilter(lane=lane)
    of_today = count_by_state(replace(every, since=today()), [lane])
    oldest, following, sweep = fetch_one(
        f"SELECT (SELECT min(due_at) FROM {lane.table} WHERE status = 'PENDING' AND due_at <= now()),"
        f" (SELECT min(due_at) FROM {lane.table} WHERE status = 'PENDING' AND due_at > now()),"
        " (SELECT max(occurs_at) FROM schedule_occurrences WHERE job = %s)",
        (lane.sweep_job,),
    )
    return LaneCard(
        lane=lane,
        counts=count_by_state(every, [lane]),
        sent_today=of_today["SENT"],
        oldest_due_at=oldest,
        next_due_at=following,
        last_sweep_at=sweep,
        breaker=breaker.state(lane.gateway.name),
    )


def workers() -> Workers:
    """Which workers are alive by their heartbeats (every 2 s)."""
    alive, hosts, last_seen_at = fetch_one(
        "SELECT count(*) FILTER (WHERE alive), count(DISTINCT host) FILTER (WHERE alive), max(last_seen_at) FROM"
        " (SELECT host, last_seen_at, stopped_at IS NULL AND last_seen_at > now() - %s * interval '1 s' AS alive"
        "  FROM dispatch_workers ORDER BY last_seen_at DESC LIMIT 1000) w",
        (WORKER_ALIVE_SECONDS,),
    )
    return Workers(int(alive), int(hosts), last_seen_at)


def recent_moves(lanes: Sequence[Lane], *, limit: int = 10) -> list[Row]:
    """The latest transitions of these lanes, newest first, with the business keys of their dispatches."""
    moves = fetch_dicts(
        "SELECT id, lane, dispatch_id, from_status, to_status, at, actor, reason FROM dispatch_transitions"
        " WHERE lane = ANY (%s) ORDER BY id DESC LIMIT %s",
        ([lane.name for lane in lanes], limit),
    )
    keys: dict[Any, Any] = {}
    for lane in lanes:
        ids = [move["dispatch_id"] for move in moves if move["lane"] == lane.name]
        keys |= dict(fetch_all(f"SELECT id, search_keys FROM {lane.table} WHERE id = ANY (%s::uuid[])", (ids,)))
    return [{**move, "search_keys": keys.get(move["dispatch_id"])} for move in moves]
