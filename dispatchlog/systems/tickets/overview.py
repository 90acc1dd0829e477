"""Tickets as staff see them: who, when and how far, never what was written; and the logged emergency access to that.

Owns the SQL over the views made for staff; an access is written with its reason into the ticket's own timeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.operator import log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.tickets.identity import overseeing
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.listing import MOST_ROWS, Position, number_asked, number_condition
from dispatchlog.systems.tickets.messages import MOST_NUMBER
from dispatchlog.systems.tickets.refusals import refusals
from dispatchlog.systems.tickets.states import RECEIVERS, PartyKind, TicketStatus, TicketType
from dispatchlog.systems.tickets.texts import reason_given

EMERGENCY_MINUTES = 15
LEAST_REASON = 10
_MOST_MESSAGES = 50


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


_TICKET = "SELECT * FROM ticket_overview WHERE id = %s"
_IDS = ("id", "appointment_id", "patient_id", "primary_provider_id", "secondary_provider_id")
_OPEN_ACCESS = """
INSERT INTO emergency_accesses (id, ticket_id, user_id, reason, expires_at)
VALUES (%s, %s, %s, %s, clock_timestamp() + make_interval(mins => %s)) RETURNING expires_at
"""
_ACCESS = """
SELECT care_may('emergency') AND EXISTS (SELECT FROM emergency_accesses
    WHERE ticket_id = %s AND user_id = %s AND expires_at > clock_timestamp())
"""
_CONTENT = """
SELECT m.* FROM chat_messages m WHERE m.thread_id = %(thread)s AND m.number < %(before)s
ORDER BY m.number DESC LIMIT %(most)s
"""


def overview_page(who: Overseer, query: OverviewQuery) -> tuple[Sequence[Row], Position | None]:
    """A page of all tickets; empty for whoever may not oversee."""
    limit = min(max(query.limit, 1), MOST_ROWS)
    values: dict[str, Any] = {"rows": limit + 1}
    branches = list(_branches(query, values))
    if not branches:
        return [], None
    union = " UNION ".join(f"({branch})" for branch in branches)
    with overseeing(who.user_id, who.actor):
        rows = fetch_dicts(f"SELECT * FROM ({union}) k ORDER BY created_at DESC, id DESC LIMIT %(rows)s", values)
    page = rows[:limit]
    return page, Position(page[-1]["created_at"], page[-1]["id"]) if len(rows) > limit else None


def ticket_overview(who: Overseer, ticket_id: UUID) -> TicketOverview:
    """Raises:
    TicketError: TICKET_NOT_FOUND.
    """
    with overseeing(who.user_id, who.actor):
        ticket = _ticket(ticket_id)
        return TicketOverview(
            ticket=ticket,
            timeline=fetch_dicts(
                "SELECT * FROM ticket_overview_timeline WHERE ticket_id = %s ORDER BY id", (ticket_id,)
            ),
            reading=fetch_dicts(
                "SELECT * FROM ticket_overview_reading WHERE thread_id = %s ORDER BY kind", (ticket["thread_id"],)
            ),
            messages=fetch_dicts(
                "SELECT * FROM ticket_overview_messages WHERE thread_id = %s ORDER BY number DESC LIMIT %s",
                (ticket["thread_id"], _MOST_MESSAGES),
            ),
        )


def open_emergency_access(who: Overseer, ticket_id: UUID, *, reason: str) -> datetime:
    """Until when this member of staff may read what is in the ticket; logged, and shown in its timeline to its parties.

    Raises:
        TicketError: TICKET_NOT_FOUND, REASON_REQUIRED (ten characters at least), NOT_ALLOWED.
    """
    with refusals(), overseeing(who.user_id, who.actor):
        ticket = _ticket(ticket_id)
        if not fetch_one("SELECT care_may('emergency')")[0]:
            message = "this account may not look at what is said in tickets; ask support or an administrator"
            raise TicketError(message, code="NOT_ALLOWED")
        clean = reason_given(reason, "it has to be read", least=LEAST_REASON)
        values = (new_id(), ticket_id, who.user_id, clean, EMERGENCY_MINUTES)
        until: datetime = fetch_one(_OPEN_ACCESS, values)[0]
        detail = {"ticket": ticket_id, "number": ticket["ticket_number"], "until": until.isoformat()}
        log_action(who.actor, "emergency_access", reason=clean, detail=detail)
        return until


def emergency_content(
    who: Overseer, ticket_id: UUID, *, before: int | None = None
) -> tuple[Row | None, Sequence[Row], Sequence[Row]]:
    """The prescription (with notes; None before it is sent), its items, and 50 messages before a number (the newest),
    oldest first, while an access is open. Each look is logged.

    Raises:
        TicketError: EMERGENCY_ACCESS_OVER.
    """
    with overseeing(who.user_id, who.actor):
        if not fetch_one(_ACCESS, (ticket_id, who.user_id))[0]:
            message = "no emergency access to this ticket is open; open one, with the reason"
            raise TicketError(message, code="EMERGENCY_ACCESS_OVER")
        log_action(who.actor, "emergency_read", detail={"ticket": ticket_id, "before": before})
        prescriptions = fetch_dicts("SELECT * FROM prescriptions WHERE ticket_id = %s", (ticket_id,))
        prescription = prescriptions[0] if prescriptions else None
        items = fetch_dicts(
            "SELECT * FROM prescription_items WHERE prescription_id = %s ORDER BY number",
            (prescription["id"] if prescription else None,),
        )
        return prescription, items, _content(_ticket(ticket_id), before)


def _content(ticket: Row, before: int | None) -> Sequence[Row]:
    """Messages with party_kind and party_name. The directory is not for staff, so names come from the ticket's overview."""
    parties = {
        ticket["patient_id"]: (PartyKind.PATIENT, ticket["patient_name"]),
        ticket["primary_provider_id"]: (PartyKind.DOCTOR, ticket["doctor_name"]),
        ticket["secondary_provider_id"]: (RECEIVERS[TicketType(ticket["ticket_type"])], ticket["receiver_name"]),
    }
    end = MOST_NUMBER if before is None else max(0, min(before, MOST_NUMBER))
    rows = fetch_dicts(_CONTENT, {"thread": ticket["thread_id"], "before": end, "most": _MOST_MESSAGES})
    told = []
    for row in reversed(rows):
        kind, name = parties.get(row["sender_party_id"], (None, None))
        told.append({**row, "party_kind": kind, "party_name": name})
    return told


def _ticket(ticket_id: UUID) -> Row:
    rows = fetch_dicts(_TICKET, (ticket_id,))
    if not rows:
        raise TicketError("there is no such ticket", code="TICKET_NOT_FOUND")
    return rows[0]


def _branches(query: OverviewQuery, values: dict[str, Any]) -> Iterator[str]:
    """One for every status and every column that the text may be an id of, for only so an index gives the order."""
    statuses: Sequence[TicketStatus | None] = tuple(dict.fromkeys(query.statuses)) or (None,)
    for status, text in product(statuses, _texts(query.text, values)):
        conditions = [text, *_conditions(query, values)]
        if status is not None:
            values[f"status_{status}"] = status
            conditions.append(f"k.status = %(status_{status})s")
        yield (
            f"SELECT k.* FROM ticket_overview k WHERE {' AND '.join(conditions)}"
            " ORDER BY k.created_at DESC, k.id DESC LIMIT %(rows)s"
        )


def _conditions(query: OverviewQuery, values: dict[str, Any]) -> Iterator[str]:
    if query.ticket_type is not None:
        values["type"] = query.ticket_type
        yield "k.ticket_type = %(type)s"
    if query.after is not None:
        values |= {"at": query.after.at, "after": query.after.ticket_id}
        yield "(k.created_at, k.id) < (%(at)s, %(after)s)"


def _texts(text: str, values: dict[str, Any]) -> Sequence[str]:
    """The conditions of which one has to hold; none at all: no ticket is meant."""
    clean = text.strip()
    if not clean:
        return ("true",)
    number = number_asked(clean)
    if number is not None:
        values |= {"number": number, "number_end": f"{number}~"}
        return (number_condition(number),)
    try:
        values["asked"] = UUID(clean)
    except ValueError:
        return ()
    return tuple(f"k.{column} = %(asked)s" for column in _IDS)
