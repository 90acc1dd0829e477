"""What an attempt's result means for its row: pure decisions, no clock, no database, so they can be explored whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from dispatchlog.engine.errors import (
    CannotCompose,
    DispatchlogError,
    FenceLost,
    GatewayError,
    Health,
    OutcomeUnknown,
    Permanent,
    Transient,
)
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.states import Status


class Outcome(StrEnum):
    """How one attempt ended, as the attempt's row keeps it."""

    ACCEPTED = "ACCEPTED"
    TRANSIENT = "TRANSIENT"
    PERMANENT = "PERMANENT"
    UNKNOWN = "UNKNOWN"
    NOT_SENT = "NOT_SENT"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the ledger shall record of one attempt.

    Attributes:
        status: SENT, PENDING (again later) or FAILED.
        counts: whether `attempts`, which counts failed attempts, grows by one.
        delay_seconds: for PENDING, how long from now.
        in_doubt: the provider may or may not have accepted it.
        definite: the attempt was certainly not accepted, so the key it used carries no doubt from this claim.
        look_up_in_seconds: when to ask the provider, where it can be asked.
        health: what the attempt says of the endpoint.
    """

    outcome: Outcome
    status: Status
    counts: bool = False
    delay_seconds: float = 0.0
    in_doubt: bool = False
    definite: bool = True
    look_up_in_seconds: float | None = None
    code: str | None = None
    message: str | None = None
    provider_message_id: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    health: Health = Health.WELL


def accepted(receipt: Receipt) -> Verdict:
    """The provider said yes."""
    return Verdict(
        Outcome.ACCEPTED,
        Status.SENT,
        definite=False,
        provider_message_id=receipt.provider_message_id,
        evidence=receipt.evidence,
    )


def not_sent(reason: str, *, code: str = "NOT_SENT") -> Verdict:
    """The attempt ended before anything left this process; the row goes back as it was, and nothing counts."""
    return Verdict(Outcome.NOT_SENT, Status.PENDING, code=code, message=reason)


def key_expired(row: Row) -> Verdict:
    """An earlier try may have been accepted and the provider no longer remembers its key: only a person can know.

    Without an earlier try this process was held up so long that another one may have sent the row since; if none has, it
    goes back for a fresh claim.
    """
    if not has_earlier_doubt(row):
        return not_sent("held up for longer than the provider remembers a key", code="HELD_UP")
    return Verdict(
        Outcome.NOT_SENT,
        Status.FAILED,
        in_doubt=True,
        definite=False,
        code="KEY_EXPIRED",
        message=f"an attempt begun {row['first_claimed_at']:%Y-%m-%d %H:%M} UTC has no known outcome"
        " and the provider no longer remembers its key",
    )


def has_earlier_doubt(row: Row) -> bool:
    """Whether a try before this claim may have been accepted: its key's age began earlier than this claim."""
    return bool(row["first_claimed_at"] < row["claimed_at"])


def must_not_resend(
    row: Row, *, kind: GatewayKind, key_retention: timedelta | None, deadline_seconds: float, held_seconds: float = 0.0
) -> bool:
    """Whether a send with this key might no longer be recognised as a resend by an IDEMPOTENT provider.

    `held_seconds` is how long ago this process claimed the row; a paused process may hold one for hours.
    """
    if kind is not GatewayKind.IDEMPOTENT or key_retention is None:
        return False
    held = timedelta(seconds=held_seconds)
    if not has_earlier_doubt(row):
        return held >= key_retention
    age: timedelta = row["claimed_at"] - row["first_claimed_at"]
    return age + held + timedelta(seconds=deadline_seconds) >= key_retention


def judge(
    error: DispatchlogError,
    row: Row,
    *,
    kind: GatewayKind,
    retry: RetryPolicy,
    indexing_delay: timedelta = timedelta(0),
) -> Verdict:
    """What a send that raised `error` means for `row`.

    An OutcomeUnknown is tried again only where the provider dedupes on our key; elsewhere the row is in doubt, and a
    provider that can be asked is asked after its indexing delay. Doubt from an earlier try under the same key outlives a
    later definite no.
    """
    if isinstance(error, FenceLost):
        return not_sent(error.message, code=error.code)
    if isinstance(error, CannotCompose):
        return _failed(Outcome.NOT_SENT, error, row)
    if isinstance(error, Permanent):
        return _failed(Outcome.PERMANENT, error, row)
    if isinstance(error, Transient):
        return _again_or_failed(Outcome.TRANSIENT, error, row, retry)
    if not isinstance(error, OutcomeUnknown):
        raise TypeError(f"a gateway raised {type(error).__name__}, which is not one of the three gateway errors")
    if kind is GatewayKind.IDEMPOTENT:
        return _again_or_failed(Outcome.UNKNOWN, error, row, retry)
    return Verdict(
        Outcome.UNKNOWN,
        Status.FAILED,
        counts=True,
        in_doubt=True,
        definite=False,
        look_up_in_seconds=indexing_delay.total_seconds() if kind is GatewayKind.LOOKUP else None,
        code=error.code,
        message=error.message,
        evidence=error.evidence,
        health=error.health,
    )


def _failed(outcome: Outcome, error: DispatchlogError, row: Row) -> Verdict:
    return Verdict(
        outcome,
        Status.FAILED,
        counts=True,
        in_doubt=has_earlier_doubt(row),
        code=error.code,
        message=error.message,
        evidence=error.evidence if isinstance(error, GatewayError) else {},
    )


def _again_or_failed(outcome: Outcome, error: GatewayError, row: Row, retry: RetryPolicy) -> Verdict:
    unknown = outcome is Outcome.UNKNOWN
    failures = row["attempts"] - row["attempts_forgiven"] + 1
    spent = failures >= retry.max_attempts
    return Verdict(
        outcome,
        Status.FAILED if spent else Status.PENDING,
        counts=True,
        delay_seconds=0.0 if spent else retry.delay_seconds(failures, retry_after_seconds=error.retry_after_seconds),
        in_doubt=spent and (unknown or has_earlier_doubt(row)),
        definite=not unknown,
        code=error.code,
        message=error.message,
        evidence=error.evidence,
        health=error.health,
    )
