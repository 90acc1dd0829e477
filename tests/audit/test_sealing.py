"""Sealing beside those who write: no row is missed, none sealed twice, whoever is killed and however many seal."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from dispatchlog.audit import horizon as horizons
from dispatchlog.audit.horizon import Horizon
from dispatchlog.audit.sealing import seal_all, seal_once
from dispatchlog.engine.database import connected, fetch_one
from tests.engine.processes import until

from .conftest import MOVE, WHO, Owner, check, seal


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who wait for a writer that goes on are to give up at once."""
    monkeypatch.setattr(horizons, "PATIENCE_SECONDS", 0.0)


@contextmanager
def open_writer(owner: Owner) -> Iterator[Any]:
    """A transaction that has written a move, and with it holds a small id, and goes on."""
    with closing(psycopg2.connect(owner.url)) as connection, connection.cursor() as cursor:
        cursor.execute(MOVE, (str(uuid4()), "slow"))
        yield connection


def sealed_up_to() -> int:
    with connected():
        return int(
            fetch_one("SELECT coalesce(max(last_id), 0) FROM audit_seals WHERE source = 'dispatch_transitions'")[0]
        )


def test_nothing_over_an_open_transaction_is_sealed_until_it_ends(owner: Owner) -> None:
    owner.write_moves(3)
    horizon = Horizon()
    with open_writer(owner) as writer:
        owner.write_moves(5)
        assert seal_all(horizon, who=WHO) == 0
        assert sealed_up_to() == 0
        writer.commit()
    assert seal_all(horizon, who=WHO) == 9
    assert check().rows == 9


def test_an_open_transaction_of_one_source_keeps_no_other_one_waiting(owner: Owner) -> None:
    owner.run("INSERT INTO operator_actions (actor, action) VALUES ('ann', 'retry')")
    with open_writer(owner):
        owner.write_moves(1)
        assert seal() == 1


def test_writers_that_come_meanwhile_are_not_waited_for(owner: Owner) -> None:
    owner.write_moves(1)
    horizon = Horizon()
    with open_writer(owner) as first:
        owner.write_moves(1)
        assert seal_all(horizon, who=WHO) == 0
        with open_writer(owner):
            first.commit()
            # What was newest at the first look: the second writer's row, and what comes after it, is not part of that.
            assert seal_all(horizon, who=WHO) == 3
            assert seal_all(horizon, who=WHO) == 0
    assert check().rows == 3


def test_what_was_rolled_back_leaves_a_gap_and_no_trouble(owner: Owner) -> None:
    with open_writer(owner) as writer:
        owner.write_moves(2)
        writer.rollback()
    assert seal() == 2
    assert check().is_good


def test_a_prepared_transaction_is_waited_for_too(owner: Owner) -> None:
    if owner.run("SHOW max_prepared_transactions") == [("0",)]:
        # Then there are none in this database, and nothing to wait for.
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState), open_writer(owner) as writer:
            writer.cursor().execute("PREPARE TRANSACTION 'half'")
        return
    with open_writer(owner) as writer:
        writer.cursor().execute("PREPARE TRANSACTION 'half'")
    owner.write_moves(1)
    assert seal() == 0
    with closing(psycopg2.connect(owner.url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("COMMIT PREPARED 'half'")
    assert seal() == 2


def write_in_turns(owner: Owner, number: int, kept: list[int]) -> None:
    """Thirty transactions of so many rows, every fifth rolled back; `kept` gets how many rows each other one has."""
    with closing(psycopg2.connect(owner.url)) as connection, connection.cursor() as cursor:
        for turn in range(30):
            for _ in range(number):
                cursor.execute(MOVE, (str(uuid4()), f"writer {number}"))
            if number > 2:
                cursor.execute("SELECT pg_sleep(0.02)")  # the others' larger ids are committed meanwhile
            if turn % 5 == number % 5:
                connection.rollback()
            else:
                connection.commit()
                kept.append(number)


def test_with_many_writers_every_row_is_sealed_once(owner: Owner) -> None:
    """Transactions of different lengths, some rolled back, while two seal all the time."""
    ended = threading.Event()
    kept: list[int] = []

    def keep_sealing() -> None:
        horizon = Horizon()
        while not ended.is_set():
            seal_all(horizon, who=WHO)

    writers = [threading.Thread(target=write_in_turns, args=(owner, number, kept)) for number in (1, 2, 3, 5)]
    sealers = [threading.Thread(target=keep_sealing) for _ in range(2)]
    for thread in [*writers, *sealers]:
        thread.start()
    for thread in writers:
        thread.join()
    ended.set()
    for thread in sealers:
        thread.join()
    seal()
    report = check()
    assert (report.findings, report.rows) == ([], sum(kept))
    assert owner.run("SELECT count(*) FROM dispatch_transitions") == [(sum(kept),)]


def test_of_two_who_seal_at_once_one_does_it(owner: Owner) -> None:
    owner.write_moves(25)
    settled = {"dispatch_transitions": 25}
    with closing(psycopg2.connect(owner.url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(7240129, 2)")
        assert seal_once(settled, who=WHO) == 0
        other.rollback()
    assert [seal_once(settled, who=WHO) for _ in range(4)] == [10, 10, 5, 0]
    assert check().seals == 3


KILLED = """
import sys
from dispatchlog.audit import sealing
from dispatchlog.audit.horizon import Horizon
from dispatchlog.engine.database import configure
sealing.BATCH_ROWS = 10
store = sealing._store
def stored(seal):
    store(seal)
    if seal.number == 3:
        print("third", flush=True)
        sys.stdin.read()
sealing._store = stored
configure(sys.argv[1], role=sys.argv[2], name="killed")
sealing.seal_all(Horizon(), who="killed")
"""


def test_one_who_is_killed_in_the_middle_leaves_a_chain_that_goes_on(owner: Owner) -> None:
    owner.write_moves(35)
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, owner.url, "dispatchlog_app"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as sealer:
        assert sealer.stdout is not None
        assert "third\n" in iter(sealer.stdout.readline, "")
        sealer.send_signal(signal.SIGKILL)
        sealer.wait()
    until(
        lambda: (
            owner.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 2 AND classid = 7240129") == []
        )
    )
    assert sealed_up_to() == 20
    assert seal() == 15
    assert check().rows == 35
