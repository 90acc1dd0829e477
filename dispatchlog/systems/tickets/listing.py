"""Pages of tickets as their parties list them. Owns the SQL of the list: every branch walks an index in its order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.states import RECEIVERS, PartyKind, Side, TicketStatus, TicketType

MOST_UNREAD = 100
MOST_ROWS = 200
_NUMBER = re.compile(r"(?:TKT-?)?(\d{1,8}(?:-[A-Z0-9]{0,5})?)?")
_WHOLE_NUMBER = 18
_MOST_TEXT = 200
_WORDS = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of a list ends: the order's instant and the id."""

    at: datetime
    ticket_id: UUID


@dataclass(frozen=True, slots=True)
class TicketQuery:
    """What of one's own tickets: newest first, or with `oldest_first` those that wait longest first.

    `text` is a ticket's number or its beginning, or the beginnings of words of a patient's name, as far as the asker may
    see it. `unread` alone.
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
    (the instant of the present status) and listed_at (the instant of the order: when it was written, to a receiver when it
    was sent); `next` is None at the end.
    """

    tickets: Sequence[Row]
    next: Position | None


# A party's column and the instant by which its list is ordered.
_COLUMNS = {
    Side.PRIMARY: ("primary_provider_id", "created_at"),
    Side.SECONDARY: ("secondary_provider_id", "sent_at"),
    Side.PATIENT: ("patient_id", "created_at"),
}
_PAGE = """
WITH page AS MATERIALIZED (
    SELECT * FROM ({branches}) listed ORDER BY listed_at {order}, id {order} LIMIT %(rows)s)
SELECT k.*, page.side, page.listed_at, patient.name AS patient_name, doctor.name AS doctor_name,
    receiver.name AS receiver_name, t.id AS thread_id, t.last_number, t.last_message_at,
    CASE WHEN own.has_unread THEN care_unread(t.id, %(unread)s) ELSE 0 END AS unread,
    CASE k.status WHEN 'created' THEN k.created_at WHEN 'sent' THEN k.sent_at WHEN 'received' THEN k.received_at
        WHEN 'ready' THEN k.ready_at ELSE k.ended_at END AS waits_since
FROM page JOIN healthcare_tickets k ON k.id = page.id
    LEFT JOIN care_parties patient ON patient.id = k.patient_id
    LEFT JOIN care_parties doctor ON doctor.id = k.primary_provider_id
    LEFT JOIN care_parties receiver ON receiver.id = k.secondary_provider_id
    LEFT JOIN chat_threads t ON t.ticket_id = k.id
    LEFT JOIN chat_thread_members own ON own.thread_id = t.id AND own.party_id = %(party)s
ORDER BY page.listed_at {order}, page.id {order}
"""
# Few are looked up one by one; where there are many, the walk of the list meets them soon.
_FEW = 2_000
# A value asked for row by row, never an EXISTS, for which PostgreSQL may read the whole table first.
_UNREAD = """(SELECT m.has_unread FROM chat_threads t JOIN chat_thread_members m ON m.thread_id = t.id
    WHERE t.ticket_id = k.id AND m.party_id = %(party)s)"""
_NAMED = """(SELECT to_tsvector('simple', c.name) @@ to_tsquery('simple', %(words)s) FROM care_parties c
    WHERE c.id = k.patient_id)"""


def ticket_page(who: Identity, query: TicketQuery) -> TicketPage:
    """A page of the asker's tickets: a doctor's own (and referrals sent to them), a pharmacy's inbox, a patient's."""
    limit = min(max(query.limit, 1), MOST_ROWS)
    values: dict[str, Any] = {"party": who.party_id, "rows": limit + 1, "unread": MOST_UNREAD}
    order = "ASC" if query.oldest_first else "DESC"
    with acting_as(who):
        branches = list(_branches(who.kind, query, values))
        if not branches:
            return TicketPage([], None)
        sql = _PAGE.format(branches=" UNION ALL ".join(f"({branch})" for branch in branches), order=order)
        rows = fetch_dicts(sql, values)
    page = rows[:limit]
    following = Position(page[-1]["listed_at"], page[-1]["id"]) if len(rows) > limit else None
    return TicketPage([{**row, "side": Side(row["side"])} for row in page], following)


def sides_of(kind: PartyKind) -> tuple[Side, ...]:
    """What a party of this kind may be to a ticket."""
    if kind is PartyKind.DOCTOR:
        return (Side.PRIMARY, Side.SECONDARY)
    return (Side.PATIENT,) if kind is PartyKind.PATIENT else (Side.SECONDARY,)


def party_column(side: Side) -> str:
    """The condition by which a ticket is this side's; `%(party)s` is the party."""
    sent = " AND k.sent_at IS NOT NULL" if side is Side.SECONDARY else ""
    return f"k.{_COLUMNS[side][0]} = %(party)s{sent}"


def _branches(kind: PartyKind, query: TicketQuery, values: dict[str, Any]) -> Iterator[str]:
    """One for every side and status, for only so an index gives the order."""
    statuses: Sequence[TicketStatus | None] = tuple(dict.fromkeys(query.statuses)) or (None,)
    found = [*_text(query.text, values), *_unread(query.unread, values)]
    for side, status in product(sides_of(kind), statuses):
        if side is Side.SECONDARY and not _could_receive(kind, query.ticket_type, status):
            continue
        column = _COLUMNS[side][1]
        conditions = [party_column(side), *found, *_conditions(f"k.{column}", query, values)]
        if status is not None:
            values[f"status_{status}"] = status
            conditions.append(f"k.status = %(status_{status})s")
        order = "ASC" if query.oldest_first else "DESC"
        yield (
            f"SELECT k.id, '{side}' AS side, k.{column} AS listed_at FROM healthcare_tickets k"
            f" WHERE {' AND '.join(conditions)} ORDER BY k.{column} {order}, k.id {order} LIMIT %(rows)s"
        )


def _could_receive(kind: PartyKind, ticket_type: TicketType | None, status: TicketStatus | None) -> bool:
    return status is not TicketStatus.CREATED and (ticket_type is None or RECEIVERS[ticket_type] is kind)


def _conditions(column: str, query: TicketQuery, values: dict[str, Any]) -> Iterator[str]:
    if query.ticket_type is not None:
        values["type"] = query.ticket_type
        yield "k.ticket_type = %(type)s"
    if query.since is not None:
        values["since"] = query.since
        yield f"{column} >= %(since)s"
    if query.until is not None:
        values["until"] = query.until
        yield f"{column} < %(until)s"
    if query.after is not None:
        values |= {"at": query.after.at, "after": query.after.ticket_id}
        yield f"({column}, k.id) {'>' if query.oldest_first else '<'} (%(at)s, %(after)s)"


def _unread(asked: bool, values: dict[str, Any]) -> Iterator[str]:
    if asked:
        values["with_unread"] = [row[0] for row in fetch_all("SELECT care_unread_tickets(%s)", (_FEW + 1,))]
        yield _UNREAD if len(values["with_unread"]) > _FEW else "k.id = ANY (%(with_unread)s)"


def _text(text: str, values: dict[str, Any]) -> Iterator[str]:
    clean = text.replace("\x00", " ").strip()[:_MOST_TEXT]
    if not clean:
        return
    number = number_asked(clean)
    if number is not None:
        values |= {"number": number, "number_end": f"{number}~"}
        yield number_condition(number)
        return
    words = _WORDS.findall(clean.lower())
    if not words:
        yield "false"
        return
    values["words"] = " & ".join(f"'{word}':*" for word in words)
    values["patients"] = [
        row[0] for row in fetch_all("SELECT care_patients_named(%s, %s)", (values["words"], _FEW + 1))
    ]
    yield _NAMED if len(values["patients"]) > _FEW else "k.patient_id = ANY (%(patients)s)"


def number_asked(text: str) -> str | None:
    """The beginning of a ticket's number that the text is, whether or not it names the `TKT-`; None: it is something
    else.
    """
    found = _NUMBER.fullmatch(text.upper())
    return f"TKT-{found[1] or ''}" if found else None


def number_condition(number: str) -> str:
    """Whether a ticket has this number (`%(number)s`) or one that begins so (before `%(number_end)s`)."""
    if len(number) == _WHOLE_NUMBER:
        return "k.ticket_number = %(number)s"
    return "k.ticket_number >= %(number)s AND k.ticket_number < %(number_end)s"
