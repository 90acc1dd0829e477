"""Messages of a thread: sending each once, paging, reading. Owns `chat_messages` and how far members have read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import peewee

from dispatchlog.engine.database import database, execute, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import MessageInput, TicketError
from dispatchlog.systems.tickets.message_checks import checked_attachments, checked_body
from dispatchlog.systems.tickets.refusals import sqlstate

MOST_PAGE = 200
MOST_NUMBER = (1 << 63) - 1

_COLUMNS = (
    "m.id, m.thread_id, m.number, m.sender_id, m.sender_party_id, m.client_message_id, m.body, m.attachments,"
    " m.timeline_id, m.created_at"
)
_STORED = f"SELECT {_COLUMNS} FROM chat_messages m WHERE m.sender_id = %s AND m.client_message_id = %s"
_NEWEST = f"""
SELECT {_COLUMNS} FROM chat_messages m WHERE m.thread_id = %s AND m.number < %s ORDER BY m.number DESC LIMIT %s
"""
_AFTER = f"SELECT {_COLUMNS} FROM chat_messages m WHERE m.thread_id = %s AND m.number > %s ORDER BY m.number LIMIT %s"
_INSERT = """
INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body, attachments, timeline_id)
VALUES (%s, %s, %s, %s, %s, %s::jsonb, %s)
"""
# Names are looked up for a page at once: asked for each message, row-level security would be, too.
_SENDERS = "SELECT id, name FROM care_people WHERE id = ANY(%s)"
_PARTIES = "SELECT id, kind, name FROM care_parties WHERE id = ANY(%s)"
_ENTRIES = "SELECT id, kind, from_status, to_status, at FROM ticket_timeline WHERE id = ANY(%s)"

_OWN_READING = """
SELECT * FROM chat_thread_members WHERE thread_id = %s AND party_id IN (%s, %s) ORDER BY party_id <> %s LIMIT 1 FOR UPDATE
"""
_FIRST_UNREAD = """
SELECT m.created_at FROM chat_messages m
WHERE m.thread_id = %s AND m.number > %s AND m.sender_party_id IS DISTINCT FROM %s AND m.sender_id <> %s
ORDER BY m.number LIMIT 1
"""
_READ = """
UPDATE chat_thread_members SET read_number = %s, read_at = clock_timestamp(), read_by = %s,
    has_unread = %s::timestamptz IS NOT NULL, unread_since = %s
WHERE thread_id = %s AND party_id = %s RETURNING *
"""


@dataclass(frozen=True, slots=True)
class MessagePage:
    """Messages by number, oldest first, with sender_name, party_kind, party_name, `own` (of the asker's party) and, where
    it speaks of one, the timeline's entry (timeline_kind, timeline_from, timeline_to, timeline_at). Whether there are more.
    """

    messages: Sequence[Row]
    has_older: bool
    has_newer: bool


def send_message(who: Identity, thread_id: UUID, given: MessageInput) -> tuple[Row, bool]:
    """The message, and whether it was stored now: the same client_message_id with the same content is the same message.

    Raises:
        TicketError: THREAD_NOT_FOUND, SENDER_MISMATCH (it names somebody else as its sender), MESSAGE_ID_REUSED (with other
            content, or in another thread), MESSAGE_EMPTY, MESSAGE_TOO_LONG, INVALID_TEXT (a control character),
            ATTACHMENT_INVALID, TIMELINE_NOT_FOUND, THREAD_CLOSED (the ticket was cancelled).
    """
    if given.sender_id not in (None, who.person_id):
        message = f"whoever is signed in is person {who.person_id}; sign in again, or name nobody as the sender"
        raise TicketError(message, code="SENDER_MISMATCH", field="sender_id")
    body, attachments = checked_body(given), checked_attachments(given)
    told = {"thread_id": thread_id, "body": body, "attachments": attachments, "timeline_id": given.timeline_id}
    with acting_as(who):
        _thread(thread_id)
        stored = _stored(who, given.client_message_id)
        sent = stored is None and _insert(who, given.client_message_id, told)
        if stored is None:
            stored = _stored(who, given.client_message_id)
        if stored is None or any(stored[name] != value for name, value in told.items()):
            message = f"message id {given.client_message_id} stands for another message; send this one with a new id"
            raise TicketError(message, code="MESSAGE_ID_REUSED", field="client_message_id")
        return _told(who, [stored])[0], sent


def message_page(
    who: Identity, thread_id: UUID, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> MessagePage:
    """The newest messages, those before a number, or those after one.

    Raises:
        TicketError: THREAD_NOT_FOUND, INVALID_LIMIT (1 to 200), INVALID_RANGE (both before and after).
    """
    if not 1 <= limit <= MOST_PAGE:
        raise TicketError(f"a page has 1 to {MOST_PAGE} messages", code="INVALID_LIMIT", field="limit")
    if before is not None and after is not None:
        raise TicketError("ask for messages before a number or after one", code="INVALID_RANGE", field="before")
    with acting_as(who):
        last = _thread(thread_id)
        if after is not None:
            rows = fetch_dicts(_AFTER, (thread_id, _as_number(after), limit))
        else:
            end = last + 1 if before is None else _as_number(before)
            rows = fetch_dicts(_NEWEST, (thread_id, min(end, last + 1), limit))[::-1]
        if not rows:
            return MessagePage((), has_older=last > 0 and after is not None, has_newer=last > 0 and after is None)
        return MessagePage(_told(who, rows), has_older=rows[0]["number"] > 1, has_newer=rows[-1]["number"] < last)


def mark_read(who: Identity, thread_id: UUID, number: int) -> Row:
    """The asker's party has read up to this number (never back); its member row comes back.

    Raises:
        TicketError: THREAD_NOT_FOUND, MESSAGE_NOT_FOUND (beyond the last one).
    """
    with acting_as(who):
        if not 0 <= number <= _thread(thread_id):
            raise TicketError(f"the thread has no message {number}", code="MESSAGE_NOT_FOUND", field="number")
        # Whoever is sending waits for this lock before their message can be seen, and then marks it unread.
        own = fetch_dicts(_OWN_READING, (thread_id, who.party_id, who.person_id, who.party_id))
        if not own:
            raise _not_found(thread_id)
        if number <= own[0]["read_number"]:
            return own[0]
        first = fetch_dicts(_FIRST_UNREAD, (thread_id, number, who.party_id, who.person_id))
        since = first[0]["created_at"] if first else None
        return fetch_dicts(_READ, (number, who.person_id, since, since, thread_id, own[0]["party_id"]))[0]


def _thread(thread_id: UUID) -> int:
    """The number of its last message."""
    rows = fetch_dicts("SELECT last_number FROM chat_threads WHERE id = %s", (thread_id,))
    if not rows:
        raise _not_found(thread_id)
    return int(rows[0]["last_number"])


def _not_found(thread_id: UUID) -> TicketError:
    return TicketError(f"there is no thread {thread_id} for whoever asks", code="THREAD_NOT_FOUND")


def _as_number(number: int) -> int:
    return max(0, min(number, MOST_NUMBER))


def _stored(who: Identity, client_message_id: UUID) -> Row | None:
    rows = fetch_dicts(_STORED, (who.person_id, client_message_id))
    return rows[0] if rows else None


def _insert(who: Identity, client_message_id: UUID, told: Row) -> bool:
    """False: another connection stored the id in the meantime."""
    attachments = json.dumps(told["attachments"])
    values = (new_id(), told["thread_id"], who.person_id, client_message_id, told["body"], attachments)
    try:
        with database.atomic():
            execute(_INSERT, (*values, told["timeline_id"]))
    except peewee.DatabaseError as error:
        if sqlstate(error) == "23505":
            return False
        raise _refusal(sqlstate(error), told["thread_id"]) or error from error
    return True


def _refusal(state: str, thread_id: UUID) -> TicketError | None:
    match state:
        case "DL003":
            return TicketError("the ticket was cancelled; nothing can be written any more", code="THREAD_CLOSED")
        case "DL004" | "22003":
            message = "the timeline of this ticket has no such entry"
            return TicketError(message, code="TIMELINE_NOT_FOUND", field="timeline_id")
        case "42501" | "23503":  # the person was made inactive just now
            return _not_found(thread_id)
    return None


def _told(who: Identity, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """The messages with the names and entries that belong to them."""
    people = _by_id(_SENDERS, {row["sender_id"] for row in rows})
    parties = _by_id(_PARTIES, {row["sender_party_id"] for row in rows} - {None})
    entries = _by_id(_ENTRIES, {row["timeline_id"] for row in rows} - {None})
    told = []
    for row in rows:
        party, entry = parties.get(row["sender_party_id"], {}), entries.get(row["timeline_id"], {})
        told.append(
            {
                **row,
                "sender_name": people.get(row["sender_id"], {}).get("name", ""),
                "party_kind": party.get("kind"),
                "party_name": party.get("name", ""),
                "own": who.party_id == row["sender_party_id"] or who.person_id == row["sender_id"],
                "timeline_kind": entry.get("kind"),
                "timeline_from": entry.get("from_status"),
                "timeline_to": entry.get("to_status"),
                "timeline_at": entry.get("at"),
            }
        )
    return told


def _by_id(sql: str, ids: set[Any]) -> dict[Any, Row]:
    return {row["id"]: row for row in fetch_dicts(sql, (list(ids),))} if ids else {}
