"""What SendGrid's event webhook says, as reports. Pure; whether it is SendGrid's was asked before.

It tells each event three times on average, sometimes for a day, always under one `sg_event_id`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.systems.outreach.events import Report
from dispatchlog.systems.outreach.provider_words import (
    SENDGRID,
    WebhookMalformed,
    heard_of,
    job_named,
    kept,
    read_json,
    text,
    unix_instant,
)
from dispatchlog.systems.outreach.states import Heard

_INNER = ("filter", "recvd")


def read_events(body: bytes) -> list[Report]:
    """A batch of events.

    Raises:
        WebhookMalformed: it is not a list of objects with `event`, and `sg_event_id` or what an id can be made of.
    """
    said = read_json(body)
    if not isinstance(said, list):
        raise WebhookMalformed("the body is not a list of events")
    return [_report(event, f"[{place}]") for place, event in enumerate(said)]


def message_id(sg_message_id: str) -> str:
    """The X-Message-Id of the answer to the sending: SendGrid appends where the message went inside."""
    parts = sg_message_id.split(".")
    for place, part in enumerate(parts):
        if place and part.startswith(_INNER):
            return ".".join(parts[:place])
    return sg_message_id


def code_of(word: str, said: Mapping[str, Any]) -> str:
    """Why a message did not arrive: the mail server's status, the reason for dropping it, or the kind of bounce."""
    if word == "dropped":
        return text(said, "reason").strip().upper().replace(" ", "_")[:64]
    if word == "bounce":
        return text(said, "status") or text(said, "type")
    return ""


def _report(event: object, place: str) -> Report:
    if not isinstance(event, Mapping):
        raise WebhookMalformed("an event is not an object", field=place)
    word = text(event, "event", needed=True)
    message = message_id(text(event, "sg_message_id"))
    key = text(event, "sg_event_id") or _made_key(event, word, message, place)
    # A machine opens what a mail client fetches ahead, whether or not anybody looks at it.
    heard = heard_of(SENDGRID, word)
    if heard is Heard.OPENED and event.get("sg_machine_open"):
        heard = None
    return Report(
        provider=SENDGRID,
        event_key=key,
        raw_status=word,
        heard=heard,
        provider_message_id=message,
        job_id=job_named(event.get("job")),
        code=code_of(word, event),
        occurred_at=unix_instant(event.get("timestamp")),
        body=kept(SENDGRID, event),
    )


def _made_key(event: Mapping[str, Any], word: str, message: str, place: str) -> str:
    owner = message or text(event, "job")
    if not owner:
        raise WebhookMalformed("an event has neither sg_event_id nor sg_message_id", field=place)
    return f"{owner}:{word}:{text(event, 'timestamp')}"
