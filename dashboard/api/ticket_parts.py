"""What the API answers of tickets. Each class lists what may leave; the database has decided who gets any of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from dashboard.api.documents import Answer, Part
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.reading import TicketState
from dispatchlog.systems.tickets.states import Side


class PartyPart(Part):
    """Who takes part."""

    party_id: UUID
    kind: str
    name: str

    @classmethod
    def of(cls, row: Row) -> PartyPart:
        return cls(party_id=row["id"], kind=row["kind"], name=row["name"])


class PartyAnswer(Answer):
    """A party as it is stored."""

    party_id: UUID
    kind: str
    name: str
    email: str | None
    active: bool


class PersonAnswer(Answer):
    """A person as they are stored."""

    person_id: UUID
    party_id: UUID
    name: str
    active: bool


class PersonTokenAnswer(Answer):
    """A token with which a person asks the API and the sockets as themselves."""

    token: str
    expires_at: datetime


class PartyListAnswer(Answer):
    """Parties by name."""

    parties: list[PartyPart]


class PrescriptionItemPart(Part):
    """One medicine, test or question."""

    number: int
    name: str
    strength: str
    form: str
    dosage: str
    frequency: str
    duration: str
    quantity: str
    refills: int
    instructions: str


class PrescriptionPart(Part):
    """What the doctor saved."""

    prescription_id: UUID
    notes: str
    items: list[PrescriptionItemPart]
    created_at: datetime


class ReadingPart(Part):
    """How far a party has read."""

    party_id: UUID
    kind: str
    name: str
    read_number: int
    read_at: datetime | None


class ThreadPart(Part):
    """The thread of a ticket; `unread` counts up to 100."""

    thread_id: UUID
    last_number: int
    unread: int
    reading: list[ReadingPart]


class TicketSummaryPart(Part):
    """A ticket of a list; `side` is what the asker is to it, `unread` counts up to 100."""

    ticket_id: UUID
    ticket_number: str
    ticket_type: str
    status: str
    side: str
    appointment_id: UUID
    patient_id: UUID
    patient_name: str
    primary_provider_id: UUID
    doctor_name: str
    secondary_provider_id: UUID
    receiver_name: str
    thread_id: UUID | None
    last_number: int
    unread: int
    waits_since: datetime
    sent_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Row) -> TicketSummaryPart:
        return cls(**{**row, "ticket_id": row["id"]})


class TicketPart(Part):
    """A ticket for who asks. `moves` is where they may move it."""

    ticket_id: UUID
    ticket_number: str
    ticket_type: str
    status: str
    version: int
    side: str
    moves: list[str]
    appointment_id: UUID
    prescription_id: UUID | None
    patient: PartyPart
    primary_provider: PartyPart
    secondary_provider: PartyPart
    thread: ThreadPart
    prescription: PrescriptionPart | None
    sent_at: datetime | None
    received_at: datetime | None
    ready_at: datetime | None
    ended_at: datetime | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, state: TicketState) -> TicketPart:
        values: dict[str, Any] = {
            **state.ticket,
            "ticket_id": state.ticket["id"],
            "side": state.side,
            "moves": [str(status) for status in state.moves],
            "patient": PartyPart.of(state.parties[Side.PATIENT]),
            "primary_provider": PartyPart.of(state.parties[Side.PRIMARY]),
            "secondary_provider": PartyPart.of(state.parties[Side.SECONDARY]),
            "thread": ThreadPart(
                thread_id=state.thread["id"],
                last_number=state.thread["last_number"],
                unread=state.thread["unread"],
                reading=[ReadingPart(**row) for row in state.reading],
            ),
            "prescription": _prescription(state),
        }
        return cls(**values)


def _prescription(state: TicketState) -> PrescriptionPart | None:
    saved = state.prescription
    if saved is None:
        return None
    return PrescriptionPart(
        prescription_id=saved["id"],
        notes=saved["notes"],
        items=[PrescriptionItemPart(**item) for item in state.items],
        created_at=saved["created_at"],
    )


class TicketAnswer(Answer):
    """One ticket. `changed`: whether this request made it, moved it or sent it; not whether it chose another receiver."""

    ticket: TicketPart
    changed: bool = False


class TicketListAnswer(Answer):
    """One page of the asker's tickets. `nextCursor` is null on the last page."""

    tickets: list[TicketSummaryPart]
    next_cursor: str | None


class TicketCountsAnswer(Answer):
    """How many of the asker's tickets are in each open status (up to 1,000), and unread threads (up to 100)."""

    created: int = 0
    sent: int = 0
    received: int = 0
    ready: int = 0
    unread: int = 0


class DraftAnswer(Answer):
    """What a doctor has written so far; null where nothing is kept."""

    draft: dict[str, Any] | None


class TimelinePart(Part):
    """One entry of a ticket's timeline; `timelineId` is what a message may refer to."""

    timeline_id: int
    kind: str
    from_status: str | None
    to_status: str | None
    reason: str | None
    party_kind: str | None
    party_name: str | None
    at: datetime

    @classmethod
    def of(cls, row: Row) -> TimelinePart:
        return cls(**{**row, "timeline_id": row["id"]})


class TimelineAnswer(Answer):
    """A ticket's timeline, oldest entry first."""

    timeline: list[TimelinePart]


class AttachmentPart(Part):
    """What is known of a file that was put elsewhere."""

    name: str
    media_type: str
    size_bytes: int
    sha256: str = ""
    url: str = ""


class ChatMessagePart(Part):
    """One message; `own`: of the asker's party."""

    message_id: UUID
    client_message_id: UUID
    number: int
    sender_id: UUID
    sender_name: str | None
    party_kind: str | None
    party_name: str | None
    own: bool
    body: str
    attachments: list[AttachmentPart] = Field(default_factory=list)
    timeline_id: int | None
    created_at: datetime

    @classmethod
    def of(cls, row: Row) -> ChatMessagePart:
        attachments = [AttachmentPart(**attachment) for attachment in row["attachments"]]
        return cls(**{**row, "message_id": row["id"], "attachments": attachments})


class ThreadAnswer(Answer):
    """A thread: by its ticket, or for old ones by their order."""

    thread_id: UUID
    ticket_id: UUID | None
    order_id: UUID | None
    order_type: str
    is_legacy: bool
    last_number: int

    @classmethod
    def of(cls, row: Row) -> ThreadAnswer:
        return cls(**{**row, "thread_id": row["id"]})


class ChatMessageListAnswer(Answer):
    """Messages by number, oldest first."""

    messages: list[ChatMessagePart]
    has_older: bool
    has_newer: bool


class ChatMessageAnswer(Answer):
    """The message as it is stored; `stored`: by this request."""

    message: ChatMessagePart
    stored: bool


class ReadAnswer(Answer):
    """How far the asker's party has read."""

    thread_id: UUID
    party_id: UUID
    read_number: int
    read_at: datetime | None
    has_unread: bool
