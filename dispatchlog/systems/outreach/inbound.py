"""What patients write back: stored once, understood, acted on, or given to a person. Owns `comm_inbound`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.states import Channel


@dataclass(frozen=True, slots=True)
class Message:
    """One message from somebody. Addresses as the provider wrote them; `opt_out` is the provider's own word for it, as
    Twilio's OptOutType (STOP, START, HELP) or ""."""

    provider: str
    event_key: str
    channel: Channel
    from_address: str
    to_address: str
    body: str
    provider_message_id: str = ""
    sent_at: datetime | None = None
    opt_out: str = ""


def store_messages(messages: Sequence[Message], *, source: str, trace_id: str) -> int:
    """Store, committed when it returns; how many were new."""
    raise NotImplementedError


def process_all(*, limit: int = 200) -> int:
    """Understand and act on what is stored, each in a transaction of its own; how many."""
    raise NotImplementedError


def settle(inbound_id: UUID, *, intent: str | None, note: str, asker: Asker) -> Mapping[str, Any]:
    """A person says what a message means (its action is done) or that nothing follows (`intent` None).

    Raises:
        OutreachError: INBOUND_NOT_FOUND, ALREADY_PROCESSED, NO_APPOINTMENT, UNKNOWN_INTENT.
    """
    raise NotImplementedError


def waiting(*, limit: int = 100, after: UUID | None = None) -> Sequence[Mapping[str, Any]]:
    """What waits for a person, oldest first."""
    raise NotImplementedError


def of_patient(patient_id: UUID, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
    """A patient's messages, newest first."""
    raise NotImplementedError
