"""What providers' words mean, and what may be kept of what they say. Pure; reads no request and no table.

The words are those of Twilio's "Track outbound message status" and error dictionary, SendGrid's "Event Webhook Reference",
and the WhatsApp Cloud API's webhooks and error codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.outreach.states import Heard, PurposeClass

SENDGRID, TWILIO, WHATSAPP = "sendgrid", "twilio", "whatsapp"
# By which of the lane's routes a provider carries messages: what it tells of any other is not about ours.
ROUTES: Mapping[str, tuple[str, ...]] = {
    SENDGRID: ("email-sendgrid",),
    TWILIO: ("sms-twilio", "whatsapp-twilio"),
    WHATSAPP: ("whatsapp-cloud",),
}
# Words that are not here are kept and shown, and say no more than that the provider has the message.
HEARD: Mapping[str, Mapping[str, Heard]] = {
    SENDGRID: {
        "processed": Heard.SENT,
        "delivered": Heard.DELIVERED,
        "open": Heard.OPENED,
        "click": Heard.CLICKED,
        "bounce": Heard.BOUNCED,
        "dropped": Heard.BOUNCED,
        "spamreport": Heard.UNSUBSCRIBED,
        "unsubscribe": Heard.UNSUBSCRIBED,
        "group_unsubscribe": Heard.UNSUBSCRIBED,
    },
    TWILIO: {
        "sent": Heard.SENT,
        "delivered": Heard.DELIVERED,
        "read": Heard.OPENED,
        "undelivered": Heard.BOUNCED,
        "failed": Heard.BOUNCED,
    },
    WHATSAPP: {
        "sent": Heard.SENT,
        "delivered": Heard.DELIVERED,
        "read": Heard.OPENED,
        "played": Heard.OPENED,
        "failed": Heard.BOUNCED,
    },
}


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Somebody wants no more of it: of what, and how they said so, in the words of `consents`."""

    purposes: PurposeClass
    source: str


_ALL, _MARKETING = PurposeClass.ALL, PurposeClass.MARKETING
_BY_WORD: Mapping[tuple[str, str], Withdrawal] = {
    (SENDGRID, "spamreport"): Withdrawal(_ALL, "spam_report"),
    (SENDGRID, "unsubscribe"): Withdrawal(_ALL, "unsubscribe"),
    (SENDGRID, "group_unsubscribe"): Withdrawal(_MARKETING, "unsubscribe"),
}
_BY_CODE: Mapping[tuple[str, str], Withdrawal] = {
    (TWILIO, "21610"): Withdrawal(_ALL, "carrier"),
    (SENDGRID, "SPAM_REPORTING_ADDRESS"): Withdrawal(_ALL, "spam_report"),
    (SENDGRID, "UNSUBSCRIBED_ADDRESS"): Withdrawal(_ALL, "unsubscribe"),
    (WHATSAPP, "131050"): Withdrawal(_MARKETING, "carrier"),
}
# What of an event says why: never an address, a text, or a link, which may hold a token.
_KEPT: Mapping[str, tuple[str, ...]] = {
    SENDGRID: ("reason", "response", "status", "type", "bounce_classification", "attempt", "sg_machine_open", "tls"),
    TWILIO: ("ErrorCode", "ErrorMessage", "ChannelStatusCode", "ChannelStatusMessage"),
    WHATSAPP: ("errors", "conversation", "pricing"),
}
_LONGEST, _MOST_CHARACTERS, _DEEPEST = 500, 4_000, 10
_ADDRESS = re.compile(r"[^\s<>,;:\"']+@[^\s<>,;:\"']+")
_NUMBER = re.compile(r"\+\d[\d ().-]{5,}\d|\d{7,}")
_LINK = re.compile(r"https?://\S+")


class WebhookMalformed(DispatchlogError):
    """The body is not a webhook of this provider; `field` says where it is not."""

    code = "WEBHOOK_MALFORMED"

    def __init__(self, message: str, *, field: str = "") -> None:
        super().__init__(message)
        self.field = field


def heard_of(provider: str, word: str) -> Heard | None:
    """What a provider's word says of a message; None: nothing that changes it."""
    return HEARD[provider].get(word)


def withdrawal(provider: str, word: str, code: str) -> Withdrawal | None:
    """Whether somebody says with this that they want no more."""
    return _BY_WORD.get((provider, word)) or _BY_CODE.get((provider, code))


def kept(provider: str, said: Mapping[str, Any]) -> dict[str, Any]:
    """What an event's record keeps of what was said, without addresses, numbers and links in its texts."""
    found = {name: _without_persons(said[name]) for name in _KEPT[provider] if said.get(name) not in (None, "")}
    return found if len(json.dumps(found, default=str)) <= _MOST_CHARACTERS else {}


def _without_persons(value: Any, *, deepest: int = _DEEPEST) -> Any:
    if isinstance(value, str):
        text = _LINK.sub("(link)", value[:_LONGEST])
        return _NUMBER.sub("(number)", _ADDRESS.sub("(address)", text))
    if isinstance(value, Mapping | list) and not deepest:
        return "(more)"
    if isinstance(value, Mapping):
        return {str(name): _without_persons(each, deepest=deepest - 1) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_persons(each, deepest=deepest - 1) for each in value]
    return value


def read_json(body: bytes) -> Any:
    """The JSON in the body.

    Raises:
        WebhookMalformed: there is none, or one that nests too deep.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WebhookMalformed("the body is not JSON") from error


def text(said: Mapping[str, Any], name: str, *, needed: bool = False) -> str:
    """A text or number of what was said, as text; "" where there is none.

    Raises:
        WebhookMalformed: it is needed and not there.
    """
    value = said.get(name)
    found = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if needed and not found:
        raise WebhookMalformed(f"{name} is missing", field=name)
    return found


def job_named(value: object) -> UUID | None:
    """The id of ours that was given to the provider, as it came back."""
    try:
        return UUID(value) if isinstance(value, str) else None
    except ValueError:
        return None


def unix_instant(value: object) -> datetime | None:
    """Unix seconds, as a number or as text; None where they are not, or are of no plausible year."""
    try:
        instant = datetime.fromtimestamp(float(value), UTC)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError, OSError):
        return None
    return instant if 2000 <= instant.year < 2100 else None
