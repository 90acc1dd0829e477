"""Owns what an HTTP status means for a dispatch; sends nothing.

Statuses and Retry-After follow RFC 9110 (sections 15 and 10.2.3), 429 follows RFC 6585 section 4.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from dispatchlog.engine.errors import GatewayError, Health, OutcomeUnknown, Permanent, Transient

_MAX_RETRY_AFTER_SECONDS = 86_400.0
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_MAX_MESSAGE = 200


@dataclass(frozen=True, slots=True)
class HttpReply:
    """A whole answer; header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any | None:
        """The body as JSON, or None when it is not."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):  # a megabyte of "[" nests deeper than Python's stack
            return None


def retry_after_seconds(reply: HttpReply) -> float | None:
    """Retry-After in seconds, from a number or an HTTP date (measured against the reply's own Date if it has one)."""
    value = reply.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _MAX_RETRY_AFTER_SECONDS)
    until = _http_date(value)
    if until is None:
        return None
    now = _http_date(reply.headers.get("date", "")) or datetime.now(UTC)
    return min(max((until - now).total_seconds(), 0.0), _MAX_RETRY_AFTER_SECONDS)


def _http_date(value: str) -> datetime | None:
    try:
        instant = parsedate_to_datetime(value)
    except ValueError:
        return None
    return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant


def classify_send(reply: HttpReply, *, who: str) -> GatewayError:
    """The error for an answer to a send that took a key and was not a success.

    A 409 on our own key means that the first send with it is still in progress. Another 5xx proves nothing: the
    server may have done it before it failed. 401 and 403 are a wrong setting, which must not spend a patient's row.
    """
    code, evidence = _told(reply), _evidence(reply)
    if reply.status in (429, 503):
        return Transient(
            f"{who} is busy (HTTP {reply.status}).",
            code=f"HTTP_{reply.status}",
            evidence=evidence,
            retry_after_seconds=retry_after_seconds(reply),
            health=health_of(reply),
        )
    if reply.status in (401, 403):
        return _unauthorised(reply, who)
    if reply.status in (408, 425):
        message = f"{who} did not take the request (HTTP {reply.status})."
        return Transient(message, code=code, evidence=evidence, health=health_of(reply))
    if reply.status == 409:
        message = f"{who} is still working on this key (HTTP 409)."
        return OutcomeUnknown(message, code=code, evidence=evidence, health=health_of(reply))
    if 400 <= reply.status < 500:
        return Permanent(f"{who} refuses it (HTTP {reply.status}, {code}).", code=code, evidence=evidence)
    return OutcomeUnknown(f"{who} answered HTTP {reply.status}, which proves nothing.", code=code, evidence=evidence)


def classify_read(reply: HttpReply) -> GatewayError:
    """The error for an answer to a read that was neither 200 nor 404."""
    if reply.status in (401, 403):
        return _unauthorised(reply, "The server")
    if 400 <= reply.status < 500 and reply.status not in (408, 425, 429):
        return Permanent(
            f"The server refuses the question (HTTP {reply.status}).", code=_told(reply), evidence=_evidence(reply)
        )
    return Transient(
        f"The server cannot answer now (HTTP {reply.status}).",
        code=f"HTTP_{reply.status}",
        evidence=_evidence(reply),
        retry_after_seconds=retry_after_seconds(reply),
    )


def _unauthorised(reply: HttpReply, who: str) -> Transient:
    return Transient(
        f"{who} does not accept our token (HTTP {reply.status}); correct the setting, the row will follow.",
        code="UNAUTHORISED",
        evidence=_evidence(reply),
        health=health_of(reply),
    )


def health_of(reply: HttpReply) -> Health:
    """What an answer that is no success says of the server. A 5xx may come from what stands before one that is gone."""
    return Health.AWAY if reply.status >= 500 else Health.BUSY


def _told(reply: HttpReply) -> str:
    """The server's own error code if it looks like one, else `HTTP_<status>`."""
    code = _error_object(reply).get("code")
    return code if isinstance(code, str) and _CODE.fullmatch(code) else f"HTTP_{reply.status}"


def _evidence(reply: HttpReply) -> dict[str, Any]:
    evidence: dict[str, Any] = {"status": reply.status}
    message = _error_object(reply).get("message")
    if isinstance(message, str):
        evidence["message"] = message[:_MAX_MESSAGE]
    return evidence


def _error_object(reply: HttpReply) -> Mapping[str, Any]:
    """`{"code": ..}`, or what stands under `error` in `{"error": {"code": ..}}`."""
    document = reply.json()
    if not isinstance(document, dict):
        return {}
    nested = document.get("error")
    return nested if isinstance(nested, dict) else document
