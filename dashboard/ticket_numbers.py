"""How many tickets somebody has in each status, and how many wait to be read: for their list and the menu. Counts once a
request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import g

from dashboard.acting import acting_identity
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.listing import MOST_UNREAD
from dispatchlog.systems.tickets.reading import MOST_COUNTED, ticket_counts
from dispatchlog.systems.tickets.states import OPEN, TicketStatus


def own_counts() -> Mapping[str, int]:
    """By open status, and `unread`."""
    known: Mapping[str, int] | None = g.get("ticket_counts")
    if known is None:
        known = g.ticket_counts = ticket_counts(acting_identity())
    return known


def number_of(statuses: Sequence[TicketStatus]) -> str:
    """How many tickets are in these statuses, in words; "" where nobody counts them: what has ended adds up for ever."""
    if not statuses or any(status not in OPEN for status in statuses):
        return ""
    numbers = [own_counts().get(status, 0) for status in statuses]
    return f"{sum(numbers):,}{'+' if any(number >= MOST_COUNTED for number in numbers) else ''}"


def number_unread() -> str:
    """How many tickets have something unread, in words; "" for none, and for whoever acts for nobody."""
    try:
        number = own_counts()["unread"]
    except TicketError:
        return ""
    return "" if not number else f"{MOST_UNREAD - 1}+" if number >= MOST_UNREAD else str(number)
