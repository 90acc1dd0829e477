"""The contract between the engine and a gateway. Owns the shapes; sends nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from dispatchlog.engine.deadline import Deadline


class GatewayKind(StrEnum):
    """What a provider offers after a crash in mid-send; decides the recovery."""

    IDEMPOTENT = "IDEMPOTENT"  # takes a key: resend the stored bytes with the same key
    LOOKUP = "LOOKUP"  # can be asked whether it has it
    BLIND = "BLIND"  # neither: never resent by itself


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one send needs, as stored before the first send; a resend hands over the same bytes.

    Attributes:
        dispatch_id: the row's id.
        idempotency_key: what an IDEMPOTENT provider dedupes on; a new one only after a definite no.
        recipient: address, URL or endpoint name, as the gateway understands it.
        body: the exact bytes.
        content_type: MIME type of `body`.
        headers: small JSON-able strings the gateway needs besides the body (for SMTP: the envelope sender).
        trace_id: goes along to the provider where it takes one.
    """

    dispatch_id: UUID
    idempotency_key: str
    recipient: str
    body: bytes
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The provider's definite yes. `evidence` is JSON-able and kept with the attempt."""

    provider_message_id: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)


class LookUpAnswer(StrEnum):
    """What a provider's look-up says of one dispatch."""

    FOUND = "FOUND"
    ABSENT = "ABSENT"
    UNSURE = "UNSURE"


@dataclass(frozen=True, slots=True)
class LookUp:
    """A look-up's answer with its evidence; `provider_message_id` only when FOUND.

    `by_likeness`: it was recognised by what it says, not by our word, so it may as well be another row's. A lane with such
    a provider needs an index on `provider_message_id`.
    """

    answer: LookUpAnswer
    provider_message_id: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)
    by_likeness: bool = False


class Gateway(Protocol):
    """One provider. Thread-safe: one instance serves every thread of a process.

    `send` returns a Receipt, or raises exactly one of Transient, Permanent, OutcomeUnknown. It calls `before_write` once,
    after the connection stands and just before the first byte the provider could act on (SMTP: before the message's
    content); what `before_write` raises passes through unchanged, and then nothing has been sent. It never takes longer
    than `deadline` in total.
    """

    name: str
    kind: GatewayKind
    deadline_seconds: float
    key_retention: timedelta | None
    """IDEMPOTENT: how long the provider remembers a key (None: for ever)."""
    indexing_delay: timedelta
    """LOOKUP: how long after acceptance a look-up may still not find it."""

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt: ...

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp: ...

    def close(self) -> None: ...
