"""A doctor writes a prescription, keeps what is unfinished, and saves it: then the ticket is sent and its receiver told."""

from __future__ import annotations

import json
from dataclasses import fields
from uuid import UUID

import peewee

from dispatchlog.engine.database import execute, fetch_all
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.tickets.finding import hold_ticket, side_of, visible_ticket
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import Draft, ItemInput, PrescriptionInput, TicketError
from dispatchlog.systems.tickets.items import checked, contents
from dispatchlog.systems.tickets.notifications import enqueue_notification
from dispatchlog.systems.tickets.refusals import refusals
from dispatchlog.systems.tickets.states import Side, TicketStatus, TicketType

MOST_DRAFT_BYTES = 65_536
_COLUMNS = tuple(field.name for field in fields(ItemInput))
_KEEP = """
INSERT INTO prescription_drafts (ticket_id, document, updated_by) VALUES (%s, %s, %s)
ON CONFLICT (ticket_id) DO UPDATE SET document = excluded.document, updated_by = excluded.updated_by,
    updated_at = clock_timestamp()
"""
_PRESCRIPTION = """
INSERT INTO prescriptions (id, ticket_id, appointment_id, patient_id, doctor_id, pharmacy_id, notes, created_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_ITEM = f"""
INSERT INTO prescription_items (prescription_id, number, {", ".join(_COLUMNS)})
VALUES (%s, %s, {", ".join(["%s"] * len(_COLUMNS))})
"""
_STORED = f"SELECT {', '.join(_COLUMNS)} FROM prescription_items WHERE prescription_id = %s ORDER BY number"


def keep_draft(who: Identity, ticket_id: UUID, draft: Draft) -> None:
    """Keep what was written so far, instead of what was kept before. Its shape is the one of a prescription's document,
    whatever of it is there; it is not checked before it is saved.

    Raises:
        TicketError: TICKET_NOT_FOUND, NOT_YOUR_TICKET (not its doctor), TICKET_ALREADY_SENT, TICKET_ENDED,
            DRAFT_TOO_LARGE (64 KiB), INVALID_TEXT (what no database keeps: a zero character, half a character).
    """
    document = _document(draft)
    try:
        with refusals(), acting_as(who):
            ticket = _own_ticket(who, ticket_id)
            _require_open(ticket)
            if ticket["status"] != TicketStatus.CREATED:
                raise TicketError(f"ticket {ticket['ticket_number']} was sent already", code="TICKET_ALREADY_SENT")
            execute(_KEEP, (ticket_id, document, who.person_id))
    except peewee.DataError as error:
        raise _unkeepable() from error


def kept_draft(who: Identity, ticket_id: UUID) -> Draft | None:
    """What was kept of it; None: nothing.

    Raises:
        TicketError: TICKET_NOT_FOUND, NOT_YOUR_TICKET.
    """
    with acting_as(who):
        _require_own(who, visible_ticket(ticket_id))
        rows = fetch_all("SELECT document FROM prescription_drafts WHERE ticket_id = %s", (ticket_id,))
    return rows[0][0] if rows else None


def save_prescription(
    who: Identity, ticket_id: UUID, given: PrescriptionInput, *, receiver_id: UUID | None = None
) -> Row:
    """Store it, link it, send the ticket and tell its receiver, in one transaction; the ticket's row comes back. Saying the
    same again changes nothing; something else after it was sent is refused. It goes to `receiver_id` or, where that is said
    and another one was chosen meanwhile, to nobody.

    Raises:
        TicketError: TICKET_NOT_FOUND, NOT_YOUR_TICKET, PRESCRIPTION_FIXED (sent with other content), TICKET_ENDED,
            PRESCRIPTION_EMPTY, ITEM_INVALID (`field` is items[2].name, ...), INVALID_TEXT (notes), RECEIVER_NOT_FOUND (not
            active any more), RECEIVER_CHANGED.
    """
    with refusals(), acting_as(who):
        ticket = _own_ticket(who, ticket_id)
        prescription = checked(given, TicketType(ticket["ticket_type"]))
        if ticket["status"] == TicketStatus.CANCELLED:
            _require_open(ticket)
        if ticket["prescription_id"] is not None:
            _require_same(ticket, prescription)
            return ticket
        if receiver_id not in (None, ticket["secondary_provider_id"]):
            message = f"another receiver was chosen for ticket {ticket['ticket_number']} meanwhile; look at it again"
            raise TicketError(message, code="RECEIVER_CHANGED")
        _require_receiver(ticket)
        _store(who, ticket, prescription)
        sent = visible_ticket(ticket_id)
        enqueue_notification(sent, kind="SENT", party_id=sent["secondary_provider_id"], about="sent")
        return sent


def _own_ticket(who: Identity, ticket_id: UUID) -> Row:
    _require_own(who, visible_ticket(ticket_id))
    return hold_ticket(ticket_id)


def _require_own(who: Identity, ticket: Row) -> None:
    if side_of(who, ticket) is not Side.PRIMARY:
        message = f"ticket {ticket['ticket_number']} is written by its doctor alone"
        raise TicketError(message, code="NOT_YOUR_TICKET")


def _require_open(ticket: Row) -> None:
    if ticket["ended_at"] is not None:
        raise TicketError(f"ticket {ticket['ticket_number']} is {ticket['status']}", code="TICKET_ENDED")


def _require_same(ticket: Row, given: PrescriptionInput) -> None:
    notes = fetch_all("SELECT notes FROM prescriptions WHERE id = %s", (ticket["prescription_id"],))
    stored = [tuple(row) for row in fetch_all(_STORED, (ticket["prescription_id"],))]
    if notes != [(given.notes,)] or stored != contents(given.items):
        _require_open(ticket)
        message = f"ticket {ticket['ticket_number']} was sent with other content; cancel it and write a new one"
        raise TicketError(message, code="PRESCRIPTION_FIXED")


def _require_receiver(ticket: Row) -> None:
    if not fetch_all("SELECT id FROM care_parties WHERE id = %s AND active", (ticket["secondary_provider_id"],)):
        message = f"the receiver of ticket {ticket['ticket_number']} is not active any more; choose another one"
        raise TicketError(message, code="RECEIVER_NOT_FOUND")


def _store(who: Identity, ticket: Row, given: PrescriptionInput) -> None:
    prescription_id = new_id()
    about = (ticket["appointment_id"], ticket["patient_id"], who.party_id, ticket["secondary_provider_id"])
    execute(_PRESCRIPTION, (prescription_id, ticket["id"], *about, given.notes, who.person_id))
    for number, values in enumerate(contents(given.items), start=1):
        execute(_ITEM, (prescription_id, number, *values))
    execute("DELETE FROM prescription_drafts WHERE ticket_id = %s", (ticket["id"],))
    execute(
        "UPDATE healthcare_tickets SET prescription_id = %s, status = 'sent' WHERE id = %s",
        (prescription_id, ticket["id"]),
    )


def _document(draft: Draft) -> str:
    try:
        document = json.dumps(dict(draft), ensure_ascii=False, allow_nan=False)
        size = len(document.encode())
    except ValueError as error:
        raise _unkeepable() from error
    if size > MOST_DRAFT_BYTES:
        raise TicketError("this is too long to be kept", code="DRAFT_TOO_LARGE")
    return document


def _unkeepable() -> TicketError:
    return TicketError("this holds a character that cannot be kept", code="INVALID_TEXT")
