"""Twilio's message API as the sandbox speaks it, and its webhooks. Owns what is said, not when.

Shapes and codes from twilio.com/docs/messaging/api/message-resource and /docs/messaging/guides/webhook-request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from dispatchlog.gateways.outreach_sandbox_messages import Message, Traffic, scenario_of
from dispatchlog.gateways.outreach_sandbox_script import Operation
from dispatchlog.gateways.provider_signatures import TWILIO_HEADER, sign_twilio
from dispatchlog.gateways.sandbox_http import Answer
from dispatchlog.gateways.sandbox_posting import Post

PROVIDER = "twilio"
VERSION = "2010-04-01"
_WHATSAPP = "whatsapp:"
_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_MOST_BODY = 1_600
_MOST_PAGE = 1_000


class TwilioSide:
    """`account_sid` and `auth_token` are what it lets in; "" as a token lets everybody in."""

    def __init__(self, traffic: Traffic, *, account_sid: str, auth_token: str, inbound_url: str = "") -> None:
        self._traffic = traffic
        self._account_sid = account_sid
        self._auth_token = auth_token
        self._inbound_url = inbound_url
        self._resource = f"/{VERSION}/Accounts/{account_sid}/Messages"
        traffic.answering[PROVIDER] = self.hear

    def operation(self, method: str, path: str) -> Operation | None:
        """What is asked for; None: there is no such thing."""
        match = re.fullmatch(rf"/{VERSION}/Accounts/\w+/Messages(/\w+)?\.json", path)
        if match is None or method not in ("GET", "POST"):
            return None
        if match[1]:
            return "twilio.fetch" if method == "GET" else None
        return "twilio.list" if method == "GET" else "twilio.send"

    def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        path, _, query = path.partition("?")
        wanted = base64.b64encode(f"{self._account_sid}:{self._auth_token}".encode()).decode()
        if self._auth_token and not hmac.compare_digest(headers.get("authorization", ""), f"Basic {wanted}"):
            return _refusal(401, 20003, "Authenticate")
        if not path.startswith(self._resource):
            return _refusal(404, 20404, f"The requested resource {path} was not found")
        if method == "POST":
            return self._send(dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)), body)
        if path == f"{self._resource}.json":
            return self._list(dict(parse_qsl(query, keep_blank_values=True)))
        sid = path.removeprefix(f"{self._resource}/").removesuffix(".json")
        found = next((each for each in self._traffic.messages(PROVIDER) if each.message_id == sid), None)
        return (
            (200, self._document(found))
            if found
            else _refusal(404, 20404, f"The requested resource {path} was not found")
        )

    def _send(self, fields: Mapping[str, str], body: bytes) -> Answer:
        refused = self._problem(fields)
        if refused is not None:
            return _refusal(400, *refused)
        message = self._traffic.keep(
            provider=PROVIDER,
            channel=_channel(fields["To"]),
            message_id=f"SM{secrets.token_hex(16)}",
            to=_bare(fields["To"]),
            sender=_bare(fields.get("From") or fields["MessagingServiceSid"]),
            text=fields.get("Body") or f"[{fields['ContentSid']}] {fields.get('ContentVariables', '')}",
            reference=fields.get("StatusCallback", "").rpartition("/")[2],
            sha256=hashlib.sha256(body).hexdigest(),
            status_url=fields.get("StatusCallback", ""),
        )
        document = self._document(message) | {"status": "queued" if fields.get("From") else "accepted"}
        closed = message.channel == "whatsapp" and "Body" in fields and not self._traffic.window_is_open(message.to)
        self._traffic.goes(message, self._steps(message, closed=closed), self._told)
        return 201, document

    def _problem(self, fields: Mapping[str, str]) -> tuple[int, str] | None:
        to, url = fields.get("To", ""), fields.get("StatusCallback", "")
        problems = {
            21604: (not to, "A 'To' phone number is required."),
            21211: (not _NUMBER.fullmatch(_bare(to)), f"The 'To' number {to} is not a valid phone number."),
            21603: (
                not (fields.get("From") or fields.get("MessagingServiceSid")),
                "A 'From' phone number is required.",
            ),
            21602: (not (fields.get("Body") or fields.get("ContentSid")), "Message body is required."),
            21617: (len(fields.get("Body", "")) > _MOST_BODY, "The concatenated message body exceeds 1600 characters."),
            21609: (bool(url) and not urlsplit(url).netloc, f"The 'StatusCallback' URL {url} is not a valid URL."),
            21610: (self._traffic.is_stopped(_channel(to), _bare(to)), "Attempt to send to unsubscribed recipient"),
        }
        return next(((code, text) for code, (wrong, text) in problems.items() if wrong), None)

    def _steps(self, message: Message, *, closed: bool) -> list[tuple[str, int | None]]:
        scenario = scenario_of(self._traffic, message)
        if scenario.ends == "waits":
            return [("queued", None)]
        if closed:
            return [("queued", None), ("failed", 63016)]
        if scenario.ends in ("failed", "dropped"):
            return [("queued", None), ("sent", None), ("undelivered", scenario.code)]
        steps: list[tuple[str, int | None]] = [("queued", None), ("sent", None)]
        steps += [("delivered", None)] if scenario.ends != "sent" else []
        seen = message.channel == "whatsapp" and scenario.ends not in ("sent", "delivered")
        return steps + ([("read", None)] if seen else [])

    def _told(self, message: Message, status: str, code: int | None) -> Post | None:
        if not message.status_url:
            return None
        fields = {
            **self._common(message),
            "SmsSid": message.message_id,
            "SmsStatus": status,
            "MessageStatus": status,
            **({"ErrorCode": str(code)} if code is not None else {}),
            **({"RawDlrDoneDate": datetime.now(UTC).strftime("%y%m%d%H%M")} if status == "delivered" else {}),
        }
        return self._post(message.status_url, fields)

    def _common(self, message: Message) -> dict[str, str]:
        prefix = _WHATSAPP if message.channel == "whatsapp" else ""
        names = {"ChannelPrefix": "whatsapp"} if prefix else {}
        return {
            "AccountSid": self._account_sid,
            "ApiVersion": VERSION,
            "MessageSid": message.message_id,
            "From": prefix + message.sender,
            "To": prefix + message.to,
            **names,
        }

    def _post(self, url: str, fields: Mapping[str, str]) -> Post:
        signature = sign_twilio(self._auth_token, url, fields)
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            TWILIO_HEADER: signature,
            "I-Twilio-Idempotency-Token": secrets.token_hex(16),
        }
        return Post(url, urlencode(fields).encode(), lambda: headers)

    def hear(self, message: Message, text: str) -> None:
        """The patient answers this message."""
        said = self._traffic.keep(
            provider=PROVIDER,
            channel=message.channel,
            message_id=f"SM{secrets.token_hex(16)}",
            to=message.sender,
            sender=message.to,
            text=text,
            inbound=True,
            status="received",
        )
        word = self._traffic.wrote(said)
        fields = {
            **self._common(said),
            "SmsMessageSid": said.message_id,
            "SmsSid": said.message_id,
            "SmsStatus": "received",
            "Body": text,
            "NumMedia": "0",
            "NumSegments": "1",
            **({"OptOutType": word} if word else {}),
            **({"WaId": said.sender.lstrip("+"), "MessageType": "text"} if said.channel == "whatsapp" else {}),
        }
        if self._inbound_url:
            self._traffic.posting.put(self._post(self._inbound_url, fields))

    def _list(self, query: Mapping[str, str]) -> Answer:
        chosen = [each for each in reversed(self._traffic.messages(PROVIDER)) if _fits(each, query)]
        size = min(int(query.get("PageSize", "50")), _MOST_PAGE)
        page = int(query.get("Page", "0"))
        shown = chosen[page * size : (page + 1) * size]

        def uri(number: int) -> str:
            return f"{self._resource}.json?" + urlencode({**query, "PageSize": str(size), "Page": str(number)})

        return 200, {
            "messages": [self._document(each) for each in shown],
            "page": page,
            "page_size": size,
            "start": page * size,
            "end": page * size + max(len(shown) - 1, 0),
            "uri": uri(page),
            "first_page_uri": uri(0),
            "next_page_uri": uri(page + 1) if len(chosen) > (page + 1) * size else None,
            "previous_page_uri": uri(page - 1) if page else None,
        }

    def _document(self, message: Message) -> dict[str, Any]:
        prefix = _WHATSAPP if message.channel == "whatsapp" else ""
        service = message.sender.startswith("MG")
        made = format_datetime(message.at)
        return {
            "account_sid": self._account_sid,
            "api_version": VERSION,
            "body": message.text,
            "date_created": made,
            "date_sent": format_datetime(message.sent_at) if message.sent_at else None,
            "date_updated": made,
            "direction": "inbound" if message.inbound else "outbound-api",
            "error_code": message.code,
            "error_message": None,
            "from": None if service else prefix + message.sender,
            "messaging_service_sid": message.sender if service else None,
            "num_media": "0",
            "num_segments": "1",
            "price": None,
            "price_unit": "USD",
            "sid": message.message_id,
            "status": "queued" if message.status == "accepted" else message.status,
            "subresource_uris": {"media": f"{self._resource}/{message.message_id}/Media.json"},
            "to": prefix + message.to,
            "uri": f"{self._resource}/{message.message_id}.json",
        }


def _fits(message: Message, query: Mapping[str, str]) -> bool:
    """Twilio compares dates with the one of sending, which a waiting message does not have."""
    if query.get("To") and (_bare(query["To"]), _channel(query["To"])) != (message.to, message.channel):
        return False
    if query.get("From") and _bare(query["From"]) != message.sender:
        return False
    since = query.get("DateSent>")
    return not since or (message.sent_at is not None and message.sent_at >= datetime.fromisoformat(since))


def _bare(number: str) -> str:
    return number.removeprefix(_WHATSAPP)


def _channel(number: str) -> str:
    return "whatsapp" if number.startswith(_WHATSAPP) else "sms"


def _refusal(status: int, code: int, message: str) -> Answer:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return status, {"code": code, "message": message, "more_info": more, "status": status}
