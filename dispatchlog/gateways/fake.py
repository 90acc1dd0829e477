"""Owns gateways that reach nobody: a scriptable fake of any kind and one that accepts all; never opens a socket."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from uuid import UUID

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt


class Outcome(StrEnum):
    """How one scripted send goes."""

    ACCEPT = "ACCEPT"
    REFUSE_CONNECTION = "REFUSE_CONNECTION"  # Transient, before_write is never asked
    TRANSIENT = "TRANSIENT"
    PERMANENT = "PERMANENT"
    UNKNOWN_BEFORE_ACCEPT = "UNKNOWN_BEFORE_ACCEPT"
    UNKNOWN_AFTER_ACCEPT = "UNKNOWN_AFTER_ACCEPT"


@dataclass(frozen=True, slots=True)
class Play:
    """One scripted send.

    Attributes:
        hang_seconds: wait this long (at most until the deadline, then OutcomeUnknown TIMEOUT) before accepting.
        code: the error's code instead of the outcome's name.
        crash: called just after acceptance, before the caller learns of it: the place to kill the process.
    """

    outcome: Outcome = Outcome.ACCEPT
    hang_seconds: float = 0.0
    code: str | None = None
    retry_after_seconds: float | None = None
    crash: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One entry of the fake provider's ledger."""

    dispatch_id: UUID
    key: str
    recipient: str
    body: bytes = field(repr=False)
    provider_message_id: str
    at: datetime

    @property
    def body_sha256(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


class FakeGateway:
    """A provider in memory. Thread-safe; plays its script in order, then accepts.

    As IDEMPOTENT it accepts one key once and remembers the first bytes (a second send with other bytes is refused,
    KEY_REUSED); as LOOKUP it answers from its ledger `indexing_delay` after acceptance; as BLIND it answers UNSURE.
    """

    def __init__(
        self,
        kind: GatewayKind = GatewayKind.IDEMPOTENT,
        *,
        name: str = "fake",
        deadline_seconds: float = 5.0,
        key_retention: timedelta | None = None,
        indexing_delay: timedelta = timedelta(0),
    ) -> None:
        self.name = name
        self.kind = kind
        self.deadline_seconds = deadline_seconds
        self.key_retention = key_retention
        self.indexing_delay = indexing_delay
        self.accepted: list[Acceptance] = []
        self.sends = 0
        self.look_ups = 0
        self._by_key: dict[str, Acceptance] = {}
        self._script: deque[Play] = deque()
        self._answers: deque[LookUpAnswer] = deque()
        self._lock = threading.Lock()
        self._closed = threading.Event()

    def script(self, *plays: Play | Outcome) -> None:
        """What the next sends do, after those already scripted."""
        with self._lock:
            self._script.extend(play if isinstance(play, Play) else Play(play) for play in plays)

    def script_look_ups(self, *answers: LookUpAnswer) -> None:
        """What the next look-ups answer instead of the ledger's truth."""
        with self._lock:
            self._answers.extend(answers)

    def accepted_for(self, dispatch_id: UUID) -> list[Acceptance]:
        with self._lock:
            return [entry for entry in self.accepted if entry.dispatch_id == dispatch_id]

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """As the contract says, by the script."""
        with self._lock:
            self.sends += 1
            play = self._script.popleft() if self._script else Play()
        if play.outcome is Outcome.REFUSE_CONNECTION:
            raise Transient("The fake refuses the connection.", code=play.code or "CONNECT_FAILED")
        before_write()
        self._hang(play, deadline)
        if play.outcome is Outcome.TRANSIENT:
            raise Transient(
                "Scripted.", code=play.code, retry_after_seconds=play.retry_after_seconds, health=Health.BUSY
            )
        if play.outcome is Outcome.PERMANENT:
            raise Permanent("Scripted.", code=play.code)
        if play.outcome is Outcome.UNKNOWN_BEFORE_ACCEPT:
            raise OutcomeUnknown("Scripted: lost before acceptance.", code=play.code or "CONNECTION_LOST")
        entry = self._accept(parcel)
        if play.crash is not None:
            play.crash()
        if play.outcome is Outcome.UNKNOWN_AFTER_ACCEPT:
            raise OutcomeUnknown("Scripted: lost after acceptance.", code=play.code or "CONNECTION_LOST")
        return Receipt(entry.provider_message_id, {"status": 201})

    def _hang(self, play: Play, deadline: Deadline) -> None:
        if play.hang_seconds > 0:
            self._closed.wait(min(play.hang_seconds, deadline.remaining_seconds()))
        if deadline.passed:
            raise OutcomeUnknown("The fake took too long.", code="TIMEOUT")

    def _accept(self, parcel: Parcel) -> Acceptance:
        with self._lock:
            first = self._by_key.get(parcel.idempotency_key)
            if first is not None and self.kind is GatewayKind.IDEMPOTENT:
                if first.body != parcel.body:
                    raise Permanent("This key came with other bytes before.", code="KEY_REUSED")
                return first
            entry = Acceptance(
                dispatch_id=parcel.dispatch_id,
                key=parcel.idempotency_key,
                recipient=parcel.recipient,
                body=parcel.body,
                provider_message_id=f"fake-{len(self.accepted) + 1}",
                at=datetime.now(UTC),
            )
            self.accepted.append(entry)
            self._by_key[entry.key] = entry
            return entry

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """The ledger's truth since an instant, `indexing_delay` late, unless scripted otherwise."""
        with self._lock:
            self.look_ups += 1
            scripted = self._answers.popleft() if self._answers else None
            visible_before = datetime.now(UTC) - self.indexing_delay
            found = [
                entry
                for entry in self.accepted
                if entry.dispatch_id == parcel.dispatch_id and since <= entry.at <= visible_before
            ]
        if self.kind is not GatewayKind.LOOKUP or scripted is LookUpAnswer.UNSURE:
            return LookUp(LookUpAnswer.UNSURE)
        if scripted is LookUpAnswer.ABSENT or (scripted is None and not found):
            return LookUp(LookUpAnswer.ABSENT)
        return LookUp(LookUpAnswer.FOUND, found[0].provider_message_id if found else "fake-scripted")

    def close(self) -> None:
        """Let hanging sends go on."""
        self._closed.set()


_NULL_RECEIPT = Receipt("null")


class NullGateway:
    """Accepts everything at once with one constant receipt, so that a benchmark measures the engine alone."""

    name = "null"
    kind = GatewayKind.IDEMPOTENT
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(self, *, deadline_seconds: float = 5.0) -> None:
        self.deadline_seconds = deadline_seconds

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:  # noqa: ARG002
        """The constant receipt."""
        before_write()
        return _NULL_RECEIPT

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        """Nothing to close."""
