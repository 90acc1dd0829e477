"""SendGrid's /v3/mail/send as the sandbox speaks it, and its event webhook. Owns what is said, not when.

Shapes from SendGrid's API reference ("Mail Send") and its event webhook reference.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from dispatchlog.gateways.outreach_sandbox_messages import Message, Traffic, scenario_of
from dispatchlog.gateways.outreach_sandbox_script import Operation
from dispatchlog.gateways.provider_signatures import SENDGRID_HEADER, SENDGRID_TIMESTAMP_HEADER, sign_sendgrid
from dispatchlog.gateways.sandbox_http import Answer
from dispatchlog.gateways.sandbox_posting import Post

PROVIDER = "sendgrid"
_STEPS: Mapping[str, tuple[str, ...]] = {
    "waits": (),
    "sent": ("processed",),
    "delivered": ("processed", "delivered"),
    "read": ("processed", "delivered", "open"),
    "clicked": ("processed", "delivered", "open", "click"),
    "failed": ("processed", "bounce"),
    "dropped": ("dropped",),
    "spamreport": ("processed", "delivered", "open", "spamreport"),
    "unsubscribed": ("processed", "delivered", "open", "unsubscribe"),
}


class SendGridSide:
    """`api_key`: what it wants as a Bearer token, "" lets everybody in; `signing_key`: PEM, signs every event."""

    def __init__(self, traffic: Traffic, *, api_key: str, signing_key: str, events_url: str = "") -> None:
        self._traffic = traffic
        self._api_key = api_key
        self._signing_key = signing_key
        self._events_url = events_url

    def operation(self, method: str, path: str) -> Operation | None:
        """What is asked for; None: there is no such thing."""
        return "sendgrid.send" if (method, path) == ("POST", "/v3/mail/send") else None

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002  (Side)
        said = headers.get("authorization", "")
        if self._api_key and not hmac.compare_digest(said.encode(), f"Bearer {self._api_key}".encode()):
            return _refusal(401, "The provided authorization grant is invalid, expired, or revoked", None)
        try:
            document = json.loads(body)
            personalization = document["personalizations"][0]
            (to,) = [each["email"] for each in personalization["to"]]
            sender = document["from"]["email"]
            subject, text = document["subject"], document["content"][0]["value"]
        except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
            return _refusal(400, f"Bad Request: {type(error).__name__} {error}", "personalizations")
        if not subject:
            return _refusal(400, "The subject is required.", "subject")
        custom = {**document.get("custom_args", {}), **personalization.get("custom_args", {})}
        message = self._traffic.keep(
            provider=PROVIDER,
            channel="email",
            message_id=base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("="),
            to=to,
            sender=sender,
            text=text,
            subject=subject,
            reference=str(custom.get("job", "")),
            sha256=hashlib.sha256(body).hexdigest(),
        )
        scenario = scenario_of(self._traffic, message)
        steps = [(event, 1 if event in ("bounce", "dropped") else None) for event in _STEPS[scenario.ends]]
        self._traffic.goes(message, steps, lambda told, status, _: self._told(told, status, custom))
        return 202, "", {"X-Message-Id": message.message_id}

    def _told(self, message: Message, status: str, custom: Mapping[str, Any]) -> Post | None:
        if not self._events_url:
            return None
        body = json.dumps([{**self._event(message, status), **custom}]).encode()
        return Post(self._events_url, body, lambda: self._headers(body))

    def _headers(self, body: bytes) -> Mapping[str, str]:
        timestamp = str(int(time.time()))
        return {
            "Content-Type": "application/json",
            "User-Agent": "SendGrid Event API",
            SENDGRID_TIMESTAMP_HEADER: timestamp,
            SENDGRID_HEADER: sign_sendgrid(self._signing_key, timestamp, body),
        }

    def _event(self, message: Message, status: str) -> dict[str, Any]:
        scenario = scenario_of(self._traffic, message)
        told: dict[str, Any] = {
            "email": message.to,
            "timestamp": int(time.time()),
            "smtp-id": f"<{message.message_id}@geopod-ismtpd-sandbox>",
            "event": status,
            "sg_event_id": base64.urlsafe_b64encode(f"{status}-{message.message_id}".encode()).decode().rstrip("="),
            "sg_message_id": f"{message.message_id}.recvd-sandbox-1-{message.number}.0",
        }
        agent = {"useragent": "Mozilla/5.0", "ip": "192.0.2.1"}
        more: Mapping[str, dict[str, Any]] = {
            "delivered": {"response": "250 OK"},
            "open": {**agent, "sg_machine_open": scenario.machine_open, "sg_content_type": "html"},
            "click": {**agent, "url": "https://desk.example.org/", "url_offset": {"index": 0, "type": "html"}},
            "bounce": {"type": "bounce", "status": "5.1.1", "reason": "550 5.1.1 unknown user", "tls": 1},
            "dropped": {"reason": "Bounced Address", "status": "5.0.0"},
        }
        return told | more.get(status, {})


def _refusal(status: int, message: str, field: str | None) -> Answer:
    return status, {"errors": [{"message": message, "field": field, "help": None}]}
