"""What a receiver does with a ticket, and how either side ends it. Owns the moves after a ticket was sent."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.database import execute, transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.finding import hold_ticket, side_of, visible_ticket
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.notifications import enqueue_notification
from dispatchlog.systems.tickets.refusals import refusals
from dispatchlog.systems.tickets.states import Side, TicketStatus, moves_of
from dispatchlog.systems.tickets.texts import MOST_REASON, lines, reason_given

# Of two who open at once the second finds the status changed, and nothing left to do.
_RECEIVE = "UPDATE healthcare_tickets SET status = 'received' WHERE id = %s AND status = 'sent'"
_MOVE = "UPDATE healthcare_tickets SET status = %s WHERE id = %s"


def open_ticket(who: Identity, ticket_id: UUID) -> tuple[Row, bool]:
    """The ticket, and whether this opening is what received it: the receiver's first one alone. Others just read it.

    Raises:
        TicketError: TICKET_NOT_FOUND.
    """
    with refusals(), acting_as(who):
        ticket = visible_ticket(ticket_id)
        if side_of(who, ticket) is not Side.SECONDARY or ticket["status"] != TicketStatus.SENT:
            return ticket, False
        received = execute(_RECEIVE, (ticket_id,)).rowcount == 1
        return visible_ticket(ticket_id), received


def move_ticket(who: Identity, ticket_id: UUID, status: TicketStatus, *, reason: str = "") -> tuple[Row, bool]:
    """The ticket in its new status, and whether it moved: where it is there already, nothing happens. READY tells the
    patient, CANCELLED the other one of doctor and receiver, once it was sent.

    Raises:
        TicketError: TICKET_NOT_FOUND, MOVE_NOT_ALLOWED (from here, or not by this side), REASON_REQUIRED (to cancel),
            PRESCRIPTION_MISSING (a ticket is sent by saving its prescription), INVALID_TEXT (reason).
    """
    clean = lines(reason, "reason", most=MOST_REASON)
    with refusals(), acting_as(who, clean):
        ticket = visible_ticket(ticket_id)
        side = side_of(who, ticket)
        if side is not Side.PATIENT:
            ticket = hold_ticket(ticket_id)
        if ticket["status"] == status:
            return ticket, False
        _require_move(ticket, side, status, clean)
        execute(_MOVE, (status, ticket_id))
        moved = visible_ticket(ticket_id)
        # The reason is the timeline's: what it says of a patient does not belong into the log of dispatches.
        with transaction(who.actor):
            _tell(moved, side)
        return moved, True


def _require_move(ticket: Row, side: Side, status: TicketStatus, reason: str) -> None:
    if status not in moves_of(TicketStatus(ticket["status"]), side):
        message = f"ticket {ticket['ticket_number']} is {ticket['status']}; it cannot be made {status} by this side"
        raise TicketError(message, code="MOVE_NOT_ALLOWED", field="status")
    if status is TicketStatus.SENT:
        message = f"ticket {ticket['ticket_number']} is sent by saving its prescription"
        raise TicketError(message, code="PRESCRIPTION_MISSING")
    if status is TicketStatus.CANCELLED:
        reason_given(reason, "it is cancelled")


def _tell(ticket: Row, mover: Side) -> None:
    if ticket["status"] == TicketStatus.READY:
        enqueue_notification(ticket, kind="READY", party_id=ticket["patient_id"], about="ready")
    if ticket["status"] == TicketStatus.CANCELLED and ticket["sent_at"] is not None:
        other = "secondary" if mover is Side.PRIMARY else "primary"
        enqueue_notification(ticket, kind="CANCELLED", party_id=ticket[f"{other}_provider_id"], about="cancelled")
