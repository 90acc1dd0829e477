"""Every error the engine and the gateways raise. Owns the words; decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Health(StrEnum):
    """What the end of a call says of the endpoint itself; its breaker counts that."""

    WELL = "WELL"  # it works; what failed is this row's or our own affair
    BUSY = "BUSY"  # it answered that it cannot now
    AWAY = "AWAY"  # it could not be reached, or gave no answer that makes sense


class DispatchlogError(Exception):
    """Base of every error raised on purpose; `code` is stable and safe to show."""

    code = "INTERNAL"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class GatewayError(DispatchlogError):
    """A send did not end in a receipt. `evidence` is JSON-able, kept with the attempt, and holds no secrets."""

    health = Health.AWAY

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        evidence: Mapping[str, Any] | None = None,
        retry_after_seconds: float | None = None,
        health: Health | None = None,
    ) -> None:
        super().__init__(message, code=code)
        self.evidence: Mapping[str, Any] = evidence or {}
        self.retry_after_seconds = retry_after_seconds
        if health is not None:
            self.health = health


class Transient(GatewayError):
    """Definitely not accepted; may pass later (connection refused, 429, 503, SMTP 4xx)."""

    code = "TRANSIENT"


class Permanent(GatewayError):
    """Definitely not accepted; will not pass as it stands (bad address, SMTP 5xx, HTTP 4xx)."""

    code = "PERMANENT"
    health = Health.WELL


class OutcomeUnknown(GatewayError):
    """The request left and no answer proves what became of it (time-out, reset, truncated reply)."""

    code = "OUTCOME_UNKNOWN"


class FenceLost(DispatchlogError):
    """This process can no longer prove that it is alive to the others, so it must not send."""

    code = "FENCE_LOST"


class CannotCompose(DispatchlogError):
    """The row cannot be turned into something to send (NO_RECIPIENT, ORDER_NOT_FOUND, ...); it fails alone."""

    code = "CANNOT_COMPOSE"


class CannotOpen(DispatchlogError):
    """What is stored of a dispatch is sealed and cannot be read here."""

    code = "CANNOT_OPEN"


class IllegalMove(DispatchlogError):
    """The row is not in a state from which this move starts; nothing was changed."""

    code = "ILLEGAL_MOVE"


class DispatchNotFound(DispatchlogError):
    """No dispatch has this id in this lane."""

    code = "DISPATCH_NOT_FOUND"


class UnknownLane(DispatchlogError):
    """No lane of this name is registered."""

    code = "UNKNOWN_LANE"


class NotInTransaction(DispatchlogError):
    """A ledger move was asked for outside a transaction, where its actor and reason would be lost silently."""

    code = "NOT_IN_TRANSACTION"


class PoolerInBetween(DispatchlogError):
    """A transaction pooler sits between us and PostgreSQL, so session advisory locks prove nothing."""

    code = "POOLER_IN_BETWEEN"


class NaiveInstant(DispatchlogError):
    """An instant without a time zone; every instant is aware."""

    code = "NAIVE_INSTANT"
