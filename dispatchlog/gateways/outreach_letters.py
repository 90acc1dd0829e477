"""Owns a stored text in its provider's own form: Twilio's form fields, SendGrid's and WhatsApp's JSON. Pure; sends nothing.

A job is anything with the columns of `comm_jobs`. The same job and the same arguments give the same bytes. In
`provider_template` the parameters are the finished texts, in the template's order, never names of variables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any, NamedTuple
from urllib.parse import urlencode

from dispatchlog.engine.errors import CannotCompose

TWILIO_MOST_CHARACTERS = 1_600
WHATSAPP_MOST_CHARACTERS = 4_096
# Twilio would keep a text for hours; whoever lets it leave reckons with so long until it arrives.
TEXT_VALID_SECONDS = 600
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_WHATSAPP = "whatsapp:"

Job = Mapping[str, Any]


class Parts(NamedTuple):
    """What an engine's Letter holds, in its order."""

    recipient: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]


def compose_twilio(job: Job, *, sender: str, status_url: str, in_conversation: bool = False) -> Parts:
    """SMS or WhatsApp, as the job's channel says.

    Args:
        sender: a number such as +12025550123, or a messaging service (MG...).
        status_url: our own address without a path; Twilio tells `<status_url>/webhooks/twilio/status/<job id>`. "": it
            tells nothing.
        in_conversation: the patient wrote by WhatsApp within the last 24 hours, so free text may be sent.

    Raises:
        CannotCompose: INVALID_NUMBER, TEXT_EMPTY, TEXT_TOO_LONG, TEMPLATE_REQUIRED.
    """
    whatsapp = job["channel"] == "whatsapp"
    number, prefix = _number(job), _WHATSAPP if whatsapp else ""
    fields = {"To": prefix + number}
    sender = sender.removeprefix(_WHATSAPP)
    fields |= {"MessagingServiceSid": sender} if _SERVICE.fullmatch(sender) else {"From": prefix + sender}
    if whatsapp and not in_conversation:
        fields |= _twilio_template(job)
    else:
        fields["Body"] = _text(job, TWILIO_MOST_CHARACTERS)
    if not whatsapp:
        fields["ValidityPeriod"] = str(TEXT_VALID_SECONDS)
    if status_url:
        fields["StatusCallback"] = f"{status_url.rstrip('/')}/webhooks/twilio/status/{job['id']}"
    return Parts(number, urlencode(fields).encode(), FORM, {})


def _twilio_template(job: Job) -> dict[str, str]:
    template = _template(job, "content_sid")
    fields = {"ContentSid": str(template["content_sid"])}
    numbered = {str(place): text for place, text in enumerate(_parameters(template), start=1)}
    return fields | ({"ContentVariables": _json(numbered).decode()} if numbered else {})


def compose_whatsapp(job: Job, *, in_conversation: bool) -> Parts:
    """A message of the Cloud API: free text where the patient wrote within the last 24 hours, else the approved template.

    Raises:
        CannotCompose: INVALID_NUMBER, TEXT_EMPTY, TEXT_TOO_LONG, TEMPLATE_REQUIRED.
    """
    number = _number(job)
    document = {"messaging_product": "whatsapp", "recipient_type": "individual", "to": number}
    content = _cloud_text(job) if in_conversation else _cloud_template(job)
    return Parts(number, _json({**document, **content, "biz_opaque_callback_data": str(job["id"])}), JSON, {})


def _cloud_text(job: Job) -> dict[str, Any]:
    # A preview would fetch the portal's link before the patient does.
    return {"type": "text", "text": {"preview_url": False, "body": _text(job, WHATSAPP_MOST_CHARACTERS)}}


def _cloud_template(job: Job) -> dict[str, Any]:
    template = _template(job, "name")
    parameters = [{"type": "text", "text": text} for text in _parameters(template)]
    components = [{"type": "body", "parameters": parameters}] if parameters else []
    language = {"code": str(template.get("language") or job["language"])}
    return {
        "type": "template",
        "template": {"name": str(template["name"]), "language": language, "components": components},
    }


def compose_sendgrid(
    job: Job, *, sender: str, html: str = "", headers: Mapping[str, str] | None = None, reply_to: str = ""
) -> Parts:
    """A mail as /v3/mail/send takes it; the job's id goes along as custom argument `job` and comes back in every event.

    Args:
        sender, reply_to: an address, or "Name <address>".
        html: the same text as a page; "": text only.
        headers: further ones of the mail, such as List-Unsubscribe and List-Unsubscribe-Post (RFC 8058).

    Raises:
        CannotCompose: INVALID_ADDRESS, TEXT_EMPTY, SUBJECT_REQUIRED.
    """
    subject = _one_line(job["subject"] or "")
    if not subject:
        raise CannotCompose("A mail has a subject.", code="SUBJECT_REQUIRED")
    recipient = _mailbox(job["recipient"])["email"]
    content = [{"type": "text/plain", "value": _text(job)}]
    content += [{"type": "text/html", "value": html}] if html else []
    document: dict[str, Any] = {
        "personalizations": [{"to": [{"email": recipient}], "custom_args": {"job": str(job["id"])}}],
        "from": _mailbox(sender),
        **({"reply_to": _mailbox(reply_to)} if reply_to else {}),
        "subject": subject,
        "content": content,
        **({"headers": {name: _one_line(value) for name, value in headers.items()}} if headers else {}),
    }
    return Parts(recipient, _json(document), JSON, {})


def _mailbox(written: str) -> dict[str, str]:
    name, address = parseaddr(written)
    local, at, domain = address.rpartition("@")
    if not (local and at and domain) or any(character.isspace() for character in address):
        raise CannotCompose("This is no mail address.", code="INVALID_ADDRESS")
    return {"email": address, "name": name} if name else {"email": address}


def _number(job: Job) -> str:
    number = str(job["recipient"]).removeprefix(_WHATSAPP)
    if not _NUMBER.fullmatch(number):
        raise CannotCompose("The number is not written as +12025550123.", code="INVALID_NUMBER")
    return number


def _text(job: Job, most: int | None = None) -> str:
    text = str(job["body"])
    if not text.strip():
        raise CannotCompose("There is no text to send.", code="TEXT_EMPTY")
    if most is not None and len(text) > most:
        raise CannotCompose(f"The text is longer than the {most} characters that may be sent.", code="TEXT_TOO_LONG")
    return text


def _template(job: Job, name: str) -> Mapping[str, Any]:
    template: Mapping[str, Any] = job["provider_template"] or {}
    if not template.get(name):
        raise CannotCompose(
            "WhatsApp takes free text only within 24 hours of the patient's last message, and the template names none that"
            " WhatsApp has approved; enter its name there.",
            code="TEMPLATE_REQUIRED",
        )
    return template


def _parameters(template: Mapping[str, Any]) -> list[str]:
    """WhatsApp refuses parameters with line breaks, tabs or more than four spaces (error 132018), and empty ones."""
    return [_one_line(str(each)) or "-" for each in template.get("parameters", ())]


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _json(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
