"""The rooms that a client can be in: one per order and per ticket, and lists. Owns their names; knows no client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

# Every order's changes, for lists.
ORDERS = "orders"
# All tickets of whoever listens, for lists.
TICKETS = "tickets"
# That something changed with a ticket, for staff.
OVERVIEW = "ticket-overview"
_LISTS = frozenset({ORDERS, TICKETS, OVERVIEW})

ORDER = "order"
TICKET = "ticket"


def order_room(order_id: UUID) -> str:
    """The room of one order."""
    return f"{ORDER}:{order_id}"


def ticket_room(ticket_id: UUID) -> str:
    """The room of one ticket."""
    return f"{TICKET}:{ticket_id}"


def subject_of(room: str) -> tuple[str, UUID] | None:
    """Whose room it is: ORDER or TICKET, and the id; None: a list's."""
    kind, of_one, subject_id = room.partition(":")
    return (kind, UUID(subject_id)) if of_one else None


def read_room(asked: Any) -> str | None:
    """The room that a client names, in one of the ways clients do: its name, an order's id, or an object with `room`,
    `orderId` or `ticketId`. None: no such room.
    """
    kind = ORDER
    if isinstance(asked, Mapping):
        if not asked.get("room") and not asked.get("orderId"):
            kind = TICKET
        asked = asked.get("room") or asked.get("orderId") or asked.get("ticketId")
    if not isinstance(asked, str) or len(asked) > 100:
        return None
    if asked in _LISTS:
        return asked
    named, of_one, rest = asked.partition(":")
    if of_one and named not in (ORDER, TICKET):
        return None
    try:
        subject_id = UUID(rest if of_one else asked)
    except ValueError:
        return None
    return f"{named if of_one else kind}:{subject_id}"
