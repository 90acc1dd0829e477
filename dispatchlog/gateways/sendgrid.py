"""Owns handing one mail to SendGrid's /v3/mail/send; never composes it, never resends it.

SendGrid takes no key, and its Email Activity API is an add-on that shows a mail some minutes later, if it is bought at all.
So the gateway is BLIND: after a crash in mid-send a question would never be answered, and asking it for a quarter of an
hour would only hide the doubt from people. What proves such a mail is the event webhook, which brings back `job`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.courier_words import reference
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.http_replies import HttpReply
from dispatchlog.gateways.outreach_replies import field_of, refusal
from dispatchlog.gateways.trace_headers import trace_headers

WHO = "SendGrid"


class SendGridGateway:
    """Sends `Parcel.body`, the JSON that `compose_sendgrid` made, as it is."""

    name = "email-sendgrid"
    kind = GatewayKind.BLIND
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(
        self, base_url: str, api_key: str, *, deadline_seconds: float = 15.0, ca_file: Path | None = None
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept": "application/json"}
        self._http = HttpClient(base_url, ca_file=ca_file)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """A 202, with the message id with which `sg_message_id` of its events begins; None where SendGrid gave none.

        Raises:
            Transient: not taken, may pass: unreachable, 429, UNAUTHORISED.
            Permanent: refused: HTTP_400, HTTP_413, ...
            OutcomeUnknown: any 5xx, no answer, another 2xx.
        """
        reply = self._http.request(
            "POST",
            "/v3/mail/send",
            headers={**self._headers, "Content-Type": parcel.content_type, **trace_headers(parcel.trace_id)},
            content=parcel.body,
            deadline=deadline,
            before_write=before_write,
        )
        if reply.status == 202:
            message_id = reference(reply.headers.get("x-message-id"))
            return Receipt(message_id, {"status": 202, "messageId": message_id})
        raise refusal(reply, who=WHO, message=_first_message(reply))

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """SendGrid is not asked: always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        self._http.close()


def _first_message(reply: HttpReply) -> object:
    errors = field_of(reply.json(), "errors")
    return field_of(errors[0], "message") if isinstance(errors, list) and errors else None
