"""Tells people and programs that an alert started or is over. Owns sending; what there is to tell is written by `alerts`.

A notice is sent while its row is locked, so two processes never send one at once. A process that ends between the sending
and the recording leaves it to be sent once more, under the same Message-ID or event id.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any
from urllib.parse import unquote, urlsplit
from uuid import NAMESPACE_URL, uuid5

import structlog

from dispatchlog.alerts import MAIL
from dispatchlog.engine.database import execute, fetch_dicts, transaction
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import DispatchlogError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.smtp import SmtpGateway
from dispatchlog.reach import Reach
from dispatchlog.settings import Settings
from dispatchlog.systems.mail import envelope_address

log = structlog.get_logger(__name__)

MOST_TRIES = 10
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 10, 900
WEBHOOK_SECONDS = 10.0

# That something is over is not told before that it started.
_NEXT = """
SELECT n.id, n.phase, n.channel, n.receiver, n.tries, n.alert_id, a.kind, a.subject, a.summary, a.started_at, a.over_at
FROM dispatch_alert_notices n JOIN dispatch_alerts a ON a.id = n.alert_id
WHERE n.sent_at IS NULL AND n.given_up_at IS NULL AND n.next_try_at <= clock_timestamp() AND NOT EXISTS (
    SELECT FROM dispatch_alert_notices e WHERE e.alert_id = n.alert_id AND e.channel = n.channel
        AND e.receiver = n.receiver AND e.id < n.id AND e.sent_at IS NULL AND e.given_up_at IS NULL)
ORDER BY n.next_try_at LIMIT 1 FOR UPDATE OF n SKIP LOCKED
"""


def send_due(settings: Settings, *, who: str) -> int:
    """Send every notice that is due and not being sent by somebody else; how many left comes back."""
    sent = 0
    while True:
        with transaction(f"alerts:{who}"):
            notices = fetch_dicts(_NEXT)
            if not notices:
                return sent
            sent += _send(notices[0], settings)


def _send(notice: Mapping[str, Any], settings: Settings) -> bool:
    try:
        if notice["channel"] == MAIL:
            _mail(notice, settings)
        else:
            _post(notice, settings)
    except OutcomeUnknown as error:
        # Rather one that nobody knows of than two: it is on the page in any case.
        _record(notice, "sent_at = clock_timestamp(), last_error = %s", error.code)
        return True
    except (DispatchlogError, ValueError) as error:
        _again(notice, error)
        return False
    _record(notice, "sent_at = clock_timestamp(), last_error = %s", None)
    return True


def _again(notice: Mapping[str, Any], error: Exception) -> None:
    code = error.code if isinstance(error, DispatchlogError) else type(error).__name__
    log.warning("ALERT_NOT_TOLD", alert_id=notice["alert_id"], channel=notice["channel"], code=code)
    if isinstance(error, Permanent) or notice["tries"] + 1 >= MOST_TRIES:
        _record(notice, "given_up_at = clock_timestamp(), last_error = %s", code)
        return
    delay = min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** notice["tries"])
    _record(notice, f"next_try_at = clock_timestamp() + {delay} * interval '1 s', last_error = %s", code)


def _record(notice: Mapping[str, Any], change: str, error: str | None) -> None:
    execute(
        f"UPDATE dispatch_alert_notices SET tries = tries + 1, {change} WHERE id = %s",
        (error and error[:255], notice["id"]),
    )


def _mail(notice: Mapping[str, Any], settings: Settings) -> None:
    """One mail to one address through the product's mail server.

    Raises:
        GatewayError: it was not accepted, or nobody knows.
    """
    gateway = SmtpGateway(settings.smtp_url, deadline_seconds=settings.mail_deadline_seconds)
    key = _key(notice)
    parcel = Parcel(
        uuid5(NAMESPACE_URL, f"{key}/{notice['receiver']}"),
        key,
        notice["receiver"],
        _message(notice, settings),
        "message/rfc822",
        {"envelope_from": envelope_address(settings.mail_from)},
    )
    try:
        gateway.send(parcel, deadline=Deadline(gateway.deadline_seconds), before_write=lambda: None)
    finally:
        gateway.close()


def _message(notice: Mapping[str, Any], settings: Settings) -> bytes:
    sender = envelope_address(settings.mail_from)
    name = hashlib.sha256(f"{_key(notice)}/{notice['receiver']}".encode()).hexdigest()[:24]
    message = EmailMessage(policy=SMTP.clone(cte_type="7bit"))
    message["From"], message["To"] = settings.mail_from, notice["receiver"]
    message["Subject"] = f"[dispatchlog] {_title(notice)}"
    message["Date"] = format_datetime(_at(notice))
    message["Message-ID"] = f"<alert-{name}@{sender.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834 section 5: holiday notes must not answer it
    lines = [_title(notice), "", f"Since {notice['started_at']:%Y-%m-%d %H:%M:%S} UTC."]
    if notice["phase"] == "over":
        lines.append(f"Over at {notice['over_at']:%Y-%m-%d %H:%M:%S} UTC.")
    lines += ["", f"{settings.effective_public_url}/alerts"]
    message.set_content("\n".join(lines), cte="quoted-printable")
    return message.as_bytes()


def _post(notice: Mapping[str, Any], settings: Settings) -> None:
    """One POST, signed: the receiver computes HMAC-SHA256 over `timestamp.body` with the shared secret and compares.

    It goes by no proxy and follows no redirect, and to no network but public ones and those of `reachable_networks`.

    Raises:
        Transient: it was not answered with 2xx, or must not be sent there.
        Permanent: the address cannot be written as HTTP.
        ValueError: the address is not a plain one.
    """
    body = json.dumps(
        {
            "id": _key(notice),
            "phase": notice["phase"],
            "kind": notice["kind"],
            "subject": notice["subject"],
            "summary": notice["summary"],
            "startedAt": notice["started_at"].isoformat(),
            "overAt": notice["over_at"].isoformat() if notice["over_at"] else None,
            "url": f"{settings.effective_public_url}/alerts",
        }
    ).encode()
    headers = {"Content-Type": "application/json", "X-Dispatchlog-Id": _key(notice)}
    secret = settings.alert_webhook_secret.get_secret_value()
    if secret:
        headers |= signature(secret, body, at=int(time.time()))
    parts = urlsplit(settings.alert_webhook_url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    login, _, where = parts.netloc.rpartition("@")
    if login:
        headers["Authorization"] = f"Basic {base64.b64encode(unquote(login).encode()).decode()}"
    client = HttpClient(f"{parts.scheme}://{where}", reach=Reach(settings.reachable_networks))
    try:
        answer = client.request("POST", target, headers=headers, content=body, deadline=Deadline(WEBHOOK_SECONDS))
    except OutcomeUnknown as error:
        raise Transient("the webhook did not answer", code=error.code) from error
    finally:
        client.close()
    if not 200 <= answer.status < 300:
        raise Transient("the webhook refused it", code=f"HTTP_{answer.status}")


def signature(secret: str, body: bytes, *, at: int) -> dict[str, str]:
    """The headers that prove who sent a body and when; a receiver refuses old ones."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Dispatchlog-Timestamp": str(at), "X-Dispatchlog-Signature": f"sha256={signed}"}


def _key(notice: Mapping[str, Any]) -> str:
    return f"alert-{notice['alert_id']}-{notice['phase']}"


def _title(notice: Mapping[str, Any]) -> str:
    return f"Over: {notice['summary']}" if notice["phase"] == "over" else str(notice["summary"])


def _at(notice: Mapping[str, Any]) -> datetime:
    found: datetime = notice["over_at"] if notice["phase"] == "over" else notice["started_at"]
    return found
