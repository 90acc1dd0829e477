"""The JSON documents in which people, tickets, prescriptions and messages are told. Owns their shape and size.

Rules about their values belong to `dispatchlog.systems.tickets`, which checks them before it writes.
"""

from __future__ import annotations

import re
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from dispatchlog.order_documents import ONE_LINE, Address, Document, Id, ReasonText
from dispatchlog.systems.tickets.inputs import (
    MOST_ATTACHMENTS,
    MOST_BODY,
    MOST_ITEMS,
    AttachmentInput,
    ItemInput,
    MessageInput,
    PartyInput,
    PrescriptionInput,
    TicketInput,
)
from dispatchlog.systems.tickets.items import MOST_INSTRUCTIONS, MOST_NOTES
from dispatchlog.systems.tickets.message_checks import MOST_BYTES, MOST_URL
from dispatchlog.systems.tickets.states import PartyKind, TicketStatus, TicketType

# Tabs and line breaks may stand in a text of several lines; what else controls a terminal may not.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85]")


def _refuse_control_characters(value: str) -> str:
    if _CONTROL.search(value):
        raise PydanticCustomError("CONTROL_CHARACTER", "must not hold control characters")
    return value


def _known_type(value: str) -> str:
    if value not in [*map(str, TicketType)]:
        raise PydanticCustomError("UNKNOWN_VALUE", f"is one of {', '.join(TicketType)}")
    return value


def _known_status(value: str) -> str:
    if value not in [*map(str, TicketStatus)]:
        raise PydanticCustomError("UNKNOWN_STATUS", f"is one of {', '.join(TicketStatus)}")
    return value


LINES = AfterValidator(_refuse_control_characters)
Name = Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
Short = Annotated[str, Field(max_length=64), ONE_LINE]
Line = Annotated[str, Field(max_length=255), ONE_LINE]
Notes = Annotated[str, Field(max_length=MOST_NOTES), LINES]
Instructions = Annotated[str, Field(max_length=MOST_INSTRUCTIONS), LINES]


class PartyDocument(Document):
    """Who takes part in tickets. `email` gets the notifications. A doctor's or patient's id is the person's own."""

    kind: Annotated[str, Field(max_length=16, json_schema_extra={"enum": [*PartyKind]}), ONE_LINE]
    name: Name
    email: Address | None = None
    active: bool = True

    def to_input(self, party_id: UUID) -> PartyInput:
        return PartyInput(party_id, self.kind, self.name, self.email, self.active)


class PersonDocument(Document):
    """Somebody who acts for a party. Without `partyId` the party has the person's id: a doctor or patient of their own."""

    party_id: Id | None = None
    name: Name
    active: bool = True


class TicketDocument(Document):
    """A doctor's choice of who receives a prescription, laboratory request or referral of an appointment."""

    ticket_type: Annotated[
        str,
        Field(max_length=16, description="prescription, lab_request or referral"),
        ONE_LINE,
        AfterValidator(_known_type),
    ] = "prescription"
    appointment_id: Id
    patient_id: Id
    secondary_provider_id: Annotated[Id, Field(description="the pharmacy, laboratory or doctor who receives it")]

    def to_input(self) -> TicketInput:
        return TicketInput(
            TicketType(self.ticket_type), self.appointment_id, self.patient_id, self.secondary_provider_id
        )


class PrescriptionItemDocument(Document):
    """One medicine, test or question."""

    name: Name
    strength: Short = ""
    form: Short = ""
    dosage: Line = ""
    frequency: Line = ""
    duration: Line = ""
    quantity: Short = ""
    refills: Annotated[int, Field(ge=0, le=99)] = 0
    instructions: Instructions = ""

    def to_input(self) -> ItemInput:
        return ItemInput(**self.model_dump())


class PrescriptionDocument(Document):
    """What a doctor saves and so sends."""

    items: Annotated[list[PrescriptionItemDocument], Field(min_length=1, max_length=MOST_ITEMS)]
    notes: Notes = ""
    secondary_provider_id: Annotated[
        Id | None, Field(description="whom it shall go to; where another one was chosen meanwhile, nothing is sent")
    ] = None

    def to_input(self) -> PrescriptionInput:
        return PrescriptionInput(tuple(item.to_input() for item in self.items), self.notes)


class DraftDocument(Document):
    """What was written so far; nothing of it is checked before it is saved as a prescription."""

    draft: Annotated[dict[str, Any], Field(description="a prescription's document, as far as it is written")]


class MoveDocument(Document):
    """Where a ticket shall be; to cancel needs a reason."""

    status: Annotated[
        str,
        Field(max_length=16, description="received, ready, completed or cancelled"),
        ONE_LINE,
        AfterValidator(_known_status),
    ]
    reason: ReasonText = ""


class AttachmentDocument(Document):
    """What is known of a file that was put elsewhere."""

    name: Name
    media_type: Annotated[str, Field(max_length=127, examples=["application/pdf"]), ONE_LINE]
    size_bytes: Annotated[int, Field(ge=1, le=MOST_BYTES)]
    sha256: Annotated[str, Field(max_length=64, description="in hexadecimal"), ONE_LINE] = ""
    url: Annotated[str, Field(max_length=MOST_URL, description="https"), ONE_LINE] = ""

    def to_input(self) -> AttachmentInput:
        return AttachmentInput(self.name, self.media_type, self.size_bytes, self.sha256, self.url)


class MessageDocument(Document):
    """A message. The same `clientMessageId` again is the same message, so it may be sent until an answer comes.

    `senderId` may be said; it then has to be who is signed in. `timelineId` is the entry of the timeline that it is about.
    """

    client_message_id: Id
    body: Annotated[str, Field(max_length=MOST_BODY), LINES] = ""
    attachments: Annotated[list[AttachmentDocument], Field(default_factory=list, max_length=MOST_ATTACHMENTS)]
    timeline_id: Annotated[int | None, Field(ge=1, le=2**53)] = None
    sender_id: Id | None = None

    def to_input(self) -> MessageInput:
        return MessageInput(
            client_message_id=self.client_message_id,
            body=self.body,
            attachments=tuple(attachment.to_input() for attachment in self.attachments),
            timeline_id=self.timeline_id,
            sender_id=self.sender_id,
        )


class ReadDocument(Document):
    """How far one's party has read."""

    number: Annotated[int, Field(ge=0, le=2**53)]
