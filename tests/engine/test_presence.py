"""A worker's lock proves that it lives: freed by its death and by nothing else, and asked before anything leaves."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from dispatchlog.engine import presence as presence_module
from dispatchlog.engine.errors import FenceLost, PoolerInBetween
from dispatchlog.engine.presence import LOCK_CLASS, Presence, boot_id, process_start
from tests.lateness import within

from .lane import APPLICATION_ROLE, owner
from .processes import PATIENCE_SECONDS, until, worker

# Python 3.12 and later warn of forking beside threads, which is what these tests are about.
forks = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture
def cursor(database_url: str) -> Iterator[Any]:
    with owner(database_url) as opened:
        yield opened


def is_held(cursor: Any, worker_id: int) -> bool:
    cursor.execute("SELECT pg_try_advisory_xact_lock_shared(%s, %s)", (LOCK_CLASS, worker_id))
    return not cursor.fetchone()[0]


def terminate(cursor: Any) -> None:
    cursor.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'dispatchlog worker lock'"
    )
    assert cursor.rowcount == 1


@pytest.fixture
def here(database_url: str) -> Iterator[Presence]:
    opened = Presence(database_url, role=APPLICATION_ROLE)
    opened.open()
    yield opened
    opened.close()


def test_an_open_presence_holds_its_lock_and_names_its_process(here: Presence, cursor: Any) -> None:
    assert is_held(cursor, here.worker_id)
    here.check(here.worker_id)
    cursor.execute("SELECT pid, boot_id, process_started, kind, stopped_at FROM dispatch_workers")
    assert cursor.fetchall() == [(os.getpid(), boot_id(), process_start(os.getpid()), "worker", None)]


def test_closing_frees_the_lock_and_says_goodbye(database_url: str, cursor: Any) -> None:
    opened = Presence(database_url, role=APPLICATION_ROLE)
    worker_id = opened.open()
    opened.close()
    until(lambda: not is_held(cursor, worker_id), what="the lock is free")
    cursor.execute("SELECT stopped_at IS NOT NULL FROM dispatch_workers WHERE id = %s", (worker_id,))
    assert cursor.fetchone() == (True,)
    with pytest.raises(FenceLost):
        opened.check(worker_id)


def test_a_number_is_never_given_twice(database_url: str) -> None:
    numbers = set()
    for _ in range(3):
        opened = Presence(database_url, role=APPLICATION_ROLE)
        numbers.add(opened.open())
        opened.close()
    assert len(numbers) == 3


def test_kill_9_frees_the_lock_within_100_milliseconds(database_url: str, cursor: Any) -> None:
    freed_seconds = seconds_to_free(database_url, cursor)
    for _ in range(9):
        if freed_seconds < 0.1:
            break
        freed_seconds = seconds_to_free(database_url, cursor)  # a busy machine may delay some
    print(f"freed {freed_seconds * 1000:.1f} ms after kill -9")
    assert freed_seconds < 0.1


def seconds_to_free(database_url: str, cursor: Any) -> float:
    with worker(database_url=database_url) as other:
        assert is_held(cursor, other.worker_id)
        other.process.kill()
        return until(lambda: not is_held(cursor, other.worker_id), what="the lock is free")


def test_a_forked_child_does_not_keep_a_dead_parents_lock(database_url: str, cursor: Any) -> None:
    with worker(database_url=database_url, fork=True) as other:
        other.process.kill()
        other.process.wait(timeout=PATIENCE_SECONDS)
        until(lambda: not is_held(cursor, other.worker_id), what="the lock is free")
        assert other.process.stdin is not None  # the child lives until this is closed


@forks
def test_a_child_that_ends_does_not_free_its_parents_lock(here: Presence, cursor: Any) -> None:
    child = os.fork()
    if child == 0:
        here._connection.close()  # what a child's exit or garbage collection would do
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    here.check(here.worker_id)
    here._confirm()
    assert is_held(cursor, here.worker_id)


@forks
def test_a_child_is_nobody(here: Presence) -> None:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            here.check(1)
            answer = b"sends"
        except FenceLost:
            answer = b"refuses"
        os.write(write_end, answer)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read_end, 10) == b"refuses"
    os.close(read_end)
    os.close(write_end)


def test_a_lost_lock_is_noticed_before_the_next_write_and_replaced_under_a_new_number(
    here: Presence, cursor: Any
) -> None:
    lost = here.worker_id
    terminate(cursor)
    with pytest.raises(FenceLost, match=f"worker {lost} lost its lock"):
        here.check(lost)
    until(lambda: here.worker_id != lost, what="a new number")
    here.check(here.worker_id)
    assert is_held(cursor, here.worker_id)
    assert not is_held(cursor, lost)
    with pytest.raises(FenceLost):
        here.check(lost)  # what was claimed under the old number is no longer ours


def test_a_process_paused_for_long_proves_its_lock_anew_before_it_sends(here: Presence, cursor: Any) -> None:
    before = last_seen(cursor, here.worker_id)
    here.check(here.worker_id)
    assert last_seen(cursor, here.worker_id) == before  # a fresh proof is good for a few seconds: no query
    here._confirmed -= presence_module.STALE_SECONDS + 1  # as after a pause, before the heartbeat's next turn
    here.check(here.worker_id)
    assert last_seen(cursor, here.worker_id) > before


def last_seen(cursor: Any, worker_id: int) -> Any:
    cursor.execute("SELECT last_seen_at FROM dispatch_workers WHERE id = %s", (worker_id,))
    return cursor.fetchone()[0]


def test_a_lock_that_does_not_answer_stops_the_sender_within_about_a_second(here: Presence) -> None:
    with (  # as while a heartbeat waits for a server that hangs
        here._guard,
        within(3),
        pytest.raises(FenceLost, match="has not answered"),
    ):
        here.check(here.worker_id)


def test_the_check_costs_microseconds(here: Presence) -> None:
    here.check(here.worker_id)
    rounds = []
    for _ in range(10):
        started = time.perf_counter()
        for _ in range(100):
            here.check(here.worker_id)
        rounds.append((time.perf_counter() - started) / 100)
    assert min(rounds) < 0.001


def test_a_pooler_in_between_is_refused(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pooler answers for whichever server session is free: its greeting names another one than the query does."""

    class Pooled(psycopg2.extensions.connection):
        @property
        def info(self) -> Any:
            class Info:
                backend_pid = 1

            return Info()

    connect = psycopg2.connect
    monkeypatch.setattr(psycopg2, "connect", lambda *a, **k: connect(*a, **k, connection_factory=Pooled))
    with pytest.raises(PoolerInBetween, match="connect the worker directly"):
        Presence(database_url, role=APPLICATION_ROLE).open()


def test_the_lock_s_connection_has_no_idle_neighbours(here: Presence, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as opened:
        opened.execute(
            "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert opened.fetchall() == [("dispatchlog worker lock",)]


@pytest.mark.parametrize(
    ("change", "is_noted"),
    [
        ("boot_id = 'an earlier boot'", True),
        ("pid = 4194305, process_started = '1'", True),
        ("pid = pid", False),
        ("host = 'elsewhere', boot_id = 'an earlier boot'", False),
        ("boot_id = ''", False),
    ],
)
def test_a_host_that_comes_back_says_which_of_its_workers_are_gone(
    database_url: str, cursor: Any, change: str, is_noted: bool
) -> None:
    worker_id = a_worker_without_a_goodbye(database_url, cursor)
    cursor.execute(f"UPDATE dispatch_workers SET {change} WHERE id = %s", (worker_id,))
    with closing(Presence(database_url, role=APPLICATION_ROLE)) as back:
        back.open()
        cursor.execute("SELECT stopped_at IS NOT NULL FROM dispatch_workers WHERE id = %s", (worker_id,))
        assert cursor.fetchone() == (is_noted,)


def a_worker_without_a_goodbye(database_url: str, cursor: Any) -> int:
    opened = Presence(database_url, role=APPLICATION_ROLE)
    worker_id = opened.open()
    opened.close()
    until(lambda: not is_held(cursor, worker_id), what="the lock is free")
    cursor.execute("UPDATE dispatch_workers SET stopped_at = NULL WHERE id = %s", (worker_id,))
    return worker_id


def test_whoever_holds_its_lock_is_not_gone_whatever_its_host_is_called(
    here: Presence, database_url: str, cursor: Any
) -> None:
    cursor.execute("UPDATE dispatch_workers SET boot_id = 'another machine of this name'")
    with closing(Presence(database_url, role=APPLICATION_ROLE)) as other:
        other.open()
        cursor.execute("SELECT stopped_at FROM dispatch_workers WHERE id = %s", (here.worker_id,))
        assert cursor.fetchone() == (None,)


def test_postgresql_notices_a_vanished_worker_within_half_a_minute(here: Presence) -> None:
    """Not after two hours, as it would by itself: until then nobody takes over what the worker held."""
    with here._connection.cursor() as asking:
        asking.execute(
            "SELECT name, setting::int FROM pg_settings WHERE name LIKE 'tcp_keepalives_%' OR name = 'tcp_user_timeout'"
        )
        found = dict(asking.fetchall())
    idle, interval, count = (found[f"tcp_keepalives_{name}"] for name in ("idle", "interval", "count"))
    assert (idle + interval * count, found["tcp_user_timeout"]) == (25, 25_000)
