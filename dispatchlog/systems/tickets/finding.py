"""One ticket, as far as it is there for who asks, and what they are to it. Reads inside the asker's own transaction."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.database import execute, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.states import Side

_TICKET = "SELECT k.*, t.id AS thread_id FROM healthcare_tickets k LEFT JOIN chat_threads t ON t.ticket_id = k.id"


def visible_ticket(ticket_id: UUID) -> Row:
    """The ticket with `thread_id`.

    Raises:
        TicketError: TICKET_NOT_FOUND, also where it is not the asker's to see.
    """
    rows = fetch_dicts(f"{_TICKET} WHERE k.id = %s", (ticket_id,))
    if not rows:
        raise TicketError("there is no such ticket", code="TICKET_NOT_FOUND")
    return rows[0]


def hold_ticket(ticket_id: UUID) -> Row:
    """The ticket as it is once nobody else is changing it; nobody does before this transaction ends. For its providers.

    Raises:
        TicketError: TICKET_NOT_FOUND.
    """
    execute("SELECT FROM healthcare_tickets WHERE id = %s FOR NO KEY UPDATE", (ticket_id,))
    return visible_ticket(ticket_id)


def side_of(who: Identity, ticket: Row) -> Side:
    """What the asker's party is to a ticket that they see."""
    if ticket["primary_provider_id"] == who.party_id:
        return Side.PRIMARY
    return Side.SECONDARY if ticket["secondary_provider_id"] == who.party_id else Side.PATIENT
