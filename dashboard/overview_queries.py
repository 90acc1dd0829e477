"""The overview's queries: counts per lane, sweeps and the latest moves. Owns their SQL; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from dashboard.hours import Hours, hours_of
from dashboard.naming import keys_column
from dashboard.queries import COUNT_LIMIT, Count
from dashboard.wording import IN_DOUBT
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
    hours: Hours
    within_hour: Count
    within_day: Count


def today() -> date:
    """The current day in UTC, as the lists count days."""
    return datetime.now(UTC).date()


# Each of them stops at the count limit and has an index of its own.
_OPEN = {
    "PENDING": "status = 'PENDING'",
    "QUEUED": "status = 'QUEUED'",
    "FAILED": "status = 'FAILED' AND NOT in_doubt AND seq > 0 ORDER BY updated_at",  # the lists' index
    IN_DOUBT: "in_doubt",
}
_SENT_TODAY = "sent_at >= %s"
_WITHIN = "status = 'PENDING' AND due_at <= now() + interval '{period}'"


def lane_card(lane: Lane, circuit: BreakerState) -> LaneCard:
    """Counts and instants of one lane; every number has an index of its own or stops at the count limit."""
    conditions = [*_OPEN.values(), _SENT_TODAY, _WITHIN.format(period="1 hour"), _WITHIN.format(period="1 day")]
    counted = ", ".join(
        f"(SELECT count(*) FROM (SELECT FROM {lane.table} WHERE {condition} LIMIT {COUNT_LIMIT + 1}) c)"
        for condition in conditions
    )
    midnight = datetime(*today().timetuple()[:3], tzinfo=UTC)
    *numbers, oldest, following, sweep = fetch_one(
        f"SELECT {counted}, (SELECT min(due_at) FROM {lane.table} WHERE status = 'PENDING' AND due_at <= now()),"
        f" (SELECT min(due_at) FROM {lane.table} WHERE status = 'PENDING' AND due_at > now()),"
        " (SELECT max(occurs_at) FROM schedule_occurrences WHERE job = %s)",
        (midnight, lane.sweep_job),
    )
    *open_counts, sent_today, within_hour, within_day = (Count(int(number)) for number in numbers)
    return LaneCard(
        lane=lane,
        counts=dict(zip(_OPEN, open_counts, strict=True)),
        sent_today=sent_today,
        oldest_due_at=oldest,
        next_due_at=following,
        last_sweep_at=sweep,
        circuit=circuit,
        hours=hours_of(lane),
        within_hour=within_hour,
        within_day=within_day,
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
        sql = f"SELECT t.id, {keys_column(lane, 't')} FROM {lane.table} t WHERE id = ANY (%s::uuid[])"
        keys |= dict(fetch_all(sql, (ids,)))
    return [{**move, "status": move["to_status"], "search_keys": keys.get(move["dispatch_id"])} for move in moves]
