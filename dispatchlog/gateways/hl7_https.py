"""Owns handing HL7 v2 messages to one endpoint as HTTP POSTs (HL7 over HTTP); never resends.

The acknowledgement in the body is what counts, also under 200: servers answer 200 for AA, AE and AR alike.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.hl7_acknowledgement import kept, match, settle
from dispatchlog.gateways.hl7_endpoint import Hl7Endpoint
from dispatchlog.gateways.hl7_message import Outgoing
from dispatchlog.gateways.hl7_mllp import SETTLE_SECONDS
from dispatchlog.gateways.hl7_turn import my_turn
from dispatchlog.gateways.http import ClientTls, HttpClient
from dispatchlog.gateways.http_replies import HttpReply, health_of, retry_after_seconds
from dispatchlog.gateways.trace_headers import trace_headers

CONTENT_TYPE = "application/hl7-v2; charset=utf-8"


class Hl7HttpsGateway:
    """One endpoint over HTTPS, one message at a time over one kept connection. Thread-safe.

    Raises:
        EndpointError: a certificate or key of the endpoint cannot be used.
    """

    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(self, endpoint: Hl7Endpoint) -> None:
        self.name = endpoint.name
        self.kind = endpoint.kind
        self.deadline_seconds = endpoint.deadline_seconds
        parts = urlsplit(endpoint.url)
        self._where = parts.netloc
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = {"Content-Type": CONTENT_TYPE, "Accept": "application/hl7-v2", **_credentials(endpoint)}
        self._decisions = endpoint.decisions()
        context = endpoint.tls_context()
        self._http = HttpClient(
            f"{parts.scheme}://{parts.netloc}",
            connect_seconds=endpoint.connect_seconds,
            keepalive_seconds=endpoint.idle_seconds,
            max_connections=1,
            max_reply_bytes=endpoint.max_reply_bytes,
            tls=ClientTls(context, endpoint.server_name, SETTLE_SECONDS) if context else None,
            reach=endpoint.reach,
        )
        self._turn = threading.Lock()

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The endpoint's acknowledgement, where it means that the message arrived.

        Raises:
            Transient: not accepted, may pass: ENDPOINT_REFUSED_CREDENTIALS (401, 403), HTTP_429 and HTTP_503 (with
                Retry-After), HTTP_408, HTTP_425, ENDPOINT_BUSY, ACK_<code>[_<error>], and what `HttpClient.request`
                raises.
            Permanent: not accepted, will not pass: another HTTP_<4xx>, BAD_MESSAGE, ACK_<code>[_<error>].
            OutcomeUnknown: another status, whose sender may have accepted the message first; no or a malformed answer;
                ACKNOWLEDGEMENT_MISMATCH.
        """
        message = Outgoing.from_parcel(parcel)
        headers = self._headers | trace_headers(parcel.trace_id)
        with my_turn(self._turn, deadline, where=self._where):
            reply = self._http.request(
                "POST",
                self._target,
                headers=headers,
                content=message.body,
                deadline=deadline,
                before_write=before_write,
            )
        evidence: dict[str, Any] = {"endpoint": self._where, "status": reply.status}
        if 200 <= reply.status < 300:
            acknowledgement = match(reply.body, message.control_id, evidence=evidence)
            return settle(acknowledgement, self._decisions, reply.body, evidence=evidence)
        raise self._refusal(reply, message, evidence)

    def _refusal(
        self, reply: HttpReply, message: Outgoing, evidence: dict[str, Any]
    ) -> Transient | Permanent | OutcomeUnknown:
        status, code = reply.status, f"HTTP_{reply.status}"
        known = {**evidence, "acknowledgement": kept(reply.body)} if reply.body else evidence
        if status in (401, 403):
            return Transient(
                f"{self._where} does not accept our credentials (HTTP {status}); correct the endpoint's API key.",
                code="ENDPOINT_REFUSED_CREDENTIALS",
                evidence=known,
                # Held back by a breaker it would not come to the end of its retries, which is when somebody is called.
                health=Health.WELL,
            )
        if status in (408, 425, 429, 503):
            return Transient(
                f"{self._where} cannot take the message now (HTTP {status}).",
                code=code,
                evidence=known,
                retry_after_seconds=retry_after_seconds(reply),
                health=health_of(reply),
            )
        judged = self._judged_by_acknowledgement(reply, message, evidence)
        if judged is not None:
            return judged
        if 400 <= status < 500:
            return Permanent(f"{self._where} refuses the message (HTTP {status}).", code=code, evidence=known)
        return OutcomeUnknown(f"{self._where} answered HTTP {status}, which proves nothing.", code=code, evidence=known)

    def _judged_by_acknowledgement(
        self, reply: HttpReply, message: Outgoing, evidence: dict[str, Any]
    ) -> Transient | Permanent | None:
        """Some servers answer 400 or 500 with an acknowledgement that says more; a yes under such a status is no yes."""
        try:
            acknowledgement = match(reply.body, message.control_id)
            settle(acknowledgement, self._decisions, reply.body, evidence=evidence)
        except OutcomeUnknown:
            return None
        except (Transient, Permanent) as error:
            return error
        return None

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """HL7 v2 has no question for it: always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        self._http.close()


def _credentials(endpoint: Hl7Endpoint) -> dict[str, str]:
    if not endpoint.api_key:
        return {}
    bearer = endpoint.api_key_header.lower() == "authorization"
    return {endpoint.api_key_header: f"Bearer {endpoint.api_key}" if bearer else endpoint.api_key}
