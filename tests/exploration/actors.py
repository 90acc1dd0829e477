"""The pieces of the engine that the explorer runs, each as a plain value, and the real code put upon the stand-ins."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import peewee
import psycopg2

from dispatchlog.engine import database as engine_database
from dispatchlog.engine import deadline, delivery, delivery_log, ledger, lookup, operator, payloads, presence, rescue
from dispatchlog.engine import runtime as engine_runtime
from dispatchlog.engine.database import connected, transaction
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.runtime import Runtime
from tests.engine.lane import parcel_lane
from tests.exploration import seam

# What the engine would do in hours at its usual settings happens within the explorer's few steps of time.
ATTEMPTS = 2
MOST_RESCUES = 2
MOST_LOOKUPS = 2
WHO = "a person"


def lane_of(kind: GatewayKind, *, batch: int, key_retention: timedelta) -> Lane:
    """The parcel lane over a provider of this kind, with every delay far below one step of time."""
    gateway = seam.StandInGateway(
        kind,
        key_retention=key_retention if kind is GatewayKind.IDEMPOTENT else None,
        indexing_delay=timedelta(seconds=10),
    )
    retry = RetryPolicy(max_attempts=ATTEMPTS, first_delay_seconds=60, jitter=0)
    return parcel_lane(gateway, batch=batch, retry=retry)


@dataclass(frozen=True)
class Actor:
    """One piece of work: what is done, by which worker number, and on which dispatch or with which token."""

    work: str
    number: int = 0
    dispatch_id: UUID | None = None
    token: UUID | None = None
    live: tuple[UUID, ...] = ()


def code_of(actor: Actor, lane: Lane) -> Callable[[], Any]:
    """The real code that does an actor's work."""
    return lambda: _WORK[actor.work](actor, lane)


def _deliver(actor: Actor, lane: Lane) -> bool:
    """As `drain` does, one batch of it; whether it came to its end."""
    presence: Any = seam.StandInPresence(actor.number)
    breaker: Any = seam.StandInBreaker()
    waker: Any = seam.StandInWaker()
    unused: Any = object()  # the lane has no rate
    holds: Any = seam.StandInHolds()
    runtime = Runtime(presence, waker, breaker, unused, holds)
    seam.Run.current.token = actor.token
    with contextlib.suppress(*delivery.DATABASE_ERRORS), connected():
        delivery.deliver_batch(lane, runtime)
        return True
    return False


def _expire(actor: Actor, lane: Lane) -> None:
    with contextlib.suppress(*delivery.DATABASE_ERRORS), transaction(f"worker:{actor.number}"):
        ledger.expire_due(lane)


def _rescue(actor: Actor, lane: Lane) -> None:
    with contextlib.suppress(psycopg2.Error, peewee.PeeweeException), connected():
        rescue.rescue(lane, worker_id=actor.number, live_tokens=actor.live)


def _look_up(actor: Actor, lane: Lane) -> None:
    with contextlib.suppress(psycopg2.Error, peewee.PeeweeException), connected():
        lookup.look_up_due(lane, worker_id=actor.number)


def _ask(actor: Actor, lane: Lane) -> None:
    """As the page's button does."""
    assert actor.dispatch_id is not None
    with contextlib.suppress(psycopg2.Error, peewee.PeeweeException), connected():
        row = operator.find(lane, actor.dispatch_id)
        if row["in_doubt"]:
            lookup.look_up(lane, row, actor=WHO)


def _told(actor: Actor, lane: Lane) -> None:
    """A provider's own word that it has the dispatch, as a webhook brings it."""
    assert actor.dispatch_id is not None
    with contextlib.suppress(psycopg2.Error, peewee.PeeweeException), connected():
        row = operator.find(lane, actor.dispatch_id)
        with transaction("provider"):
            ledger.prove(lane, row, provider_message_id=None, evidence={"told": True})


def _desk(act: Callable[..., Any], *, many: bool = False) -> Callable[[Actor, Lane], Any]:
    def work(actor: Actor, lane: Lane) -> None:
        which = [actor.dispatch_id] if many else actor.dispatch_id
        with contextlib.suppress(psycopg2.Error, peewee.PeeweeException), connected():
            act(lane, which, actor=WHO, reason="asked for")

    return work


_WORK: dict[str, Callable[[Actor, Lane], Any]] = {
    "deliver": _deliver,
    "expire": _expire,
    "rescue": _rescue,
    "look up": _look_up,
    "ask": _ask,
    "told": _told,
    "retry": _desk(operator.retry, many=True),
    "cancel": _desk(operator.cancel, many=True),
    "confirm sent": _desk(operator.confirm_sent),
    "confirm not sent": _desk(operator.confirm_not_sent),
}

DATABASE = seam.StandInDatabase()
_PATCHES: tuple[tuple[Any, str, Any], ...] = (
    *((module, "database", DATABASE) for module in (engine_database, delivery, ledger, payloads)),
    *((module, "log", seam.Silence()) for module in (delivery, delivery_log, payloads, rescue, lookup)),
    (delivery, "crash_point", seam.crash_point),
    (delivery, "boottime", seam.StandInClock.boottime),
    (delivery, "time", seam.StandInTime),
    (deadline, "boottime", lambda: 0.0),
    (engine_runtime, "uuid4", lambda: seam.Run.current.token),
    (presence, "socket", seam.StandInSocket),
    (presence, "boot_id", lambda: "this boot"),
    (presence, "process_start", seam.process_start),
    (lookup, "MOST_LOOKUPS", MOST_LOOKUPS),
    (operator, "datetime", seam.StandInClock),
    (rescue, "MOST_RESCUES", MOST_RESCUES),
)


@contextlib.contextmanager
def engine_on_stand_ins() -> Iterator[None]:
    """While this lasts the engine's modules ask the stand-ins."""
    with contextlib.ExitStack() as stack:
        for module, name, stand_in in _PATCHES:
            stack.enter_context(mock.patch.object(module, name, stand_in))
        yield
