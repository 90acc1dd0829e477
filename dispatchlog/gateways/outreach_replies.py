"""Owns what the answer to a message means where the provider takes no key: after a 5xx nobody knows. Sends nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dispatchlog.engine.errors import GatewayError, Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.gateways.http_replies import HttpReply, retry_after_seconds
from dispatchlog.gateways.outreach_codes import Meaning

_DIGITS = re.compile(r"\+?[0-9]{5,}")
_ADDRESSES = re.compile(r"[^\s<>()\"',;:]+@[^\s<>()\"',;:]+")
_MOST_MESSAGE = 200
# Looking for addresses takes the square of the length.
_MOST_READ = 2_000


def refusal(
    reply: HttpReply, *, who: str, code: object = None, message: object = None, meaning: Meaning | None = None
) -> GatewayError:
    """The error of an answer that is no success. `code`, `message`: the provider's own, where it gave them.

    A 5xx proves nothing, 503 too, nor does a 409: the provider takes no key, so what it began cannot be recognised later.
    """
    told = f"{_short(who)}_{code}" if code is not None else f"HTTP_{reply.status}"
    if reply.status >= 500 or reply.status == 409:
        error: GatewayError = OutcomeUnknown(f"{who} answered HTTP {reply.status}, which proves nothing.", code=told)
    elif reply.status < 400:
        error = OutcomeUnknown(f"{who}'s answer makes no sense.", code="MALFORMED_REPLY")
    else:
        error = _definite_no(reply, who, told, meaning or _meaning_of(reply.status))
    error.evidence = _evidence(reply, code, message)
    return error


def _meaning_of(status: int) -> Meaning:
    """Where the provider's code says nothing to us, or there is none."""
    if status in (408, 425, 429):
        return Meaning.TRANSIENT
    return Meaning.SETTING if status in (401, 403) else Meaning.PERMANENT


def _definite_no(reply: HttpReply, who: str, told: str, meaning: Meaning) -> GatewayError:
    match meaning:
        case Meaning.OPTED_OUT | Meaning.OPTED_OUT_MARKETING:
            return Permanent(f"The patient told {who} to stop; this does not leave any more.", code=meaning.name)
        case Meaning.WINDOW_CLOSED:
            text = f"{who} takes free text only within 24 hours of the patient's last message; a template is needed."
            return Permanent(text, code=meaning.name)
        case Meaning.SETTING:
            text = f"{who} does not accept our account or its settings ({told}); correct them, then try it again."
            return Transient(text, code="UNAUTHORISED", health=Health.BUSY)
        case Meaning.TRANSIENT | Meaning.ONCE:
            pause = retry_after_seconds(reply)
            return Transient(f"{who} is busy ({told}).", code=told, retry_after_seconds=pause, health=Health.BUSY)
        case Meaning.PERMANENT:
            return Permanent(f"{who} refuses it ({told}).", code=told)


def malformed(reply: HttpReply, *, who: str) -> OutcomeUnknown:
    """It said yes without saying to what."""
    return OutcomeUnknown(
        f"{who} said yes without a message id.", code="MALFORMED_REPLY", evidence={"status": reply.status}
    )


def _evidence(reply: HttpReply, code: object, message: object) -> dict[str, Any]:
    """Providers like to repeat what they refuse, so numbers and addresses are taken out of their words."""
    evidence: dict[str, Any] = {"status": reply.status}
    if code is not None:
        evidence["code"] = str(code)[:32]
    if isinstance(message, str):
        evidence["message"] = _ADDRESSES.sub("…", _DIGITS.sub("…", message[:_MOST_READ]))[:_MOST_MESSAGE]
    return evidence


def _short(who: str) -> str:
    return who.upper().replace(" ", "_")


def field_of(document: Any, *path: str) -> Any:
    """What stands at this path of a JSON document; None where it does not."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document
