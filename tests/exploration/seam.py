"""What the engine touches besides itself, replaced by questions: database, clock, lock, provider. Decides no answer.

A piece of engine code in the middle of its work is the list of the answers it has been given so far. To go on it is run
again from its beginning with these answers; at the first question without one it stops, and that question is what it
wants next. So real code can be left standing between any two steps, in any number of futures, without threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any
from uuid import UUID

import peewee
import psycopg2.errors

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import FenceLost, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.engine.lanes import Lane
from tests.exploration.evaluate import plain
from tests.exploration.execution import Answer

# --- questions


@dataclass(frozen=True)
class Begin:
    """Begin a transaction."""


@dataclass(frozen=True)
class Commit:
    """Answered LOST when the reply did not arrive, whatever became of it."""


@dataclass(frozen=True)
class Rollback:
    """Give the transaction up."""


@dataclass(frozen=True, eq=False)
class Statement:
    """Run one statement; inside a transaction or by itself."""

    sql: str
    parameters: Sequence[Any] | Mapping[str, Any]

    @cached_property
    def values(self) -> Any:
        """The parameters as values of the abstract database."""
        return plain(self.parameters)


@dataclass(frozen=True)
class Connect:
    """Open a connection to the provider; answered OK or REFUSED."""

    dispatch_id: UUID


@dataclass(frozen=True)
class Write:
    """Hand the whole request to the provider; answered with one of `WRITES`, or TOO_LATE."""

    parcel: Parcel


@dataclass(frozen=True)
class Ask:
    """Ask the provider whether it has the dispatch; answered with a LookUpAnswer."""

    parcel: Parcel


@dataclass(frozen=True)
class Held:
    """Whether this worker number's lock is held."""

    number: int


@dataclass(frozen=True)
class Started:
    """When the process with this pid started, "" when there is none."""

    pid: int


@dataclass(frozen=True)
class Clock:
    """What time it is."""


Question = Begin | Commit | Rollback | Statement | Connect | Write | Ask | Held | Started | Clock

OK, LOST, DEADLOCK, REFUSED = "ok", "lost", "deadlock", "refused"
ACCEPTED, REJECTED, BUSY = "accepted", "rejected", "busy"
REPLY_LOST_AFTER, REPLY_LOST_BEFORE = "accepted, but the reply is lost", "neither accepted nor answered"
WRITES = (ACCEPTED, REJECTED, BUSY, REPLY_LOST_AFTER, REPLY_LOST_BEFORE)
TOO_LATE = "too late, so not at all"


class Stopped(BaseException):
    """Unwinds the engine's code at a question without an answer; nothing that it does on the way counts."""


class Run:
    """One piece of engine code while it runs again; the stand-ins below ask it."""

    current: Run

    def __init__(self, answers: Sequence[Any]) -> None:
        self.answers = answers
        self.given = 0
        self.question: Question | None = None
        self.crash_point = "begin"
        self.token: UUID | None = None
        self.is_closed = True
        self.is_broken = False
        self.in_transaction = False

    def ask(self, question: Question) -> Any:
        """The answer, if there is one already. Raises Stopped."""
        if self.question is None and self.given < len(self.answers):
            self.given += 1
            return self.answers[self.given - 1]
        if self.question is None:
            self.question = question
        raise Stopped


@dataclass(frozen=True)
class Standing:
    """Where a piece of code stands: its next question and the last crash point it passed, or how it ended."""

    question: Question | None
    crash_point: str
    error: BaseException | None = None
    result: Any = None


def run(code: Callable[[], Any], answers: Sequence[Any]) -> Standing:
    """Run `code` with these answers until it wants another one, or ends."""
    this = Run.current = Run(answers)
    try:
        result = code()
    except Stopped:
        return Standing(this.question, this.crash_point)
    except Exception as error:  # noqa: BLE001  whatever the engine raises is for the explorer to judge
        return Standing(None, this.crash_point, error=error)
    return Standing(None, this.crash_point, result=result)


# --- stand-ins


@dataclass(frozen=True)
class _Column:
    name: str


class _Cursor:
    """The result of one statement, as psycopg2 gives it."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.rowcount = answer.rowcount

    @property
    def description(self) -> list[_Column]:
        return [_Column(name) for name in self._answer.columns]

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._answer.as_python

    def fetchone(self) -> tuple[Any, ...] | None:
        return self._answer.as_python[0] if self._answer.rows else None


class _ValuesCursor:
    """What `execute_values` needs: it mogrifies each row of values, and then executes the joined text."""

    def __init__(self, database: StandInDatabase) -> None:
        self.connection = self
        self.encoding = "UTF8"
        self._database = database
        self._parameters: list[Any] = []

    def mogrify(self, template: bytes, values: Sequence[Any]) -> bytes:
        self._parameters += values
        return template

    def execute(self, sql: bytes) -> None:
        parameters, self._parameters = self._parameters, []
        self._cursor = self._database.execute_sql(sql.decode(), parameters)

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._cursor.fetchall()


class StandInDatabase:
    """Takes the place of the pooled peewee database: one connection per piece of code, as a thread has."""

    def is_closed(self) -> bool:
        return Run.current.is_closed

    def connect(self) -> None:
        Run.current.is_closed, Run.current.is_broken = False, False

    def close(self) -> None:
        Run.current.is_closed = True

    def in_transaction(self) -> bool:
        return Run.current.in_transaction

    @contextlib.contextmanager
    def atomic(self) -> Iterator[None]:
        this = Run.current
        if this.in_transaction:
            raise NotImplementedError("a savepoint")
        self._answered(this.ask(Begin()))
        this.in_transaction = True
        try:
            yield
        except Stopped:
            raise
        except BaseException:
            this.in_transaction = False
            if not this.is_broken:
                this.ask(Rollback())
            raise
        this.in_transaction = False
        self._answered(this.ask(Commit()))

    def execute_sql(self, sql: str, parameters: Any = None) -> _Cursor:
        if Run.current.is_closed or Run.current.is_broken:
            raise peewee.InterfaceError("connection already closed")
        return _Cursor(self._answered(Run.current.ask(Statement(sql, parameters or ()))))

    def _answered(self, answer: Any) -> Any:
        if answer == LOST:
            Run.current.is_broken = True
            raise peewee.OperationalError("server closed the connection unexpectedly")
        if answer == DEADLOCK:
            raise psycopg2.errors.DeadlockDetected("deadlock detected")
        return answer

    @contextlib.contextmanager
    def cursor(self) -> Iterator[_ValuesCursor]:
        yield _ValuesCursor(self)

    def connection(self) -> StandInDatabase:
        return self


class StandInPresence:
    """A worker number whose lock may be lost at any time. The real one notices that at once, by a peek at its socket."""

    def __init__(self, number: int) -> None:
        self.worker_id = number

    def check(self, worker_id: int) -> None:
        if not Run.current.ask(Held(worker_id)):
            raise FenceLost(f"worker {worker_id} lost its lock")


class StandInWaker:
    """Wakes nobody: the explorer decides who runs when."""

    def wake(self, lane: Lane) -> bool:
        return False


class StandInHolds:
    """Nothing is paused."""

    def keeps(self, lane: Lane) -> bool:
        return False


class StandInBreaker:
    """Always closed."""

    @dataclass(frozen=True)
    class Allowance:
        calls: int

    def allow(self, gateway: str, wanted: int) -> Allowance:
        return self.Allowance(wanted)

    def give_back(self, gateway: str, allowance: Any, *, used: int) -> None:
        pass

    def report(self, gateway: str, *, good: int, bad: int, away: int) -> None:
        pass


class StandInGateway:
    """A provider of one kind, as the engine's contract describes it; what happens to a request is the explorer's choice.

    Before an IDEMPOTENT write nothing is asked and nothing shared happens, so its connecting is no step of its own.
    """

    name = "provider"
    deadline_seconds = 30.0

    def __init__(self, kind: GatewayKind, *, key_retention: timedelta | None, indexing_delay: timedelta) -> None:
        self.kind = kind
        self.key_retention = key_retention
        self.indexing_delay = indexing_delay

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        if self.kind is not GatewayKind.IDEMPOTENT and Run.current.ask(Connect(parcel.dispatch_id)) == REFUSED:
            raise Transient("connection refused", code="CONNECT_FAILED")
        before_write()
        answer = Run.current.ask(Write(parcel))
        if answer == REJECTED:
            raise Permanent("no", code="REJECTED", evidence={"answer": "no"})
        if answer == TOO_LATE:
            raise Transient("the deadline passed before the first byte", code="TIMEOUT")
        if answer == BUSY:
            raise Transient("later", code="BUSY", evidence={"answer": "later"})
        if answer in (REPLY_LOST_AFTER, REPLY_LOST_BEFORE):
            raise OutcomeUnknown("no answer", code="TIMEOUT", evidence={"answer": None})
        return Receipt(f"receipt {parcel.idempotency_key}", {"answer": "yes"})

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:
        answer = LookUpAnswer(Run.current.ask(Ask(parcel)))
        found = answer is LookUpAnswer.FOUND
        return LookUp(answer, f"found {parcel.dispatch_id}" if found else None, {"asked": True})

    def close(self) -> None:
        pass


class StandInClock:
    """Takes the place of `datetime` where the engine asks for the time."""

    @staticmethod
    def now(zone: Any) -> datetime:
        instant: datetime = Run.current.ask(Clock())
        return instant

    @staticmethod
    def boottime() -> float:
        instant: datetime = Run.current.ask(Clock())
        return instant.timestamp()


class StandInTime:
    """Takes the place of the module `time`: nothing takes time unless the explorer lets it pass."""

    @staticmethod
    def perf_counter() -> float:
        return 0.0

    @staticmethod
    def sleep(seconds: float) -> None:
        pass


class StandInSocket:
    """Takes the place of the module `socket`: everything runs on one host."""

    @staticmethod
    def gethostname() -> str:
        return "here"


class Silence:
    """Takes the place of a logger."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *words, **values: None


def crash_point(name: str) -> None:
    """Takes the place of `delivery.crash_point`: where the code stands is known by the last one it passed."""
    Run.current.crash_point = name


def process_start(pid: int) -> str:
    start: str = Run.current.ask(Started(pid))
    return start
