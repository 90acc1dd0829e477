"""Measures the sweep of a lane whose rows wait for it, all of them due: it releases them and only enqueues a hint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

import redis

from bench.lane import FILL, TABLE, Setup, bench_lane
from bench.plan import Plan
from bench.processes import MeasuringFailed
from bench.servers import Servers
from dispatchlog.broker import make_broker
from dispatchlog.engine.claims import claim_due, seconds_until_due
from dispatchlog.engine.database import configure, connected, database, fetch_one, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.sweep import sweep_now
from dispatchlog.engine.wakeup import NUDGES, Waker
from dispatchlog.settings import get_settings

T = TypeVar("T")

_UNTOUCHED = (
    f"SELECT (SELECT count(*) FROM {TABLE} WHERE status = 'PENDING' AND claims = 0),"
    " (SELECT count(*) FROM dispatch_transitions)"
)


def run(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """Milliseconds: a worker's look at its clock while the rows wait, the sweep, and the first claim after it."""
    lane = bench_lane(Setup(batch=plan.batch, slots=1, threads=1), waits_for_sweep=True)
    with servers.filled_database(FILL.format(rows=plan.sweep_rows)) as url:
        configure(url, role=get_settings().application_role, name="bench sweep", by_index=True)
        try:
            with connected(), redis.Redis.from_url(servers.redis_url) as client:
                return _measure(lane, client, servers.redis_url, plan)
        finally:
            database.close_all()


def _measure(lane: Lane, client: redis.Redis, redis_url: str, plan: Plan) -> dict[str, list[float]]:
    waker = Waker(make_broker(redis_url), redis_url)
    looked, _ = _timed(lambda: seconds_until_due(lane))
    in_vain, claimed = _timed(lambda: _claim(lane, plan))
    _expect("rows claimed before the sweep", claimed, 0)
    swept, _ = _timed(lambda: sweep_now(lane, waker, started_by="bench"))
    _expect("rows still untouched, and moves logged", fetch_one(_UNTOUCHED), (plan.sweep_rows, plan.sweep_rows))
    hints = (client.llen(f"dramatiq:{lane.queue}"), client.llen(NUDGES))
    _expect("messages and nudges enqueued", hints, (1, 1))
    first, claimed = _timed(lambda: _claim(lane, plan))
    _expect("rows of the first claim after the sweep", claimed, plan.batch)
    return {"sweep": [swept], "sweep_first_claim": [first], "unswept_look": [looked], "unswept_claim": [in_vain]}


def _claim(lane: Lane, plan: Plan) -> int:
    with transaction("bench"):
        return len(claim_due(lane, token=uuid4(), worker_id=1, limit=plan.batch))


def _expect(what: str, counted: object, expected: object) -> None:
    if counted != expected:
        raise MeasuringFailed(f"{what}: expected {expected}, counted {counted}")


def _timed(act: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = act()
    return (time.perf_counter() - began) * 1000, result
