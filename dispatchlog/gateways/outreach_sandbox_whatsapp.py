"""WhatsApp's Cloud API as the sandbox speaks it, and its webhooks. Owns what is said, not when.

Shapes and codes from the Cloud API's reference ("Messages", "Webhooks", "Error codes"). Free text outside the window is
taken and fails afterwards, as there; a script makes it refused at once.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from collections.abc import Mapping
from typing import Any

from dispatchlog.gateways.outreach_sandbox_messages import Message, Traffic, scenario_of
from dispatchlog.gateways.outreach_sandbox_script import Operation
from dispatchlog.gateways.provider_signatures import WHATSAPP_HEADER, sign_whatsapp
from dispatchlog.gateways.sandbox_http import Answer
from dispatchlog.gateways.sandbox_posting import Post

PROVIDER = "whatsapp"
NUMBER = "+15550100200"
_TO = re.compile(r"\+?[1-9][0-9]{6,14}")
_ACCOUNT = "102290129340398"
_WINDOW = 131047


class WhatsAppSide:
    """`token`: what it wants as a Bearer token, "" lets everybody in; `app_secret` signs every webhook."""

    def __init__(
        self, traffic: Traffic, *, token: str, phone_number_id: str, app_secret: str, webhook_url: str = ""
    ) -> None:
        self._traffic = traffic
        self._token = token
        self._phone_number_id = phone_number_id
        self._app_secret = app_secret
        self._webhook_url = webhook_url
        traffic.answering[PROVIDER] = self.hear

    def operation(self, method: str, path: str) -> Operation | None:
        """What is asked for; None: there is no such thing."""
        return "whatsapp.send" if method == "POST" and re.fullmatch(r"/v\d+\.\d+/\w+/messages", path) else None

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:  # noqa: ARG002  (Side)
        said = headers.get("authorization", "")
        if self._token and not hmac.compare_digest(said.encode(), f"Bearer {self._token}".encode()):
            return _refusal(401, 190, "Invalid OAuth access token - Cannot parse access token", "OAuthException")
        if path.split("/")[2] != self._phone_number_id:
            text = f"Unsupported post request. Object with ID '{path.split('/')[2]}' does not exist"
            return _refusal(400, 100, text, "GraphMethodException")
        try:
            document = json.loads(body)
            to, text = document["to"], _text(document)
            right = document["messaging_product"] == "whatsapp" and _TO.fullmatch(to)
        except (ValueError, KeyError, TypeError, RecursionError):
            right = None
        if not right:
            return _refusal(400, 100, "(#100) Invalid parameter")
        return self._take(document, f"+{to.lstrip('+')}", text, body)

    def _take(self, document: Mapping[str, Any], to: str, text: str, body: bytes) -> Answer:
        message = self._traffic.keep(
            provider=PROVIDER,
            channel="whatsapp",
            message_id=_message_id(),
            to=to,
            sender=NUMBER,
            text=text,
            reference=str(document.get("biz_opaque_callback_data", "")),
            sha256=hashlib.sha256(body).hexdigest(),
        )
        template = document["type"] == "template"
        closed = not template and not self._traffic.window_is_open(to)
        self._traffic.goes(message, self._steps(message, closed=closed), self._told)
        standing = {"message_status": "accepted"} if template else {}
        return 200, {
            "messaging_product": "whatsapp",
            "contacts": [{"input": document["to"], "wa_id": to.lstrip("+")}],
            "messages": [{"id": message.message_id, **standing}],
        }

    def _steps(self, message: Message, *, closed: bool) -> list[tuple[str, int | None]]:
        scenario = scenario_of(self._traffic, message)
        if scenario.ends == "waits":
            return []
        if closed:
            return [("failed", _WINDOW)]
        if scenario.ends in ("failed", "dropped"):
            return [("failed", 131026)]
        far = {"sent": 1, "delivered": 2}.get(scenario.ends, 3)
        return [(status, None) for status in ("sent", "delivered", "read")[:far]]

    def _told(self, message: Message, status: str, code: int | None) -> Post | None:
        told: dict[str, Any] = {
            "id": message.message_id,
            "status": status,
            "timestamp": str(int(time.time())),
            "recipient_id": message.to.lstrip("+"),
        }
        if message.reference:
            told["biz_opaque_callback_data"] = message.reference
        if code is not None:
            title = "Re-engagement message" if code == _WINDOW else "Message undeliverable"
            told["errors"] = [{"code": code, "title": title, "message": title, "error_data": {"details": title}}]
        return self._post({"statuses": [told]})

    def hear(self, message: Message, text: str) -> None:
        """The patient answers this message."""
        said = self._traffic.keep(
            provider=PROVIDER,
            channel="whatsapp",
            message_id=_message_id(),
            to=message.sender,
            sender=message.to,
            text=text,
            inbound=True,
            status="received",
        )
        self._traffic.wrote(said)
        wa_id = said.sender.lstrip("+")
        content = {
            "from": wa_id,
            "id": said.message_id,
            "timestamp": str(int(time.time())),
            "type": "text",
            "text": {"body": text},
        }
        post = self._post({"contacts": [{"profile": {"name": "Sample"}, "wa_id": wa_id}], "messages": [content]})
        if post is not None:
            self._traffic.posting.put(post)

    def _post(self, news: Mapping[str, Any]) -> Post | None:
        if not self._webhook_url:
            return None
        metadata = {"display_phone_number": NUMBER.lstrip("+"), "phone_number_id": self._phone_number_id}
        value = {"messaging_product": "whatsapp", "metadata": metadata, **news}
        entry = {"id": _ACCOUNT, "changes": [{"value": value, "field": "messages"}]}
        body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
        headers = {"Content-Type": "application/json", WHATSAPP_HEADER: sign_whatsapp(self._app_secret, body)}
        return Post(self._webhook_url, body, lambda: headers)


def _text(document: Mapping[str, Any]) -> str:
    """What the patient reads; of a template its name and parameters. Raises KeyError, TypeError: it is no message."""
    if document["type"] == "text":
        return str(document["text"]["body"])
    template = document["template"]
    parameters = [each["text"] for part in template.get("components", ()) for each in part["parameters"]]
    return " | ".join([f"[{template['name']} {template['language']['code']}]", *parameters])


def _message_id() -> str:
    return "wamid." + base64.b64encode(secrets.token_bytes(30)).decode()


def _refusal(status: int, code: int, message: str, kind: str = "OAuthException") -> Answer:
    error = {"message": message, "type": kind, "code": code, "fbtrace_id": secrets.token_hex(8)}
    return status, {"error": error}
