"""The same steps on a real PostgreSQL: owns its sessions and its clock, and compares every answer and every row.

The clock is the abstract one: `now()`, `clock_timestamp()` and `pg_postmaster_start_time()` are found in a schema that is
searched before pg_catalog, and return what the explorer says. Everything else is PostgreSQL's own: plans, locks, triggers,
checks and the application's role.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg2

from dispatchlog.engine.presence import LOCK_CLASS
from tests.engine.lane import APPLICATION_ROLE, install
from tests.exploration import seam
from tests.exploration.evaluate import POSTMASTER_STARTED
from tests.exploration.execution import Answer, Blocked
from tests.exploration.pieces import UNDONE
from tests.exploration.schema import UNREAD, Table
from tests.exploration.state import DAYS, PROCESSES, SEATS, State, Step
from tests.exploration.world import World

PATIENCE_SECONDS = 20.0
_CLOCK = f"""
CREATE SCHEMA clock;
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('clock.now')::timestamptz $$;
CREATE FUNCTION clock.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
    AS $$ SELECT current_setting('clock.clock')::timestamptz $$;
CREATE FUNCTION clock.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT timestamptz '{POSTMASTER_STARTED.isoformat()}' $$;
GRANT USAGE ON SCHEMA clock TO {APPLICATION_ROLE};
"""


class Disagreement(AssertionError):
    """The abstract database and PostgreSQL gave different answers, or hold different rows."""


@dataclass
class _Session:
    """One connection of the application; `waiting` is the thread in which its statement waits for a lock."""

    connection: Any
    cursor: Any
    waiting: threading.Thread | None = None
    outcome: Any = None


class Twin:
    """A real database that goes through the steps of an exact world; `compared` counts each statement's comparisons."""

    def __init__(self, world: World, url: str) -> None:
        self.compared: Counter[str] = Counter()
        self.world = world
        self._url = url
        self._sessions: dict[int, _Session] = {}
        self._presences: dict[int, Any] = {}
        install(url)
        self._owner = psycopg2.connect(url)
        self._owner.autocommit = True
        self._watcher = self._owner.cursor()
        self._watcher.execute("SET timezone = UTC")
        self._watcher.execute(_CLOCK)
        for sql, parameters in world.first_rows():
            self._watcher.execute(sql, parameters)
        for process in range(len(PROCESSES)):
            self._hold(process, world.number(world.start(), process))

    def close(self) -> None:
        for seat in list(self._sessions):
            self._end(seat)
        for presence in self._presences.values():
            presence.close()
        self._owner.close()

    # --- one step

    def follow(self, before: State, step: Step) -> None:
        """Do what the step did, and compare. Raises Disagreement."""
        after = step.state
        for process in range(len(PROCESSES)):
            if before.processes[process] != after.processes[process]:
                self._presences.pop(process).close()
                self._hold(process, self.world.number(after, process))
        if not step.did:
            for seat in range(len(SEATS)):
                if before.seats[seat] is not None and after.seats[seat] is None:
                    self._end(seat)
        for question, answer in step.did:
            self._answer(before, step.seat, question, answer)
        if any(isinstance(question, (seam.Commit, seam.Rollback)) for question, _ in step.did) or not step.did:
            self._compare_rows(after)

    def _answer(self, state: State, seat: int, question: Any, answer: Any) -> None:
        session = self._session(seat)
        match question:
            case seam.Begin():
                session.cursor.execute("BEGIN")
                self._set(session, "now", answer)
            case seam.Commit():
                session.cursor.execute("ROLLBACK" if answer == UNDONE else "COMMIT")
            case seam.Rollback():
                session.cursor.execute("ROLLBACK")
            case seam.Statement():
                self._execute(state, session, question, answer)

    def _execute(self, state: State, session: _Session, question: seam.Statement, answer: Any) -> None:
        if session.waiting is None:
            clock = self.world.clock(state.spent[DAYS])
            self._set(session, "clock", clock)
            if session.connection.info.transaction_status == 0:
                self._set(session, "now", clock)
            session.waiting = threading.Thread(target=_run, args=(session, question), daemon=True)
            session.waiting.start()
        if answer is Blocked:
            self._must_wait(session, question)
            return
        session.waiting.join(PATIENCE_SECONDS)
        if session.waiting.is_alive():
            raise Disagreement(f"PostgreSQL waits, the abstract database does not: {question.sql}")
        session.waiting = None
        if isinstance(session.outcome, BaseException):
            raise Disagreement(f"PostgreSQL refuses it ({session.outcome}): {question.sql}")
        _compare(question, answer, session.outcome)
        self.compared[question.sql] += 1

    def _must_wait(self, session: _Session, question: seam.Statement) -> None:
        """The statement has to wait for a lock; it is given some time to come to it."""
        assert session.waiting is not None
        gives_up = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < gives_up and session.waiting.is_alive():
            self._watcher.execute(
                "SELECT wait_event_type FROM pg_stat_activity WHERE pid = %s", (session.connection.info.backend_pid,)
            )
            if self._watcher.fetchone() == ("Lock",):
                return
        raise Disagreement(f"the abstract database waits, PostgreSQL does not: {question.sql}")

    # --- sessions

    def _session(self, seat: int) -> _Session:
        if seat not in self._sessions:
            connection = psycopg2.connect(self._url, options=f"-c role={APPLICATION_ROLE} -c timezone=UTC")
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute("SET search_path = clock, pg_catalog, public")
            # As they are in a session that has had a transaction before; in a new one they are NULL.
            cursor.execute(
                "SELECT set_config('dispatchlog.actor', '', false), set_config('dispatchlog.reason', '', false)"
            )
            self._sessions[seat] = _Session(connection, cursor)
        return self._sessions[seat]

    def _set(self, session: _Session, name: str, instant: datetime) -> None:
        session.cursor.execute(f"SELECT pg_catalog.set_config('clock.{name}', %s, false)", (instant.isoformat(),))

    def _end(self, seat: int) -> None:
        """Close the seat's session, and wait until PostgreSQL has undone what it was in the middle of."""
        session = self._sessions.pop(seat, None)
        if session is None:
            return
        pid = session.connection.info.backend_pid
        self._watcher.execute("SELECT pg_terminate_backend(%s, %s)", (pid, int(PATIENCE_SECONDS * 1000)))
        if session.waiting is not None:
            session.waiting.join()
        session.connection.close()

    def _hold(self, process: int, number: int) -> None:
        """Take the lock of a worker number, as `Presence` does."""
        connection = psycopg2.connect(self._url)
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s, %s)", (LOCK_CLASS, number))
        self._presences[process] = connection

    # --- comparing

    def _compare_rows(self, state: State) -> None:
        for table in self.world.store.tables.values():
            if table.name in ("dispatch_lanes", "dispatch_moves", "retention_policies", "schedule_occurrences"):
                continue  # not written by what is explored
            names = [name for name in table.columns if name not in UNREAD and name != table.identity]
            self._watcher.execute(f"SELECT {', '.join(names)} FROM {table.name}")
            real = sorted((_plain(row) for row in self._watcher.fetchall()), key=repr)
            abstract = sorted(self._abstract_rows(state, table, names), key=repr)
            if real != abstract:
                raise Disagreement(f"{table.name}\nPostgreSQL {real}\nabstract   {abstract}")

    def _abstract_rows(self, state: State, table: Table, names: list[str]) -> Iterator[tuple[Any, ...]]:
        answer = Answer(0, (), tuple(self.world.store[state.data][table.name].values()))
        for row in answer.as_python:
            yield tuple(row[table.at[name]] for name in names)


def _run(session: _Session, question: seam.Statement) -> None:
    try:
        session.cursor.execute(question.sql, question.parameters or None)
        rows = session.cursor.fetchall() if session.cursor.description else []
        names = [column.name for column in session.cursor.description or ()]
        session.outcome = (session.cursor.rowcount, names, rows)
    except psycopg2.Error as error:
        session.outcome = error


def _compare(question: seam.Statement, answer: Answer, outcome: Any) -> None:
    rowcount, names, rows = outcome
    if len(set(names)) == len(names) and set(names) == set(answer.columns):
        kept = [name for name in names if name not in UNREAD]
        real = [tuple(dict(zip(names, _plain(row), strict=True))[name] for name in kept) for row in rows]
        abstract = [
            tuple(dict(zip(answer.columns, row, strict=True))[name] for name in kept) for row in answer.as_python
        ]
    else:
        real, abstract = [_plain(row) for row in rows], answer.as_python
    same = sorted(real, key=repr) == sorted(abstract, key=repr)
    if not same or rowcount != answer.rowcount:
        raise Disagreement(f"{question.sql}\nPostgreSQL {rowcount} {real}\nabstract   {answer.rowcount} {abstract}")


def _plain(row: Any) -> tuple[Any, ...]:
    return tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
