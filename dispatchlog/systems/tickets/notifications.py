"""Lane `ticket_notification`: a party hears that a ticket was sent, is ready, was cancelled, or has unread messages.

It says which ticket and where to look, and nothing of what is in it: no name of a patient, no medicine, no message.
"""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.lanes import Lane, Row

LANE = "ticket_notification"
SUBJECT = "ticket:"


def ticket_notification_lane() -> Lane:
    """The lane: SMTP, so BLIND."""
    raise NotImplementedError


def subject_of(ticket_id: UUID) -> str:
    """What every dispatch of this ticket has as its subject."""
    return f"{SUBJECT}{ticket_id}"


def enqueue_notification(ticket: Row, *, kind: str, party_id: UUID, about: str) -> None:
    """One notification of this kind and `about` for this party, in the caller's transaction, once however often asked.

    A party without an address gets a row all the same: it fails with NO_RECIPIENT, where support sees it.
    """
    raise NotImplementedError


def notify_unread() -> int:
    """One mail per thread and party whose messages have waited for `ticket_unread_minutes` since they were last read; how
    many were enqueued. For the clock.
    """
    raise NotImplementedError
