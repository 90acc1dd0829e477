"""What is told of tickets, prescriptions and messages, and what is wrong with it. No database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.tickets.states import TicketType

MOST_BODY = 8_000
MOST_ATTACHMENTS = 10
MOST_ITEMS = 50


class TicketError(DispatchlogError):
    """It cannot be taken or done as things are; `field` names the culprit, if any. Nothing was changed."""

    def __init__(self, message: str, *, code: str, field: str = "") -> None:
        super().__init__(message, code=code)
        self.field = field


@dataclass(frozen=True, slots=True)
class TicketInput:
    """A doctor's choice of a receiver for an appointment."""

    ticket_type: TicketType
    appointment_id: UUID
    patient_id: UUID
    receiver_id: UUID


@dataclass(frozen=True, slots=True)
class ItemInput:
    """One medicine, test or question. Only the name is asked of every type; a medicine needs a dosage or quantity too."""

    name: str
    strength: str = ""
    form: str = ""
    dosage: str = ""
    frequency: str = ""
    duration: str = ""
    quantity: str = ""
    refills: int = 0
    instructions: str = ""


@dataclass(frozen=True, slots=True)
class PrescriptionInput:
    """What a doctor saves."""

    items: Sequence[ItemInput]
    notes: str = ""


@dataclass(frozen=True, slots=True)
class AttachmentInput:
    """What is known of a file that was put elsewhere: never the file itself. `sha256` in hexadecimal, or ""."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True)
class MessageInput:
    """A message as its sender's client tells it; the same `client_message_id` again is the same message.

    `sender_id` is checked against who is signed in, where a client names it. `timeline_id` is the entry it speaks of.
    """

    client_message_id: UUID
    body: str
    attachments: Sequence[AttachmentInput] = ()
    timeline_id: int | None = None
    sender_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PartyInput:
    """Who takes part: `kind` is one of PartyKind; `email` gets the notifications."""

    party_id: UUID
    kind: str
    name: str
    email: str | None = None
    active: bool = True


@dataclass(frozen=True, slots=True)
class PersonInput:
    """Somebody who acts for a party. `user_id` is their account of the dashboard, if they have one."""

    person_id: UUID
    party_id: UUID
    name: str
    user_id: int | None = None
    active: bool = True


Draft = Mapping[str, Any]
