"""One lane's drain: claim, compose, send, record, until nothing is due or its second is over. Owns the order of these
steps and the named crash points between them; every rule is elsewhere.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

import peewee
import psycopg2
import structlog

from dispatchlog.engine import claims, ledger, outcome
from dispatchlog.engine.database import connected, database, execute, transaction
from dispatchlog.engine.deadline import Deadline, boottime
from dispatchlog.engine.errors import DispatchlogError, FenceLost
from dispatchlog.engine.gateway import GatewayKind, Parcel
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import Result
from dispatchlog.engine.outcome import Outcome, Verdict
from dispatchlog.engine.payloads import prepare
from dispatchlog.engine.runtime import Runtime

log = structlog.get_logger(__name__)

T = TypeVar("T")

DRAIN_SECONDS = 1.0
DATABASE_ERRORS = (psycopg2.Error, peewee.DatabaseError, peewee.InterfaceError)
# How long a result is held in memory while PostgreSQL is away; after that its rows show up as in doubt or are resent.
RECORD_PATIENCE_SECONDS = 120.0


@dataclass(slots=True)
class Drained:
    """What one drain did."""

    claimed: int = 0
    sent: int = 0


def crash_point(name: str) -> None:
    """Where tests end this process (`DISPATCHLOG_CRASH_AT=name`), as kill -9 would; does nothing otherwise."""
    if name == _CRASH_AT:
        os.kill(os.getpid(), 9)


_CRASH_AT = os.environ.get("DISPATCHLOG_CRASH_AT", "")


def drain(lane: Lane, runtime: Runtime) -> Drained:
    """Deliver the lane's due rows for about a second, then wake the lane again if more may be due.

    Never raises for a row or a provider. When PostgreSQL is away it logs and returns: the rows wait where they are.
    """
    total = Drained()
    if not runtime.enter(lane):
        return total
    try:
        while True:
            _drain_slot(lane, runtime, total)
            if runtime.leave(lane):
                return total
    except DATABASE_ERRORS as error:
        runtime.abandon(lane)
        log.warning("DRAIN_STOPPED", lane=lane.name, error=type(error).__name__)
        return total
    except BaseException:
        runtime.abandon(lane)
        raise


def _drain_slot(lane: Lane, runtime: Runtime, total: Drained) -> None:
    runtime.waker.clear(lane)
    ends = boottime() + DRAIN_SECONDS
    with connected():
        with transaction(f"worker:{runtime.presence.worker_id}"):
            ledger.expire_due(lane)
        while not runtime.stopping.is_set():
            claimed, sent = deliver_batch(lane, runtime)
            total.claimed += claimed
            total.sent += sent
            if claimed == 0:
                return
            if boottime() >= ends:
                runtime.waker.wake(lane)
                return


def deliver_batch(lane: Lane, runtime: Runtime) -> tuple[int, int]:
    """Claim one batch and see it through; (claimed, sent) comes back.

    Raises:
        peewee.DatabaseError: PostgreSQL went away; what was claimed is rescued, what was sent is proved later.
    """
    limit = runtime.breaker.allow(lane.gateway.name, runtime.batch_limit(lane, seconds=DRAIN_SECONDS / 2))
    if limit == 0:
        return 0, 0
    worker_id = runtime.presence.worker_id
    with runtime.claim_token() as token:
        rows = _claim(lane, token, worker_id, limit)
        if not rows:
            return 0, 0
        crash_point("claimed")
        batch = _Batch(lane, runtime, token, worker_id)
        batch.deliver(rows)
        return len(rows), batch.sent


def _claim(lane: Lane, token: UUID, worker_id: int, limit: int) -> Sequence[Row]:
    try:
        with transaction(f"worker:{worker_id}"):
            # Nothing leaves on a claim alone, so its commit need not wait for the disk: a crash of PostgreSQL that
            # forgets it forgets all that followed too, and a mark or record of a forgotten claim matches no row.
            execute("SET LOCAL synchronous_commit = off")
            return claims.claim_due(lane, token=token, worker_id=worker_id, limit=limit)
    except peewee.IntegrityError:
        # Two claims met at one ordering key; the other one has it.
        return []


class _Batch:
    """The rows of one claim on their way."""

    def __init__(self, lane: Lane, runtime: Runtime, token: UUID, worker_id: int) -> None:
        self.lane = lane
        self.runtime = runtime
        self.token = token
        self.worker_id = worker_id
        self.sent = 0
        self._results: list[Result] = []
        # Where a resend is harmless, outcomes are recorded together; elsewhere each at once, to leave no needless doubt.
        self._together = lane.gateway.kind is GatewayKind.IDEMPOTENT

    def deliver(self, rows: Sequence[Row]) -> None:
        parcels, failed = prepare(self.lane, rows)
        crash_point("composed")
        ends = boottime() + DRAIN_SECONDS
        for position, row in enumerate(rows):
            if position and (self.runtime.stopping.is_set() or boottime() >= ends):
                self._flush()
                self._release(rows[position:])
                return
            error = failed.get(row["id"])
            result = Result(row, self._judge(error, row)) if error else self._send(row, parcels[row["id"]])
            if result is not None:
                self._results.append(result)
                if not self._together:
                    self._flush()
        self._flush()

    def _send(self, row: Row, parcel: Parcel) -> Result | None:
        gateway = self.lane.gateway
        if outcome.must_not_resend(
            row, kind=gateway.kind, key_retention=gateway.key_retention, deadline_seconds=gateway.deadline_seconds
        ):
            return Result(row, outcome.key_expired(row))
        fence: Callable[[], None] = _no_fence
        if gateway.kind is not GatewayKind.IDEMPOTENT:
            try:
                self.runtime.presence.check(self.worker_id)
                if not self._mark(row):
                    return None  # rescued in the meantime: not ours any more, and nothing has left
            except FenceLost as error:
                return Result(row, self._judge(error, row))
            crash_point("marked")
            fence = self._fence
        started = time.perf_counter()
        try:
            receipt = gateway.send(parcel, deadline=Deadline(gateway.deadline_seconds), before_write=fence)
            verdict = outcome.accepted(receipt)
        except DispatchlogError as error:
            verdict = self._judge(error, row)
        elapsed = time.perf_counter() - started
        self.runtime.saw_pace(self.lane, elapsed)
        crash_point("sent")
        return Result(row, verdict, None if verdict.outcome is Outcome.NOT_SENT else elapsed * 1000)

    def _fence(self) -> None:
        self.runtime.presence.check(self.worker_id)
        crash_point("writing")

    def _mark(self, row: Row) -> bool:
        return _patiently(lambda: self._mark_once(row), self.lane)

    def _mark_once(self, row: Row) -> bool:
        with transaction(f"worker:{self.worker_id}"):
            return ledger.mark_sending(self.lane, row, worker_id=self.worker_id)

    def _judge(self, error: DispatchlogError, row: Row) -> Verdict:
        gateway = self.lane.gateway
        return outcome.judge(
            error, row, kind=gateway.kind, retry=self.lane.retry, indexing_delay=gateway.indexing_delay
        )

    def _flush(self) -> None:
        results, self._results = self._results, []
        if not results:
            return
        bad = sum(r.verdict.outcome in (Outcome.TRANSIENT, Outcome.UNKNOWN) for r in results)
        answered = sum(r.verdict.outcome in (Outcome.ACCEPTED, Outcome.PERMANENT) for r in results)
        self.runtime.breaker.report(self.lane.gateway.name, good=answered, bad=bad)
        moved = self._record(results)
        crash_point("recorded")
        self.sent += sum(r.row["id"] in moved and r.verdict.outcome is Outcome.ACCEPTED for r in results)

    def _record(self, results: Sequence[Result]) -> set[UUID]:
        try:
            return _patiently(lambda: self._record_once(results), self.lane)
        except (peewee.IntegrityError, peewee.DataError, peewee.ProgrammingError, DispatchlogError):
            if len(results) == 1:
                # What should follow the sending cannot be stored. The proof must not be lost with it.
                log.exception("RECORD_FAILED", lane=self.lane.name, dispatch_id=str(results[0].row["id"]))
                raise
            moved: set[UUID] = set()
            for result in results:
                moved |= self._record([result])
            return moved

    def _record_once(self, results: Sequence[Result]) -> set[UUID]:
        with transaction(f"worker:{self.worker_id}"):
            return ledger.record(self.lane, self.token, results, worker_id=self.worker_id)

    def _release(self, rows: Sequence[Row]) -> None:
        with transaction(f"worker:{self.worker_id}", "not begun in time, given back"):
            ledger.release(self.lane, self.token, [row["id"] for row in rows])


def _no_fence() -> None:
    """An IDEMPOTENT provider recognises a second send by its key, so nothing has to be proved before it."""


def _patiently(act: Callable[[], T], lane: Lane) -> T:
    """Run `act`, again on a fresh connection while PostgreSQL is away: a result known here must reach the log."""
    gives_up = boottime() + RECORD_PATIENCE_SECONDS
    pause = 0.05
    while True:
        try:
            with connected():
                return act()
        except (peewee.OperationalError, peewee.InterfaceError, psycopg2.OperationalError, psycopg2.InterfaceError):
            if boottime() >= gives_up:
                raise
            log.warning("DATABASE_AWAY", lane=lane.name)
            if not database.is_closed():
                database.close()
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
