"""The API's routes about threads and messages. Owns their URLs and answers; the rules are `systems.tickets.messages`'."""

from __future__ import annotations

from uuid import UUID

from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.routes import Call, Route, path_uuid, read_limit
from dashboard.api.ticket_parts import (
    ChatMessageAnswer,
    ChatMessageListAnswer,
    ChatMessagePart,
    ReadAnswer,
    ThreadAnswer,
)
from dashboard.api.tickets import PERSON
from dispatchlog.systems.tickets import messages, reading
from dispatchlog.ticket_documents import MessageDocument, ReadDocument


def find_thread(call: Call) -> ThreadAnswer:
    """A thread by its ticket, else by its order."""
    ticket, order = (_id(call, name) for name in ("ticketId", "orderId"))
    if ticket is None and order is None:
        raise ApiError("MISSING_FIELD", "say ticketId, or orderId for an old thread", field="ticketId")
    return ThreadAnswer.of(reading.find_thread(call.who, ticket_id=ticket, order_id=order))


def find_messages(call: Call, thread_id: str) -> ChatMessageListAnswer:
    """A page of a thread."""
    page = messages.message_page(
        call.who,
        path_uuid(thread_id, "threadId"),
        before=_number(call, "before"),
        after=_number(call, "after"),
        limit=read_limit(call),
    )
    return ChatMessageListAnswer(
        messages=[ChatMessagePart.of(row) for row in page.messages],
        has_older=page.has_older,
        has_newer=page.has_newer,
    )


def send_message(call: Call, thread_id: str) -> ChatMessageAnswer:
    """Send a message, or say again that it was sent."""
    document: MessageDocument = call.document
    row, stored = messages.send_message(call.who, path_uuid(thread_id, "threadId"), document.to_input())
    return ChatMessageAnswer(message=ChatMessagePart.of(row), stored=stored)


def mark_read(call: Call, thread_id: str) -> ReadAnswer:
    """The asker's party has read up to a message."""
    document: ReadDocument = call.document
    return ReadAnswer(**messages.mark_read(call.who, path_uuid(thread_id, "threadId"), document.number))


def _id(call: Call, name: str) -> UUID | None:
    text = call.parameters.get(name, "")
    return path_uuid(text, name) if text else None


def _number(call: Call, name: str) -> int | None:
    text = call.parameters.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 17):
        raise ApiError("INVALID_RANGE", f"{name} is the number of a message", field=name)
    return int(text)


_THREADS = f"{PREFIX}/threads"
_MESSAGES = f"{_THREADS}/<thread_id>/messages"

ROUTES = (
    Route(
        "GET",
        _THREADS,
        "findThread",
        "A thread by its ticket; old threads, which have none yet, by their order (the appointment's id).",
        "",
        find_thread,
        ThreadAnswer,
        parameters={"ticketId": "the ticket's id", "orderId": "the appointment's id, for older clients"},
        codes=(*PERSON, "INVALID_UUID", "THREAD_NOT_FOUND"),
    ),
    Route(
        "GET",
        _MESSAGES,
        "findMessages",
        "The newest messages of a thread, those before a number, or those after one; oldest of them first.",
        "",
        find_messages,
        ChatMessageListAnswer,
        parameters={
            "before": "a message's number",
            "after": "a message's number",
            "limit": "1 to 200 messages; 50 unless told",
        },
        codes=(*PERSON, "THREAD_NOT_FOUND", "INVALID_LIMIT", "INVALID_RANGE"),
    ),
    Route(
        "POST",
        _MESSAGES,
        "sendMessage",
        "Send a message. The same clientMessageId again is the same message, so send it until there is an answer.",
        "",
        send_message,
        ChatMessageAnswer,
        document=MessageDocument,
        creates=lambda answer: answer.stored,
        codes=(
            *PERSON,
            "CONTROL_CHARACTER",
            "THREAD_NOT_FOUND",
            "SENDER_MISMATCH",
            "MESSAGE_ID_REUSED",
            "MESSAGE_EMPTY",
            "MESSAGE_TOO_LONG",
            "INVALID_TEXT",
            "ATTACHMENT_INVALID",
            "TIMELINE_NOT_FOUND",
            "THREAD_CLOSED",
        ),
    ),
    Route(
        "POST",
        f"{_THREADS}/<thread_id>/read",
        "markThreadRead",
        "The asker's party has read up to a message; never back.",
        "",
        mark_read,
        ReadAnswer,
        document=ReadDocument,
        codes=(*PERSON, "THREAD_NOT_FOUND", "MESSAGE_NOT_FOUND"),
    ),
)
