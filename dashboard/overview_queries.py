"""The overview's queries: counts per lane, sweeps and the latest moves. Owns their SQL; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any

from dashboard.filters import ListFilter
from dashboard.queries import Count, count_by_state
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.database import fetch_all, fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Lane, Row

# Enough to find some that belong to different dispatches.
LATEST_MOVES = 100


@dataclass(frozen=True, slots=True)
class LaneCard:
    """What the overview says of one lane."""

    lane: Lane
    counts: dict[str, Count]
    sent_today: Count
    oldest_due_at: datetime | None
    next_due_at: datetime | None
    last_sweep_at: datetime | None
    circuit: BreakerState


def today() -> date:
    """The current day in UTC, as the lists count days."""
    return datetime.now(UTC).date()


def lane_card(lane: Lane, circuit: BreakerState) -> LaneCard:
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
        circuit=circuit,
    )


def recent_moves(lanes: Sequence[Lane], *, limit: int = 8) -> list[Row]:
    """The latest move of each dispatch of these lanes that moved lately, newest first, with its business keys."""
    latest = fetch_dicts(
        "SELECT id, lane, dispatch_id, from_status, to_status, in_doubt, at, actor, reason FROM dispatch_transitions"
        " WHERE lane = ANY (%s) ORDER BY id DESC LIMIT %s",
        ([lane.name for lane in lanes], LATEST_MOVES),
    )
    first_of_each: dict[Any, Row] = {}
    for move in latest:
        first_of_each.setdefault(move["dispatch_id"], move)
    moves = [*first_of_each.values()][:limit]
    keys: dict[Any, Any] = {}
    for lane in lanes:
        ids = [move["dispatch_id"] for move in moves if move["lane"] == lane.name]
        keys |= dict(fetch_all(f"SELECT id, search_keys FROM {lane.table} WHERE id = ANY (%s::uuid[])", (ids,)))
    return [{**move, "status": move["to_status"], "search_keys": keys.get(move["dispatch_id"])} for move in moves]
