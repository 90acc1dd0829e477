"""What a receiver does with a ticket, and how either side ends it. Owns the moves after a ticket was sent."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.states import TicketStatus


def open_ticket(who: Identity, ticket_id: UUID) -> tuple[Row, bool]:
    """The ticket, and whether this opening is what received it: the receiver's first one alone. Others just read it.

    Raises:
        TicketError: TICKET_NOT_FOUND.
    """
    raise NotImplementedError


def move_ticket(who: Identity, ticket_id: UUID, status: TicketStatus, *, reason: str = "") -> tuple[Row, bool]:
    """The ticket in its new status, and whether it moved: where it is there already, nothing happens. READY tells the
    patient, CANCELLED whoever received it and did not cancel it.

    Raises:
        TicketError: TICKET_NOT_FOUND, MOVE_NOT_ALLOWED (from here, or not by this side), REASON_REQUIRED (to cancel),
            PRESCRIPTION_MISSING (a ticket is sent by saving its prescription).
    """
    raise NotImplementedError
