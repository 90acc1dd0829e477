"""What patients write back: stored once, understood, acted on, or given to a person. Owns `comm_inbound`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.outreach.contacts import normalise
from dispatchlog.systems.outreach.inputs import Asker, OutreachError
from dispatchlog.systems.outreach.states import Channel, Intent

# Id, channel, from, to, body, intent, provider, its message id, event key, source, when it was sent, and the trace id.
InboundRow = tuple[Any, ...]

LONGEST_BODY = 8_000
_OPT_OUT_WORDS = MappingProxyType({"STOP": str(Intent.STOP), "START": str(Intent.START), "HELP": str(Intent.HELP)})

# One statement in autocommit: what is answered with yes is on the disk. The same message twice in one webhook counts once.
_STORE = """
INSERT INTO comm_inbound (id, channel, from_address, to_address, body, intent, provider, provider_message_id, event_key,
    source, sent_at, trace_id)
SELECT * FROM unnest(%s::uuid[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[],
    %s::text[], %s::text[], %s::timestamptz[], %s::text[])
ON CONFLICT (provider, event_key) DO NOTHING RETURNING event_key
"""


@dataclass(frozen=True, slots=True)
class Message:
    """One message from somebody. Addresses as the provider wrote them; `opt_out` is the provider's own word for it, as
    Twilio's OptOutType (STOP, START, HELP) or ""."""

    provider: str
    event_key: str
    channel: Channel
    from_address: str
    to_address: str
    body: str
    provider_message_id: str = ""
    sent_at: datetime | None = None
    opt_out: str = ""


def store_messages(
    messages: Sequence[Message],
    *,
    source: str,
    trace_id: str,
    write: Callable[[Sequence[InboundRow]], int] | None = None,
) -> int:
    """Store, committed when it returns; how many were new. The provider's own word of an opt-out, opt-in or call for help
    is kept as the intent. `write` stores rows and commits on a connection of its own; without it, this thread's is used.
    """
    if not messages:
        return 0
    rows = [_row(message, source, trace_id) for message in messages]
    return write(rows) if write is not None else _write_here(rows)


def insertion(rows: Sequence[InboundRow]) -> tuple[str, Sequence[Any]]:
    """The statement that stores these, with its parameters; the ids of those that are new come back from it."""
    return _STORE, [list(column) for column in zip(*rows, strict=True)]


def _write_here(rows: Sequence[InboundRow]) -> int:
    with connected():
        return len(fetch_all(*insertion(rows)))


def _row(message: Message, source: str, trace_id: str) -> InboundRow:
    return (
        new_id(),
        str(message.channel),
        _address(message.channel, message.from_address),
        _address(message.channel, message.to_address),
        _text(message.body)[:LONGEST_BODY],
        _OPT_OUT_WORDS.get(message.opt_out.strip().upper()),
        _text(message.provider)[:16],
        _text(message.provider_message_id)[:255],
        _event_key(message.event_key),
        source,
        message.sent_at,
        _text(trace_id)[:64],
    )


def _address(channel: Channel, given: str) -> str:
    """As patients' addresses are stored, where it is one; a number may come as `whatsapp:+1...` or without its plus."""
    text = _text(given).strip().removeprefix("whatsapp:")
    try:
        return normalise(channel, f"+{text}" if text.isascii() and text.isdigit() else text)
    except OutreachError:
        return text[:255]


def _event_key(given: str) -> str:
    """A longer one than fits is known by its hash: cut off, two could be the same."""
    text = _text(given)
    return text if len(text) <= 128 else f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _text(value: str) -> str:
    """Without what PostgreSQL takes in no text: NUL and halves of characters."""
    return value.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()


def process_all(*, limit: int = 200) -> int:
    """Understand and act on what is stored, each in a transaction of its own; how many."""
    raise NotImplementedError


def settle(inbound_id: UUID, *, intent: str | None, note: str, asker: Asker) -> Mapping[str, Any]:
    """A person says what a message means (its action is done) or that nothing follows (`intent` None).

    Raises:
        OutreachError: INBOUND_NOT_FOUND, ALREADY_PROCESSED, NO_APPOINTMENT, UNKNOWN_INTENT.
    """
    raise NotImplementedError


def waiting(*, limit: int = 100, after: UUID | None = None) -> Sequence[Mapping[str, Any]]:
    """What waits for a person, oldest first."""
    raise NotImplementedError


def of_patient(patient_id: UUID, *, limit: int = 100) -> Sequence[Mapping[str, Any]]:
    """A patient's messages, newest first."""
    raise NotImplementedError
