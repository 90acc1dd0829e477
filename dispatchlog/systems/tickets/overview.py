"""Tickets as staff see them: who, when and how far, never what was written; and the logged emergency access to that.

Owns the SQL over the views made for staff; an access is written with its reason into the ticket's own timeline.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.reading import Position
from dispatchlog.systems.tickets.states import TicketStatus, TicketType

EMERGENCY_MINUTES = 15


@dataclass(frozen=True, slots=True)
class Overseer:
    """A member of staff: their account's id and address."""

    user_id: int
    actor: str


@dataclass(frozen=True, slots=True)
class OverviewQuery:
    """What of all tickets, newest first. `text`: a number or its beginning, or the id of a ticket, appointment or party."""

    statuses: Sequence[TicketStatus] = ()
    ticket_type: TicketType | None = None
    text: str = ""
    after: Position | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class TicketOverview:
    """One ticket for staff: the row of `ticket_overview`, its timeline, how its members have read, and when messages were
    written (the newest 50: number, created_at, sender_kind, characters, attachments).
    """

    ticket: Row
    timeline: Sequence[Row]
    reading: Sequence[Row]
    messages: Sequence[Row]


def overview_page(who: Overseer, query: OverviewQuery) -> tuple[Sequence[Row], Position | None]:
    """A page of all tickets; empty for whoever may not oversee."""
    raise NotImplementedError


def ticket_overview(who: Overseer, ticket_id: UUID) -> TicketOverview:
    """Raises:
    TicketError: TICKET_NOT_FOUND.
    """
    raise NotImplementedError


def open_emergency_access(who: Overseer, ticket_id: UUID, *, reason: str) -> datetime:
    """Until when this member of staff may read what is in the ticket; logged, and shown in its timeline to its parties.

    Raises:
        TicketError: TICKET_NOT_FOUND, REASON_REQUIRED (ten characters at least), NOT_ALLOWED.
    """
    raise NotImplementedError


def emergency_content(
    who: Overseer, ticket_id: UUID, *, before: int | None = None
) -> tuple[Row, Sequence[Row], Sequence[Row]]:
    """The prescription (with notes), its items, and 50 messages before a number (the newest), while an access is open.

    Raises:
        TicketError: EMERGENCY_ACCESS_OVER.
    """
    raise NotImplementedError
