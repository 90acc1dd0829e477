"""What the WhatsApp Cloud API's webhook says, as reports and messages. Pure; whether it is WhatsApp's was asked before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dispatchlog.systems.outreach.events import Report
from dispatchlog.systems.outreach.inbound import Message
from dispatchlog.systems.outreach.provider_words import (
    WHATSAPP,
    WebhookMalformed,
    heard_of,
    job_named,
    kept,
    read_json,
    text,
    unix_instant,
)
from dispatchlog.systems.outreach.states import Channel

_CAPTIONED = ("image", "video", "document")


@dataclass(frozen=True, slots=True)
class Told:
    """What one webhook holds; anything else in it (an account's notices) is nothing to us."""

    reports: list[Report]
    messages: list[Message]


def read_webhook(body: bytes) -> Told:
    """Statuses and messages, in their order.

    Raises:
        WebhookMalformed: it is not made as WhatsApp makes them, or a status or message lacks its id.
    """
    said = read_json(body)
    if not isinstance(said, Mapping):
        raise WebhookMalformed("the body is not an object")
    told = Told([], [])
    for place, value in _values(said):
        ours = _part(value, "metadata", place)
        number = text(ours, "display_phone_number") or text(ours, "phone_number_id")
        told.reports.extend(_report(status) for status in _objects(value, "statuses", place))
        told.messages.extend(_message(message, number) for message in _objects(value, "messages", place))
    return told


def _values(said: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for entry_number, entry in enumerate(_objects(said, "entry", "")):
        for number, change in enumerate(_objects(entry, "changes", f"entry[{entry_number}].")):
            place = f"entry[{entry_number}].changes[{number}].value"
            yield place, _part(change, "value", place)


def _objects(said: Mapping[str, Any], name: str, place: str) -> list[Mapping[str, Any]]:
    found = said.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise WebhookMalformed(f"{name} is not a list of objects", field=f"{place}.{name}".strip("."))
    return found


def _part(said: Mapping[str, Any], name: str, place: str = "") -> Mapping[str, Any]:
    found = said.get(name) or {}
    if not isinstance(found, Mapping):
        raise WebhookMalformed(f"{name} is not an object", field=place or name)
    return found


def _report(status: Mapping[str, Any]) -> Report:
    message_id, word = text(status, "id", needed=True), text(status, "status", needed=True)
    at = text(status, "timestamp")
    errors = _objects(status, "errors", "")
    return Report(
        provider=WHATSAPP,
        event_key=f"{message_id}:{word}:{at}",
        raw_status=word,
        heard=heard_of(WHATSAPP, word),
        provider_message_id=message_id,
        job_id=job_named(status.get("biz_opaque_callback_data")),
        code=text(errors[0], "code") if errors else "",
        occurred_at=unix_instant(at),
        body=kept(WHATSAPP, status),
    )


def _message(message: Mapping[str, Any], number: str) -> Message:
    message_id = text(message, "id", needed=True)
    return Message(
        provider=WHATSAPP,
        event_key=message_id,
        channel=Channel.WHATSAPP,
        from_address=_sender(message),
        to_address=number,
        body=_words(message),
        provider_message_id=message_id,
        sent_at=unix_instant(message.get("timestamp")),
    )


def _sender(message: Mapping[str, Any]) -> str:
    """The number, or the id by which WhatsApp knows somebody who keeps theirs to themselves."""
    number = text(message, "from")
    if number.isascii() and number.isdigit():
        return f"+{number}"
    return number or text(message, "from_user_id") or "unknown"


def _words(message: Mapping[str, Any]) -> str:
    """What was written or pressed; of what is neither, a note of its kind."""
    kind = text(message, "type") or "unknown"
    part = _part(message, kind) if kind != "unknown" else {}
    if kind == "interactive":
        inner = _part(part, text(part, "type"))
        return text(inner, "title") or text(inner, "id") or "[interactive]"
    found = {"text": "body", "button": "text", "reaction": "emoji"}.get(kind)
    if kind in _CAPTIONED:
        found = "caption"
    return (text(part, found) if found else "") or f"[{kind[:32]}]"
