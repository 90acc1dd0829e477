"""What is stored is applied whatever happens in between: processes that die, hints that are lost, late workers."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import redis

from dispatchlog.settings import Settings
from dispatchlog.systems.courier import events, waking
from tests.systems.courier_events.conftest import Asked
from tests.systems.courier_events.samples import COURIER, Made, effects, order, report, state
from tests.tasks.test_actors import worker

DYING = """
import os, signal
from dispatchlog.engine.database import configure
from dispatchlog.settings import get_settings
from dispatchlog.systems.courier import events, orders
configure(get_settings().database_url, role=get_settings().application_role)
orders.note_change = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
events.apply_open()
"""


def until(true: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.02)


def tell(made: Made, event_id: str, status: str) -> None:
    assert events.store_reports(COURIER, "webhook", [report(made, event_id, status)], trace_id="t") == 1


def test_what_was_stored_when_a_process_died_in_the_middle_of_applying_is_applied_once_by_another(
    asked: Asked, events_database: Settings
) -> None:
    made = order()
    tell(made, "1", "ASSIGNED")
    env = {**os.environ, "DATABASE_URL": events_database.database_url, "REDIS_URL": events_database.redis_url}
    died = subprocess.run([sys.executable, "-c", DYING], env=env, check=False, timeout=60)
    assert died.returncode == -9
    assert (effects(made), state(made)["status"]) == ([("ASSIGNED", None)], "BOOKED")
    assert (events.apply_open(), events.apply_open()) == (1, 0)
    assert (effects(made), state(made)["status"]) == ([("ASSIGNED", "MOVED")], "ASSIGNED")
    assert asked.updates == [(made.dispatch, "ASSIGNED")]


def test_storing_sends_one_hint_however_many_events_until_it_is_taken_up(
    asked: Asked, events_database: Settings
) -> None:
    made = order()
    with closing(redis.Redis.from_url(events_database.redis_url)) as client:
        for number, status in enumerate(["ASSIGNED", "PICKED_UP", "IN_TRANSIT"]):
            tell(made, str(number), status)
        until(lambda: client.llen(f"dramatiq:{waking.EVENTS}") == 1)
        events.apply_all()
        assert state(made)["status"] == "IN_TRANSIT"
        tell(made, "4", "DELIVERED")
        until(lambda: client.llen(f"dramatiq:{waking.EVENTS}") == 2)


def test_a_worker_applies_what_it_is_told_of_and_what_nobody_told_it_of(
    asked: Asked, events_database: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, untold = order(), order()
    with worker(events_database, tmp_path / "worker.log"):
        tell(told, "1", "ASSIGNED")
        until(lambda: state(told)["status"] == "ASSIGNED")
        monkeypatch.setattr(waking, "wake", lambda: None)
        tell(untold, "1", "ASSIGNED")
        until(lambda: state(untold)["status"] == "ASSIGNED")
