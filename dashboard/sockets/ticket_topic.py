"""Tickets of care as they are listened to. Owns the SQL of reading `ticket_changes`, and the events about tickets.

A change names the parties that may hear it, and no other client is so much as looked at. Staff hear that there was one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dashboard.sockets import rooms
from dashboard.sockets.clients import Client, Clients, Position
from dashboard.sockets.rights import Rights
from dashboard.sockets.topics import RoomRefused, Telling
from dashboard.table_tail import Source
from dispatchlog.engine.database import fetch_all
from dispatchlog.systems.tickets.identity import acting_as, identity_of_person
from dispatchlog.systems.tickets.inputs import TicketError

UPDATED = "ticket.updated"
# More happened than can be told; read anew.
STALE = "tickets.stale"
# For staff.
CHANGED = "ticket.changed"

_STATE = ("ticketId", "ticketNumber", "status", "version", "traceId", "updatedAt")
# What is told of a change by what it is about, and which of its payload; anything else is a change of the ticket.
_EVENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "message": ("message.created", ("ticketId", "threadId", "number", "senderPartyId", "traceId")),
    "read": ("message.read", ("ticketId", "threadId", "partyId", "readNumber", "traceId")),
}

_COLUMNS = "t.id, t.ticket_id, t.version, t.what, t.payload, t.audience, t.trace_id"
# As the person sees it. The newest change that is in what it shows has this id.
_PRESENT = """
SELECT (SELECT coalesce(max(c.id), 0) FROM ticket_changes c WHERE c.ticket_id = k.id), k.id, k.version, 'ticket',
    jsonb_build_object('ticketId', k.id, 'ticketNumber', k.ticket_number, 'status', k.status, 'version', k.version,
        'traceId', k.trace_id, 'updatedAt', to_char(k.updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
        'threadId', t.id, 'lastNumber', coalesce(t.last_number, 0)),
    '{}'::uuid[], k.trace_id
FROM healthcare_tickets k LEFT JOIN chat_threads t ON t.ticket_id = k.id WHERE k.id = %s
"""


@dataclass(frozen=True, slots=True)
class TicketChange:
    """One change of a ticket: `payload` has ids, numbers and statuses; `audience` the parties that may hear of it."""

    id: int
    ticket_id: UUID
    version: int
    what: str
    payload: Mapping[str, Any]
    audience: Sequence[UUID]
    trace_id: str

    @property
    def room(self) -> str:
        return rooms.ticket_room(self.ticket_id)

    @property
    def position(self) -> Position:
        return self.version, self.id


class TicketTopic:
    """The topic of tickets."""

    kind = rooms.TICKET
    source = Source("ticket_changes", _COLUMNS, TicketChange)

    def hearing(self, change: TicketChange, clients: Clients) -> set[Client]:
        return _parties(change, clients) | clients.in_room(rooms.OVERVIEW)

    def tellings(self, change: TicketChange, clients: Clients) -> Iterator[Telling]:
        event, names = _EVENTS.get(change.what, (UPDATED, _STATE))
        listening = _parties(change, clients)
        if event == UPDATED:
            listening = {each for each in listening if change.room not in each.rooms or _is_news(change, each)}
        yield _telling(event, names, change, listening)
        if staff := clients.in_room(rooms.OVERVIEW):
            yield _telling(CHANGED, _STATE, change, staff)

    def present(self, _cursor: Any, _subjects: Collection[UUID]) -> Sequence[TicketChange]:
        """Nothing: what a ticket's room missed are messages too, so everybody reads anew."""
        return ()

    def standing(self, _present: Sequence[TicketChange], clients: Clients) -> Iterable[Telling]:
        listening = [client for client in clients if any(map(_is_of_tickets, client.rooms))]
        if listening:
            yield Telling(STALE, {}, listening, {})

    def admit(self, rights: Rights, subject_id: UUID) -> TicketChange | None:
        """The database is asked as the person who wants to join, so it is theirs or it is not there."""
        refused = RoomRefused("there is no such ticket", code="TICKET_NOT_FOUND")
        if rights.person is None:
            raise refused
        try:
            with acting_as(identity_of_person(rights.person.person_id)):
                rows = fetch_all(_PRESENT, (subject_id,))
        except TicketError:
            raise refused from None
        if not rows:
            raise refused
        return TicketChange(*rows[0])

    def welcome(self, change: TicketChange, client: Client) -> Telling | None:
        if not client.take(change.room, change.position):
            return None
        return _telling(UPDATED, (*_STATE, "threadId", "lastNumber"), change, [client])


def _parties(change: TicketChange, clients: Clients) -> set[Client]:
    return clients.of_parties(change.audience, (change.room, rooms.TICKETS))


def _is_news(change: TicketChange, client: Client) -> bool:
    return client.take(change.room, change.position)


def _is_of_tickets(room: str) -> bool:
    subject = rooms.subject_of(room)
    return subject[0] == rooms.TICKET if subject else room in (rooms.TICKETS, rooms.OVERVIEW)


def _telling(event: str, names: Iterable[str], change: TicketChange, clients: Collection[Client]) -> Telling:
    logged = {"trace_id": change.trace_id, "ticket_id": str(change.ticket_id), "version": change.version}
    return Telling(event, {name: change.payload.get(name) for name in names}, clients, logged)
