"""A scheduled sweep happens once however many clocks there are, and does nothing but release and wake."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import redis

from dispatchlog.engine.claims import claim_due
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.sweep import begin_occurrence, sweep, sweep_now
from dispatchlog.engine.wakeup import Waker
from dispatchlog.gateways.fake import FakeGateway

from .lane import column, enqueue, moves, parcel_lane

LONG_PERIOD_SECONDS = 100_000_000  # no boundary falls into a test


@pytest.fixture
def lane(parcels_url: str) -> Lane:
    return parcel_lane(FakeGateway(), waits_for_sweep=True)


def occurrences() -> list[datetime]:
    with connected():
        return [row[0] for row in fetch_all("SELECT occurs_at FROM schedule_occurrences ORDER BY occurs_at")]


def test_two_schedulers_run_each_occurrence_once(parcels_url: str) -> None:
    barrier = threading.Barrier(2, timeout=120)
    jobs = [f"job-{number}" for number in range(30)]

    def scheduler(name: str) -> list[str]:
        ran = []
        for job in jobs:
            barrier.wait()
            if begin_occurrence(job, period_seconds=LONG_PERIOD_SECONDS, started_by=name) is not None:
                ran.append(job)
        return ran

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(scheduler, ["a", "b"])
    assert sorted(first + second) == sorted(jobs)


def test_an_occurrence_begins_on_the_grid_of_its_period_by_the_databases_clock(parcels_url: str) -> None:
    occurs_at = begin_occurrence("job", period_seconds=3600, started_by="a")
    with connected():
        now = fetch_one("SELECT now()")[0]
    assert occurs_at is not None
    assert (occurs_at.minute, occurs_at.second, occurs_at.microsecond) == (0, 0, 0)
    assert timedelta(0) <= now - occurs_at < timedelta(hours=1)


def test_an_occurrence_already_run_is_not_run_again(parcels_url: str) -> None:
    assert begin_occurrence("job", period_seconds=LONG_PERIOD_SECONDS, started_by="a") is not None
    assert begin_occurrence("job", period_seconds=LONG_PERIOD_SECONDS, started_by="b") is None


def test_a_missed_run_is_made_up_for_by_the_next_one(lane: Lane, waker: Waker) -> None:
    (dispatch_id,) = enqueue(lane, due_at=datetime.now(UTC) - timedelta(days=3))  # three days of hourly sweeps missed
    sweep_now(lane, waker, started_by="a")
    with transaction("test"):
        assert column(claim_due(lane, token=uuid4(), worker_id=1, limit=10), "id") == [dispatch_id]


def test_a_sweep_only_records_its_occurrence_and_wakes_its_lane(lane: Lane, waker: Waker, redis_url: str) -> None:
    (dispatch_id,) = enqueue(lane)
    assert sweep(lane, waker, period_seconds=LONG_PERIOD_SECONDS, started_by="a") in occurrences()
    assert moves(dispatch_id) == [(None, "PENDING")]
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.llen("dramatiq:dispatch") == 1
    assert sweep(lane, waker, period_seconds=LONG_PERIOD_SECONDS, started_by="b") is None
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.llen("dramatiq:dispatch") == 1


def test_a_sweep_out_of_turn_releases_what_is_due_by_now_and_not_more(lane: Lane, waker: Waker) -> None:
    (due,) = enqueue(lane)
    enqueue(lane, due_at=datetime.now(UTC) + timedelta(seconds=30))
    sweep_now(lane, waker, started_by="ann")
    with transaction("test"):
        assert column(claim_due(lane, token=uuid4(), worker_id=1, limit=10), "id") == [due]


def test_the_occurrence_releases_the_rows_even_if_its_wake_up_is_lost(lane: Lane, unused_tcp_port: int) -> None:
    from dispatchlog.broker import make_broker

    nowhere = f"redis://127.0.0.1:{unused_tcp_port}/0"
    (dispatch_id,) = enqueue(lane)
    sweep_now(lane, Waker(make_broker(nowhere), nowhere), started_by="a")
    with transaction("test"):
        assert column(claim_due(lane, token=uuid4(), worker_id=1, limit=10), "id") == [dispatch_id]


def test_who_began_an_occurrence_is_kept(parcels_url: str) -> None:
    begin_occurrence("job", period_seconds=60, started_by="scheduler:here")
    with connected():
        assert fetch_all("SELECT job, started_by FROM schedule_occurrences") == [("job", "scheduler:here")]
        execute("SELECT 1")
