"""Messages of a thread: sending each once, paging, reading. Owns `chat_messages` and how far members have read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import MessageInput


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
            content, or in another thread), MESSAGE_EMPTY, MESSAGE_TOO_LONG, ATTACHMENT_INVALID, TIMELINE_NOT_FOUND,
            THREAD_CLOSED (the ticket was cancelled).
    """
    raise NotImplementedError


def message_page(
    who: Identity, thread_id: UUID, *, before: int | None = None, after: int | None = None, limit: int = 50
) -> MessagePage:
    """The newest messages, those before a number, or those after one.

    Raises:
        TicketError: THREAD_NOT_FOUND, INVALID_LIMIT (1 to 200), INVALID_RANGE (both before and after).
    """
    raise NotImplementedError


def mark_read(who: Identity, thread_id: UUID, number: int) -> Row:
    """The asker's party has read up to this number (never back); its member row comes back.

    Raises:
        TicketError: THREAD_NOT_FOUND, MESSAGE_NOT_FOUND (beyond the last one).
    """
    raise NotImplementedError
