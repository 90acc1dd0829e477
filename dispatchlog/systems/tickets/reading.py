"""Tickets as their parties see them: one, a list, the timeline, how many wait. Reads; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.finding import side_of, visible_ticket
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.listing import (
    MOST_UNREAD,
    Position,
    TicketPage,
    TicketQuery,
    party_column,
    sides_of,
    ticket_page,
)
from dispatchlog.systems.tickets.states import OPEN, Side, TicketStatus, moves_of

__all__ = (
    "Position",
    "TicketPage",
    "TicketQuery",
    "TicketState",
    "find_thread",
    "ticket_counts",
    "ticket_page",
    "ticket_state",
    "ticket_timeline",
)

MOST_COUNTED = 1_000
_MEMBERS = """
SELECT m.party_id, c.kind, c.name, m.read_number, m.read_at, m.has_unread
FROM chat_thread_members m JOIN care_parties c ON c.id = m.party_id WHERE m.thread_id = %s ORDER BY c.kind, c.name, c.id
"""
_THREAD = "SELECT id, ticket_id, order_id, order_type, is_legacy, last_number, last_message_at FROM chat_threads"
_TIMELINE = """
SELECT l.*, c.kind AS party_kind, c.name AS party_name
FROM ticket_timeline l LEFT JOIN care_parties c ON c.id = l.party_id WHERE l.ticket_id = %s ORDER BY l.id
"""
_COUNT = """
SELECT count(*) FROM (SELECT FROM healthcare_tickets k WHERE {mine} AND k.status = %(status)s LIMIT %(most)s) counted
"""


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


def ticket_state(who: Identity, ticket_id: UUID) -> TicketState:
    """One ticket with everything about it but its messages and timeline.

    Raises:
        TicketError: TICKET_NOT_FOUND, also where it is not the asker's to see.
    """
    with acting_as(who):
        ticket = visible_ticket(ticket_id)
        side = side_of(who, ticket)
        reading = fetch_dicts(_MEMBERS, (ticket["thread_id"],))
        prescriptions = fetch_dicts("SELECT * FROM prescriptions WHERE id = %s", (ticket["prescription_id"],))
        return TicketState(
            ticket=ticket,
            side=side,
            parties=_parties(ticket),
            thread=_own_thread(who, ticket, reading),
            prescription=prescriptions[0] if prescriptions else None,
            items=fetch_dicts(
                "SELECT * FROM prescription_items WHERE prescription_id = %s ORDER BY number",
                (ticket["prescription_id"],),
            ),
            moves=moves_of(TicketStatus(ticket["status"]), side),
            reading=reading,
        )


def ticket_timeline(who: Identity, ticket_id: UUID) -> Sequence[Row]:
    """Every entry, oldest first, with party_kind and party_name of who did it.

    Raises:
        TicketError: TICKET_NOT_FOUND.
    """
    with acting_as(who):
        visible_ticket(ticket_id)
        return fetch_dicts(_TIMELINE, (ticket_id,))


def find_thread(who: Identity, *, ticket_id: UUID | None = None, order_id: UUID | None = None) -> Row:
    """The thread (id, ticket_id, order_id, order_type, is_legacy, last_number) by its ticket, else by its order: for old
    ones. Of several of an order the one with a ticket, else the newest.

    Raises:
        TicketError: THREAD_NOT_FOUND.
    """
    with acting_as(who):
        rows = fetch_dicts(f"{_THREAD} WHERE ticket_id = %s", (ticket_id,))
        if not rows and order_id is not None:
            rows = fetch_dicts(
                f"{_THREAD} WHERE order_id = %s ORDER BY ticket_id IS NULL, created_at DESC, id DESC LIMIT 1",
                (order_id,),
            )
    if not rows:
        raise TicketError("there is no such thread", code="THREAD_NOT_FOUND")
    return rows[0]


def ticket_counts(who: Identity) -> Mapping[str, int]:
    """How many of the asker's tickets are in each open status (up to 1,000 each), and `unread`: threads with something new
    (up to 100).
    """
    counts: dict[str, int] = {}
    with acting_as(who):
        for status in OPEN:
            counts[str(status)] = min(sum(_count(who, side, status) for side in sides_of(who.kind)), MOST_COUNTED)
        counts["unread"] = fetch_one("SELECT count(*) FROM care_unread_tickets(%s)", (MOST_UNREAD,))[0]
    return counts


def _count(who: Identity, side: Side, status: TicketStatus) -> int:
    values = {"party": who.party_id, "status": status, "most": MOST_COUNTED}
    return int(fetch_one(_COUNT.format(mine=party_column(side)), values)[0])


def _parties(ticket: Row) -> Mapping[Side, Row]:
    ids = {
        Side.PRIMARY: ticket["primary_provider_id"],
        Side.SECONDARY: ticket["secondary_provider_id"],
        Side.PATIENT: ticket["patient_id"],
    }
    rows = fetch_dicts("SELECT id, kind, name FROM care_parties WHERE id = ANY (%s)", (list(ids.values()),))
    known = {row["id"]: row for row in rows}
    return {side: known[party_id] for side, party_id in ids.items()}


def _own_thread(who: Identity, ticket: Row, reading: Sequence[Row]) -> Row:
    thread = fetch_dicts(f"{_THREAD} WHERE id = %s", (ticket["thread_id"],))[0]
    own = next((row for row in reading if row["party_id"] == who.party_id), {"read_number": 0, "has_unread": False})
    return {
        **thread,
        "read_number": own["read_number"],
        "has_unread": own["has_unread"],
        "unread": fetch_one("SELECT care_unread(%s, %s)", (thread["id"], MOST_UNREAD))[0],
    }
