"""Tickets: each lets its holder listen to one order for a short while. Owns their form; stores nothing.

For browsers and apps of others, whose servers ask the API for one: no token of theirs has to leave their server.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dashboard.signed_ids import read_id, sign_id
from dashboard.sockets.rooms import order_room
from dispatchlog.settings import Settings

TICKET_SECONDS = 900
_PURPOSE = "dispatchlog.socket-ticket.v1"


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket: its text, whose changes it lets hear, and until when."""

    text: str
    order_id: UUID
    expires_at: datetime

    @property
    def room(self) -> str:
        return order_room(self.order_id)


def issue_ticket(order_id: UUID, *, settings: Settings, seconds: int = TICKET_SECONDS) -> Ticket:
    """A ticket for this order, from now on for so many seconds; whether there is the order is the caller's to know."""
    text, expires_at = sign_id(order_id, purpose=_PURPOSE, seconds=seconds, settings=settings)
    return Ticket(text, order_id, expires_at)


def read_ticket(text: str, *, settings: Settings) -> Ticket | None:
    """The ticket, or None: not ours, changed, or its time is over."""
    found = read_id(text, purpose=_PURPOSE, settings=settings)
    return Ticket(text, *found) if found else None
