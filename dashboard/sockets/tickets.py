"""Tickets: each lets its holder listen to one order for a short while. Owns their form; stores nothing.

For browsers and apps of others, whose servers ask the API for one: no token of theirs has to leave their server.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from itsdangerous import BadSignature, Signer

from dashboard.sockets.rooms import order_room
from dispatchlog.settings import Settings

TICKET_SECONDS = 900
_SALT = "dispatchlog.socket-ticket.v1"
_MOST_CHARACTERS = 200


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
    expires_at = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
    content = f"{order_id.hex}.{int(expires_at.timestamp())}"
    return Ticket(_signer(settings).sign(content).decode("ascii"), order_id, expires_at)


def read_ticket(text: str, *, settings: Settings) -> Ticket | None:
    """The ticket, or None: not ours, changed, or its time is over."""
    if len(text) > _MOST_CHARACTERS or not text.isascii():
        return None
    try:
        order_id, epoch_seconds = _signer(settings).unsign(text).decode("ascii").split(".")
        ticket = Ticket(text, UUID(hex=order_id), datetime.fromtimestamp(int(epoch_seconds), UTC))
    except (BadSignature, ValueError, OverflowError, OSError):
        return None
    return ticket if ticket.expires_at > datetime.now(UTC) else None


def _signer(settings: Settings) -> Signer:
    secret = settings.secret_key.get_secret_value()
    return Signer(secret, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)
