"""Tickets as their parties see them: one, a list, the timeline, how many wait. Reads; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.states import Side, TicketStatus, TicketType


@dataclass(frozen=True, slots=True)
class TicketState:
    """One ticket for who asks. `parties` has id, kind, name by side; `thread` has id, last_number, own read_number,
    has_unread and `unread` (up to 100); `prescription` has the row and `items`; `moves` is where the asker may move it.
    """

    ticket: Row
    side: Side
    parties: Mapping[Side, Row]
    thread: Row
    prescription: Row | None
    items: Sequence[Row]
    moves: Sequence[TicketStatus]
    reading: Sequence[Row]  # of each member: party_id, kind, name, read_number, read_at


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of a list ends: the order's instant and the id."""

    at: datetime
    ticket_id: UUID


@dataclass(frozen=True, slots=True)
class TicketQuery:
    """What of one's own tickets: newest first, or with `oldest_first` those that wait longest first.

    `text` is a ticket's number or its beginning, or a patient's name as far as the asker may see it. `unread` alone.
    """

    statuses: Sequence[TicketStatus] = ()
    ticket_type: TicketType | None = None
    text: str = ""
    unread: bool = False
    since: datetime | None = None
    until: datetime | None = None
    oldest_first: bool = False
    after: Position | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class TicketPage:
    """Rows with patient_name, doctor_name, receiver_name, side, thread_id, last_number, unread (up to 100), waits_since
    (the instant of the present status); `next` is None at the end.
    """

    tickets: Sequence[Row]
    next: Position | None


def ticket_state(who: Identity, ticket_id: UUID) -> TicketState:
    """One ticket with everything about it but its messages and timeline.

    Raises:
        TicketError: TICKET_NOT_FOUND, also where it is not the asker's to see.
    """
    raise NotImplementedError


def ticket_page(who: Identity, query: TicketQuery) -> TicketPage:
    """A page of the asker's tickets: a doctor's own (and referrals sent to them), a pharmacy's inbox, a patient's."""
    raise NotImplementedError


def ticket_timeline(who: Identity, ticket_id: UUID) -> Sequence[Row]:
    """Every entry, oldest first, with party_kind and party_name of who did it.

    Raises:
        TicketError: TICKET_NOT_FOUND.
    """
    raise NotImplementedError


def find_thread(who: Identity, *, ticket_id: UUID | None = None, order_id: UUID | None = None) -> Row:
    """The thread (id, ticket_id, order_id, order_type, is_legacy, last_number) by its ticket, else by its order: for old
    ones. Of several of an order the one with a ticket, else the newest.

    Raises:
        TicketError: THREAD_NOT_FOUND.
    """
    raise NotImplementedError


def ticket_counts(who: Identity) -> Mapping[str, int]:
    """How many of the asker's tickets are in each open status (up to 1,000 each), and `unread`: threads with something new
    (up to 100).
    """
    raise NotImplementedError
