"""What staff see of a ticket beside its overview: mails about it, and until when they may look inside. Owns their SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import TICKET_NOTIFICATIONS
from dispatchlog.systems.tickets.identity import overseeing
from dispatchlog.systems.tickets.overview import Overseer

MOST_NOTIFICATIONS = 100

_NOTIFICATIONS = """
SELECT id, 'ticket_notification' AS lane, kind, recipient_email, sealed, status, in_doubt, created_at, updated_at, sent_at
FROM ticket_notifications WHERE ticket_id = %s ORDER BY created_at DESC, id DESC LIMIT %s
"""
_ACCESS = """
SELECT max(expires_at) FROM emergency_accesses
WHERE ticket_id = %s AND user_id = %s AND expires_at > clock_timestamp()
"""


def notifications_of(ticket_id: UUID) -> Sequence[Row]:
    """The mails about the ticket, the newest first."""
    return [TICKET_NOTIFICATIONS.opened(row) for row in fetch_dicts(_NOTIFICATIONS, (ticket_id, MOST_NOTIFICATIONS))]


def access_until(who: Overseer, ticket_id: UUID) -> datetime | None:
    """Until when this member of staff may read what is in the ticket; None where they may not now."""
    with overseeing(who.user_id, who.actor):
        found: datetime | None = fetch_one(_ACCESS, (ticket_id, who.user_id))[0]
    return found
