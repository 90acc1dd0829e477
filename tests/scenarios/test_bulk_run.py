"""A bulk retry of two hundred dispatches through a real worker process and a real broker, with and without a kill."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

import psutil
import pytest
import redis

from dispatchlog import bulk
from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine import holds
from dispatchlog.settings import Settings
from scheduler import timetable
from tests.dashboard.crowds import failed_forms
from tests.scenarios.processes import running, wait_for
from tests.test_bulk_runs import acted, app, begun, results, state
from tests.test_bulk_stop import held_in_the_middle, somebody_waits_there

__all__ = ["app"]  # a fixture

ROWS = 200


@pytest.fixture
def failed(app: Settings) -> Iterator[Settings]:
    """Two hundred forms that failed; their lane is paused, so that nothing moves but what the bulk retry moves."""
    get_broker.cache_clear()
    get_waker.cache_clear()
    failed_forms(ROWS)
    holds.hold(holds.Target("lane", "health_information"), actor="ann@example.org", reason="only the bulk action acts")
    yield app
    get_broker.cache_clear()
    get_waker.cache_clear()


def worker(settings: Settings, log: Path) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """What `dispatchlog worker` starts, one process of it."""
    env = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url, "dramatiq_worker_timeout": "100"}
    return running("-m", "dramatiq", "tasks", "--processes", "1", "--threads", "2", env=env, log=log)


def kill(supervisor: subprocess.Popen[bytes]) -> None:
    """kill -9 of the worker and of the process that would put another in its place."""
    workers = psutil.Process(supervisor.pid).children(recursive=True)
    supervisor.kill()
    for process in workers:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    supervisor.wait(timeout=120)


def test_a_message_makes_a_worker_retry_them_all_and_each_has_its_report(failed: Settings, tmp_path: Path) -> None:
    run_id = begun()
    with worker(failed, tmp_path / "log"):
        assert bulk.wake(run_id)
        wait_for(lambda: state(run_id)[0] == "DONE")
    assert state(run_id) == ("DONE", ROWS, 0)
    assert results(run_id) == [("DONE", "PENDING")] * ROWS
    assert acted() == [1] * ROWS
    with redis.Redis.from_url(failed.redis_url) as client:
        assert client.llen(f"dramatiq:{bulk.QUEUE}") == 0


def test_killed_in_the_middle_it_is_resumed_at_the_schedulers_word_and_none_is_acted_on_twice(
    failed: Settings, tmp_path: Path
) -> None:
    run_id = begun()
    assert bulk.wake(run_id)
    with held_in_the_middle(failed, "VO-150"), worker(failed, tmp_path / "log") as first:
        wait_for(somebody_waits_there)
        assert state(run_id) == ("RUNNING", bulk.BATCH, 0)
        kill(first)
    wait_for(lambda: not somebody_waits_there())
    assert state(run_id) == ("RUNNING", bulk.BATCH, 0)
    assert sorted(acted()) == [0] * (ROWS - bulk.BATCH) + [1] * bulk.BATCH
    with worker(failed, tmp_path / "log"):
        next(job for job in timetable(failed) if job.name == "bulk-runs").run()
        wait_for(lambda: state(run_id)[0] == "DONE")
    assert results(run_id) == [("DONE", "PENDING")] * ROWS
    assert acted() == [1] * ROWS
