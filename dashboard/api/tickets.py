"""The API's routes about tickets and prescriptions. Owns their URLs and answers; the rules are `systems.tickets`'."""

from __future__ import annotations

from uuid import UUID

from dashboard.api.cursors import read_cursor, write_cursor
from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.routes import Call, Route, path_uuid, read_limit
from dashboard.api.ticket_parts import (
    DraftAnswer,
    TicketAnswer,
    TicketCountsAnswer,
    TicketListAnswer,
    TicketPart,
    TicketSummaryPart,
    TimelineAnswer,
    TimelinePart,
)
from dispatchlog.pharmacy_documents import NothingDocument
from dispatchlog.systems.tickets import handling, opening, prescribing, reading
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.listing import number_asked
from dispatchlog.systems.tickets.reading import Position, TicketQuery
from dispatchlog.systems.tickets.states import TicketStatus, TicketType
from dispatchlog.ticket_documents import DraftDocument, MoveDocument, PrescriptionDocument, TicketDocument
from dispatchlog.tracing import current_trace_id

PERSON = ("PERSON_UNKNOWN", "PERSON_INACTIVE", "FORBIDDEN_ROLE", "CSRF")
_MOST_TEXT = 200


def choose_receiver(call: Call) -> TicketAnswer:
    """Begin a ticket, or have another receiver for it."""
    document: TicketDocument = call.document
    ticket, made = opening.choose_receiver(call.who, document.to_input(), trace_id=current_trace_id())
    return _answer(call.who, ticket["id"], changed=made)


def find_tickets(call: Call) -> TicketListAnswer:
    """One page of the asker's tickets."""
    given = call.parameters
    cursor = given.get("cursor", "")
    query = TicketQuery(
        statuses=[_status(name) for name in given.get("status", "").split(",") if name],
        ticket_type=_type(given["type"]) if given.get("type") else None,
        text=_number_asked(given.get("q", "")),
        unread=_flag(call, "unread"),
        oldest_first=_flag(call, "oldestFirst"),
        after=Position(*read_cursor(cursor)) if cursor else None,
        limit=read_limit(call),
    )
    page = reading.ticket_page(call.who, query)
    return TicketListAnswer(
        tickets=[TicketSummaryPart.of(row) for row in page.tickets],
        next_cursor=write_cursor(page.next.at, page.next.ticket_id) if page.next else None,
    )


def count_tickets(call: Call) -> TicketCountsAnswer:
    """How many wait."""
    return TicketCountsAnswer(**reading.ticket_counts(call.who))


def get_ticket(call: Call, ticket_id: str) -> TicketAnswer:
    """One ticket with its prescription. Looking at it changes nothing."""
    return _answer(call.who, path_uuid(ticket_id, "ticketId"))


def get_timeline(call: Call, ticket_id: str) -> TimelineAnswer:
    """What happened to it."""
    rows = reading.ticket_timeline(call.who, path_uuid(ticket_id, "ticketId"))
    return TimelineAnswer(timeline=[TimelinePart.of(row) for row in rows])


def open_ticket(call: Call, ticket_id: str) -> TicketAnswer:
    """The receiver opens it."""
    ticket, received = handling.open_ticket(call.who, path_uuid(ticket_id, "ticketId"))
    return _answer(call.who, ticket["id"], changed=received)


def move_ticket(call: Call, ticket_id: str) -> TicketAnswer:
    """Give it another status."""
    document: MoveDocument = call.document
    wanted = path_uuid(ticket_id, "ticketId")
    ticket, moved = handling.move_ticket(
        call.who, wanted, TicketStatus(document.status), reason=document.reason.strip()
    )
    return _answer(call.who, ticket["id"], changed=moved)


def get_draft(call: Call, ticket_id: str) -> DraftAnswer:
    """What was written so far."""
    draft = prescribing.kept_draft(call.who, path_uuid(ticket_id, "ticketId"))
    return DraftAnswer(draft=dict(draft) if draft is not None else None)


def put_draft(call: Call, ticket_id: str) -> DraftAnswer:
    """Keep what was written so far."""
    document: DraftDocument = call.document
    prescribing.keep_draft(call.who, path_uuid(ticket_id, "ticketId"), document.draft)
    return DraftAnswer(draft=document.draft)


def save_prescription(call: Call, ticket_id: str) -> TicketAnswer:
    """Save the prescription; the ticket is sent."""
    document: PrescriptionDocument = call.document
    wanted = path_uuid(ticket_id, "ticketId")
    before = reading.ticket_state(call.who, wanted).ticket["version"]
    ticket = prescribing.save_prescription(
        call.who, wanted, document.to_input(), receiver_id=document.secondary_provider_id
    )
    return _answer(call.who, ticket["id"], changed=ticket["version"] != before)


def _answer(who: Identity, ticket_id: UUID, *, changed: bool = False) -> TicketAnswer:
    return TicketAnswer(ticket=TicketPart.of(reading.ticket_state(who, ticket_id)), changed=changed)


def _status(name: str) -> TicketStatus:
    try:
        return TicketStatus(name.strip())
    except ValueError:
        message = f"status is one or more of {', '.join(TicketStatus)}, with commas between them"
        raise ApiError("UNKNOWN_STATUS", message, field="status") from None


def _type(name: str) -> TicketType:
    try:
        return TicketType(name)
    except ValueError:
        raise ApiError("UNKNOWN_VALUE", f"type is one of {', '.join(TicketType)}", field="type") from None


def _number_asked(text: str) -> str:
    """Whoever it is for does not belong into an address, which many logs keep."""
    if text and number_asked(text.strip()[:_MOST_TEXT]) is None:
        raise ApiError("INVALID_KEY", "q is a ticket's number or its beginning, such as TKT-20260129", field="q")
    return text.strip()


def _flag(call: Call, name: str) -> bool:
    text = call.parameters.get(name, "false")
    if text not in ("true", "false"):
        raise ApiError("UNKNOWN_VALUE", f"{name} is true or false", field=name)
    return text == "true"


_TICKETS = f"{PREFIX}/tickets"
_TICKET = f"{_TICKETS}/<ticket_id>"

ROUTES = (
    Route(
        "POST",
        _TICKETS,
        "chooseReceiver",
        "A doctor chooses who receives a prescription: ticket, thread and members at once. Again it is the same.",
        "",
        choose_receiver,
        TicketAnswer,
        document=TicketDocument,
        creates=lambda answer: answer.changed,
        codes=(
            *PERSON,
            "UNKNOWN_VALUE",
            "NOT_A_DOCTOR",
            "PATIENT_NOT_FOUND",
            "RECEIVER_NOT_FOUND",
            "TICKET_ALREADY_SENT",
            "TICKET_OF_ANOTHER",
            "NO_TICKET_NUMBER",
        ),
    ),
    Route(
        "GET",
        _TICKETS,
        "findTickets",
        "The asker's tickets: a doctor's own, a pharmacy's inbox, a patient's. Newest first.",
        "",
        find_tickets,
        TicketListAnswer,
        parameters={
            "status": "one or more, with commas between them",
            "type": "prescription, lab_request or referral",
            "q": "a ticket's number or its beginning",
            "unread": "true: those with something unread",
            "oldestFirst": "true: those that have waited longest first",
            "limit": "1 to 200 tickets; 50 unless told",
            "cursor": "nextCursor of the page before",
        },
        codes=(*PERSON, "UNKNOWN_STATUS", "UNKNOWN_VALUE", "INVALID_KEY", "INVALID_LIMIT", "INVALID_CURSOR"),
    ),
    Route(
        "GET",
        f"{_TICKETS}/counts",
        "countTickets",
        "How many of the asker's tickets wait, and how many threads have something unread.",
        "",
        count_tickets,
        TicketCountsAnswer,
        codes=PERSON,
    ),
    Route(
        "GET",
        _TICKET,
        "getTicket",
        "A ticket with its parties, prescription and how far its thread was read. Looking changes nothing.",
        "",
        get_ticket,
        TicketAnswer,
        codes=(*PERSON, "TICKET_NOT_FOUND"),
    ),
    Route(
        "GET",
        f"{_TICKET}/timeline",
        "getTicketTimeline",
        "Everything that happened to a ticket, oldest first.",
        "",
        get_timeline,
        TimelineAnswer,
        codes=(*PERSON, "TICKET_NOT_FOUND"),
    ),
    Route(
        "POST",
        f"{_TICKET}/open",
        "openTicket",
        "The receiver opens a ticket: the first time it is received. For everybody else it changes nothing.",
        "",
        open_ticket,
        TicketAnswer,
        document=NothingDocument,
        body_optional=True,
        codes=(*PERSON, "TICKET_NOT_FOUND"),
    ),
    Route(
        "POST",
        f"{_TICKET}/status",
        "moveTicket",
        "Give a ticket another status. Where it has it already nothing happens.",
        "",
        move_ticket,
        TicketAnswer,
        document=MoveDocument,
        codes=(
            *PERSON,
            "TICKET_NOT_FOUND",
            "UNKNOWN_STATUS",
            "MOVE_NOT_ALLOWED",
            "REASON_REQUIRED",
            "INVALID_TEXT",
            "PRESCRIPTION_MISSING",
        ),
    ),
    Route(
        "GET",
        f"{_TICKET}/prescription-draft",
        "getPrescriptionDraft",
        "What the doctor has written so far; nobody else sees it.",
        "",
        get_draft,
        DraftAnswer,
        codes=(*PERSON, "TICKET_NOT_FOUND", "NOT_YOUR_TICKET"),
    ),
    Route(
        "PUT",
        f"{_TICKET}/prescription-draft",
        "putPrescriptionDraft",
        "Keep what the doctor has written so far.",
        "",
        put_draft,
        DraftAnswer,
        document=DraftDocument,
        codes=(
            *PERSON,
            "TICKET_NOT_FOUND",
            "NOT_YOUR_TICKET",
            "TICKET_ALREADY_SENT",
            "TICKET_ENDED",
            "DRAFT_TOO_LARGE",
            "INVALID_TEXT",
        ),
    ),
    Route(
        "PUT",
        f"{_TICKET}/prescription",
        "savePrescription",
        "Save the prescription: it is stored and linked, the ticket sent, its receiver told. Said again nothing changes.",
        "",
        save_prescription,
        TicketAnswer,
        document=PrescriptionDocument,
        codes=(
            *PERSON,
            "CONTROL_CHARACTER",
            "TICKET_NOT_FOUND",
            "NOT_YOUR_TICKET",
            "PRESCRIPTION_FIXED",
            "TICKET_ENDED",
            "PRESCRIPTION_EMPTY",
            "ITEM_INVALID",
            "INVALID_TEXT",
            "RECEIVER_NOT_FOUND",
            "RECEIVER_CHANGED",
        ),
    ),
)
