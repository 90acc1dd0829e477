"""One lane's drain: claim, compose, send, record, until nothing is due or its second is over. Owns the order of these
steps and the named crash points between them; every rule is elsewhere.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TypeVar
from uuid import UUID

import peewee
import psycopg2
import structlog

from dispatchlog.engine import claims, ledger, outcome
from dispatchlog.engine.database import DATABASE_AWAY, connected, database, transaction
from dispatchlog.engine.deadline import Deadline, boottime
from dispatchlog.engine.delivery_log import DeliveryLog
from dispatchlog.engine.errors import DispatchlogError, FenceLost, GatewayError, Health, OutcomeUnknown
from dispatchlog.engine.gateway import GatewayKind, Parcel
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import Result
from dispatchlog.engine.outcome import Outcome, Verdict
from dispatchlog.engine.payloads import prepare
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.spans import Span, begin_span
from dispatchlog.engine.states import Status

log = structlog.get_logger(__name__)

T = TypeVar("T")

DRAIN_SECONDS = 1.0
# What one claim takes is meant to be sent within this; what does not fit is given back.
BATCH_SECONDS = 0.8 * DRAIN_SECONDS
DATABASE_ERRORS = (psycopg2.Error, peewee.DatabaseError, peewee.InterfaceError)
# How long a result is held in memory while PostgreSQL is away; after that its rows show up as in doubt or are resent.
RECORD_PATIENCE_SECONDS = 120.0
CLAIM_TRIES = 3


@dataclass(slots=True)
class Drained:
    """What one drain did."""

    claimed: int = 0
    sent: int = 0
    wait_seconds: float = 0.0


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
    except (*DATABASE_ERRORS, DispatchlogError) as error:
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
            if lane.goes_stale:
                ledger.fail_stale(lane)
        while not runtime.stopping.is_set():
            did = deliver_routes(lane, runtime) if lane.is_routed else deliver_batch(lane, runtime)
            total.claimed += did.claimed
            total.sent += did.sent
            if did.claimed == 0:
                if not 0 < did.wait_seconds < ends - boottime():
                    return
                runtime.stopping.wait(did.wait_seconds)
            elif boottime() >= ends:
                runtime.waker.wake(lane)
                return


def deliver_routes(lane: Lane, runtime: Runtime) -> Drained:
    """One batch by each route that has something due; how long until the soonest of them may be used again comes back
    where their rates, and nothing else, kept them all.

    Raises:
        peewee.DatabaseError: as from `deliver_batch`.
    """
    total = Drained()
    waits: list[float] = []
    routes = lane.routes() if lane.routes else {}
    last = runtime.last_key(lane)
    for name in sorted(claims.due_routes(lane), key=lambda name: (name <= last, name)):
        if runtime.stopping.is_set():
            break
        route = routes.get(name)
        if route is None or route.closed:
            continue
        did = deliver_batch(lane.through(route), runtime)
        runtime.claimed_key(lane, name)
        total.claimed += did.claimed
        total.sent += did.sent
        if did.wait_seconds:
            waits.append(did.wait_seconds)
    total.wait_seconds = min(waits, default=0.0) if total.claimed == 0 else 0.0
    return total


def deliver_batch(lane: Lane, runtime: Runtime) -> Drained:
    """Claim one batch and see it through; what it did comes back, and for how long its rate keeps it from more.

    Raises:
        peewee.DatabaseError: PostgreSQL went away; what was claimed is rescued, what was sent is proved later.
    """
    worker_id = runtime.presence.worker_id
    try:
        runtime.presence.check(worker_id)
    except FenceLost:
        return Drained()  # what it claimed now would be rescued from it at once; the heartbeat takes a new number
    if runtime.holds.keeps(lane):
        return Drained()  # a person paused it; whoever lets it go on wakes the lane
    if not _has_keys(lane, runtime):
        return Drained()  # others that have them send it, or it waits for somebody to set them right
    gateway = lane.gateway.name
    allowance = runtime.breaker.allow(gateway, runtime.batch_limit(lane, seconds=BATCH_SECONDS))
    if allowance.calls == 0:
        return Drained()
    with runtime.claim_token() as token:
        batch = _Batch(lane, runtime, token, worker_id)
        granted = 0
        try:
            granted, wait_seconds = _within_rate(lane, runtime, allowance.calls)
            claim = begin_span("claim")
            rows = _claim(lane, runtime, token, worker_id=worker_id, limit=granted) if granted else []
            if rows:
                claim.note(lane=lane.name, gateway=gateway, rows=len(rows))
                claim.end()
                crash_point("claimed")
                if len(rows) == granted and not lane.takes_turns:
                    runtime.waker.wake(lane)  # there may be more, for another slot to begin with while this one sends
                batch.deliver(rows)
            return Drained(len(rows), batch.sent, 0.0 if granted else wait_seconds)
        finally:
            runtime.breaker.give_back(gateway, allowance, used=batch.called)
            if lane.rate_per_second is not None:
                runtime.rates.give_back(
                    gateway, granted - batch.called, per_second=lane.rate_per_second, burst=lane.burst
                )


def _has_keys(lane: Lane, runtime: Runtime) -> bool:
    if lane.seal is None and lane.row_seal is None:
        return True
    try:
        lane.check_seals()
    except DispatchlogError as error:
        runtime.keys.lost(error, lane=lane.name, code=error.code)
        return False
    runtime.keys.found()
    return True


def _within_rate(lane: Lane, runtime: Runtime, wanted: int) -> tuple[int, float]:
    """How many calls the lane's rate allows now, and the seconds until one more.

    A route waits for that, since something is due by it; for a lane the watch looks again in a moment.
    """
    if lane.rate_per_second is None:
        return wanted, 0.0
    granted, wait_seconds = runtime.rates.take_or_wait(
        lane.gateway.name, wanted, per_second=lane.rate_per_second, burst=lane.burst
    )
    return granted, wait_seconds if lane.route is not None else 0.0


def _claim(lane: Lane, runtime: Runtime, token: UUID, *, worker_id: int, limit: int) -> Sequence[Row]:
    for _ in range(CLAIM_TRIES):
        try:
            with transaction(f"worker:{worker_id}"):
                rows = claims.claim_due(
                    lane, token=token, worker_id=worker_id, limit=limit, after_key=runtime.last_key(lane)
                )
        except peewee.IntegrityError:
            continue  # two claims met at one ordering key; the other one has it, and the next look sees that
        if lane.route is None:
            runtime.claimed_key(lane, max((row["ordering_key"] or "" for row in rows), default=""))
        return rows
    return []


class _Batch:
    """The rows of one claim on their way."""

    def __init__(self, lane: Lane, runtime: Runtime, token: UUID, worker_id: int) -> None:
        self.lane = lane
        self.runtime = runtime
        self.token = token
        self.worker_id = worker_id
        self.sent = 0
        self.called = 0
        self._claimed = boottime()
        self._results: list[Result] = []
        self._stuck: set[str | None] = set()
        self._log = DeliveryLog(lane)
        # Where a resend is harmless, outcomes are recorded together; elsewhere each at once, to leave no needless doubt.
        self._together = lane.gateway.kind is GatewayKind.IDEMPOTENT

    def deliver(self, rows: Sequence[Row]) -> None:
        with self._log.batch(rows):
            self._deliver(rows)

    def _deliver(self, rows: Sequence[Row]) -> None:
        try:
            parcels, failed = prepare(self.lane, rows)
        except (*DATABASE_ERRORS, DispatchlogError) as away:
            # A full disk, say, or a key that was changed just now: nothing has left, and no worker died of it. Without an
            # answer they are rescued.
            with contextlib.suppress(*DATABASE_ERRORS):
                self._release(rows, f"its content could not be stored: {type(away).__name__}")
            raise
        crash_point("composed")
        ends = boottime() + DRAIN_SECONDS
        held: list[Row] = []
        for position, row in enumerate(rows):
            if position and (self.runtime.stopping.is_set() or boottime() >= ends):
                self._flush()
                self._release([*held, *rows[position:]], "not begun in time, given back")
                return
            if self._is_held(row):
                held.append(row)
                continue
            self._log.begun(row)
            error = failed.get(row["id"])
            result = Result(row, self._judge(error, row)) if error else self._send(row, parcels[row["id"]])
            if result is None or self._holds_others(result.verdict.status):
                self._stuck.add(row["ordering_key"])
            if result is not None:
                self._results.append(result)
                if not self._together:
                    self._flush()
        self._flush()
        if held:
            self._release(held, "an earlier one has not left")

    def _holds_others(self, status: Status) -> bool:
        return status is Status.PENDING or (status is Status.FAILED and self.lane.failed_blocks)

    def _is_held(self, row: Row) -> bool:
        """Whether an earlier row of its run that must leave first has not left."""
        if self.lane.route is None or not self.lane.in_turn or not self._stuck:
            return False
        return self.lane.route.in_line or row["ordering_key"] in self._stuck

    def _send(self, row: Row, parcel: Parcel) -> Result | None:
        gateway = self.lane.gateway
        if outcome.must_not_resend(
            row,
            kind=gateway.kind,
            key_retention=gateway.key_retention,
            deadline_seconds=gateway.deadline_seconds,
            held_seconds=boottime() - self._claimed,
        ):
            return Result(row, outcome.key_expired(row))
        fence: Callable[[], None] = _no_fence
        if gateway.kind is not GatewayKind.IDEMPOTENT or self.lane.may_leave is not None:
            try:
                self.runtime.presence.check(self.worker_id)
                if not self._mark(row):
                    return None  # rescued in the meantime, or refused: not ours any more, and nothing has left
            except FenceLost as error:
                return Result(row, self._judge(error, row))
            crash_point("marked")
            fence = self._fence
        span = begin_span("send", trace_id=row["trace_id"])
        started = time.perf_counter()
        verdict = self._call(row, parcel, fence)
        elapsed = time.perf_counter() - started
        self._tell_span(span, row, verdict)
        self.runtime.saw_pace(self.lane, elapsed)
        crash_point("sent")
        return Result(row, verdict, None if verdict.outcome is Outcome.NOT_SENT else elapsed * 1000)

    def _tell_span(self, span: Span, row: Row, verdict: Verdict) -> None:
        span.note(
            lane=self.lane.name,
            gateway=self.lane.gateway.name,
            dispatch_id=str(row["id"]),
            outcome=str(verdict.outcome),
        )
        if verdict.outcome is not Outcome.ACCEPTED:
            span.failed(verdict.code or str(verdict.outcome))
        span.end()

    def _call(self, row: Row, parcel: Parcel, fence: Callable[[], None]) -> Verdict:
        gateway = self.lane.gateway
        try:
            return outcome.accepted(
                gateway.send(parcel, deadline=Deadline(gateway.deadline_seconds), before_write=fence)
            )
        except (GatewayError, FenceLost) as error:
            return self._judge(error, row)
        except Exception as error:
            # A gateway has three errors. Anything else is a defect in it, and whether the row has left is anybody's guess.
            log.exception("GATEWAY_DEFECT", lane=self.lane.name, dispatch_id=str(row["id"]))
            defect = f"the gateway failed unexpectedly: {type(error).__name__}"
            return self._judge(OutcomeUnknown(defect, code="GATEWAY_DEFECT", health=Health.BUSY), row)

    def _fence(self) -> None:
        self.runtime.presence.check(self.worker_id)
        crash_point("writing")

    def _mark(self, row: Row) -> bool:
        return _patiently(lambda: self._mark_once(row), self.lane)

    def _mark_once(self, row: Row) -> bool:
        with transaction(f"worker:{self.worker_id}"):
            refusal = self.lane.may_leave(self.lane.opened(row)) if self.lane.may_leave is not None else None
            if refusal is None:
                return ledger.mark_sending(self.lane, row, worker_id=self.worker_id)
        with transaction(f"worker:{self.worker_id}", refusal.reason):
            ledger.refuse(self.lane, row, refusal)
        return False

    def _judge(self, error: DispatchlogError, row: Row) -> Verdict:
        gateway = self.lane.gateway
        return outcome.judge(
            error, row, kind=gateway.kind, retry=self.lane.retry, indexing_delay=gateway.indexing_delay
        )

    def _flush(self) -> None:
        results, self._results = self._results, []
        if not results:
            return
        calls = [r.verdict.health for r in results if r.verdict.outcome is not Outcome.NOT_SENT]
        self.called += len(calls)
        good = calls.count(Health.WELL)
        away = len(list(takewhile(lambda health: health is Health.AWAY, reversed(calls))))
        self.runtime.breaker.report(self.lane.gateway.name, good=good, bad=len(calls) - good, away=away)
        moved = self._record(results)
        crash_point("recorded")
        self._log.recorded(results, moved)
        self.sent += sum(r.row["id"] in moved and r.verdict.outcome is Outcome.ACCEPTED for r in results)

    def _record(self, results: Sequence[Result]) -> set[UUID]:
        try:
            return _patiently(lambda: self._record_once(results), self.lane)
        except DATABASE_AWAY:
            raise
        except Exception as error:
            if len(results) == 1:
                log.exception("RECORD_FAILED", lane=self.lane.name, dispatch_id=str(results[0].row["id"]))
                self._record_without_what_follows(results[0], error)
                return set()
            moved: set[UUID] = set()
            for result in results:
                moved |= self._record([result])
            return moved

    def _record_without_what_follows(self, result: Result, error: Exception) -> None:
        """What should follow the sending cannot be stored, so the row cannot be SENT, but the proof must not be lost.

        It counts as unknown, with the acceptance in its evidence: resent where that is harmless, else in doubt.
        """
        verdict = replace(result.verdict, evidence={})
        if verdict.outcome is Outcome.ACCEPTED:
            accepted = OutcomeUnknown(
                f"the provider accepted it, but what follows could not be recorded: {type(error).__name__}",
                code="RECORD_FAILED",
                evidence={"accepted": True, "provider_message_id": verdict.provider_message_id},
            )
            verdict = self._judge(accepted, result.row)
        _patiently(lambda: self._record_once([replace(result, verdict=verdict)]), self.lane)

    def _record_once(self, results: Sequence[Result]) -> set[UUID]:
        with transaction(f"worker:{self.worker_id}"):
            return ledger.record(self.lane, self.token, results, worker_id=self.worker_id)

    def _release(self, rows: Sequence[Row], reason: str) -> None:
        with transaction(f"worker:{self.worker_id}", reason):
            ledger.release(self.lane, self.token, [row["id"] for row in rows])


def _no_fence() -> None:
    """An IDEMPOTENT provider recognises a second send by its key, so nothing has to be proved before it."""


def _patiently(act: Callable[[], T], lane: Lane) -> T:
    """Run `act`, again on a fresh connection while PostgreSQL is away: a result known here must reach the log."""
    gives_up = boottime() + RECORD_PATIENCE_SECONDS
    pause = 0.05
    while True:
        try:
            if database.is_closed():
                database.connect()  # the drain goes on with it, and gives it back at its end
            return act()
        except DATABASE_AWAY as error:
            if boottime() >= gives_up:
                raise
            log.warning("DATABASE_AWAY", lane=lane.name, error=type(error).__name__)
            if not database.is_closed():
                database.close()
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
