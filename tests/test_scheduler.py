"""The clock: whoever has lost the lock of the leader does nothing more, even where a job was begun before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
import pytest

import scheduler
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.presence import LEADER_LOCK
from dispatchlog.settings import Settings


@pytest.fixture
def sessions(settings_env: Settings) -> Iterator[tuple[Any, Any]]:
    """Two sessions; this process's own connections are another."""
    configure(settings_env.database_url, role="", name="dispatchlog scheduler")
    with ExitStack() as stack:
        stack.callback(database.close_all)
        both = [stack.enter_context(closing(psycopg2.connect(settings_env.database_url))) for _ in range(2)]
        for each in both:
            each.autocommit = True
        yield both[0], both[1]


def has_lock(session: Any) -> bool:
    with session.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", LEADER_LOCK)
        return bool(cursor.fetchone()[0])


def test_a_job_runs_only_while_the_session_with_the_lock_is_there(
    sessions: tuple[Any, Any], settings_env: Settings
) -> None:
    first, second = sessions
    ran: list[int] = []
    job = scheduler.Job("beat", 1, lambda: ran.append(1), "beats", recorded=False)
    clock = scheduler.Clock(settings_env, [job])
    clock._lock_session = first.get_backend_pid()
    scheduler._run_job(job, clock._leads)
    assert ran == []  # it stands by
    assert has_lock(first)
    scheduler._run_job(job, clock._leads)
    assert ran == [1]
    with second.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", (first.get_backend_pid(),))
        assert cursor.fetchone() == (True,)
    assert has_lock(second)
    scheduler._run_job(job, clock._leads)
    assert ran == [1]
