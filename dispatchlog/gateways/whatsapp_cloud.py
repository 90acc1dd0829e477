"""Owns handing one message to WhatsApp's Cloud API; never composes it, never resends it.

The Cloud API takes no key and cannot be asked for a message, so the gateway is BLIND. What proves a message in doubt is the
status webhook, which brings `biz_opaque_callback_data`, our job's id, back.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.courier_words import reference, text
from dispatchlog.gateways.http import HttpClient
from dispatchlog.gateways.http_replies import HttpReply
from dispatchlog.gateways.outreach_codes import whatsapp_meaning
from dispatchlog.gateways.outreach_replies import field_of, malformed, refusal
from dispatchlog.gateways.trace_headers import trace_headers

WHO = "WhatsApp"


class WhatsAppCloudGateway:
    """Sends `Parcel.body`, the JSON that `compose_whatsapp` made, as it is.

    Args:
        base_url: https://graph.facebook.com/v25.0, or what stands in for it.
        phone_number_id: the sender's, not the number itself.
    """

    name = "whatsapp-cloud"
    kind = GatewayKind.BLIND
    key_retention: timedelta | None = None
    indexing_delay = timedelta(0)

    def __init__(
        self,
        base_url: str,
        token: str,
        phone_number_id: str,
        *,
        deadline_seconds: float = 15.0,
        ca_file: Path | None = None,
    ) -> None:
        self.deadline_seconds = deadline_seconds
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        self._path = f"/{phone_number_id}/messages"
        self._http = HttpClient(base_url, ca_file=ca_file)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """The message's id ("wamid...").

        Raises:
            Transient: not taken, may pass: unreachable, throttled (429, WHATSAPP_4, 80007, 130429, 131048, 131056),
                UNAUTHORISED.
            Permanent: not taken: WINDOW_CLOSED (131047), OPTED_OUT_MARKETING (131050), WHATSAPP_<code>.
            OutcomeUnknown: any 5xx, no or a malformed answer.
        """
        reply = self._http.request(
            "POST",
            self._path,
            headers={**self._headers, "Content-Type": parcel.content_type, **trace_headers(parcel.trace_id)},
            content=parcel.body,
            deadline=deadline,
            before_write=before_write,
        )
        if reply.status == 200:
            return _receipt(reply)
        error = field_of(reply.json(), "error")
        code = field_of(error, "code")
        code = code if isinstance(code, int) and not isinstance(code, bool) else None
        raise refusal(reply, who=WHO, code=code, message=field_of(error, "message"), meaning=whatsapp_meaning(code))

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:  # noqa: ARG002  (contract)
        """WhatsApp cannot be asked: always UNSURE."""
        return LookUp(LookUpAnswer.UNSURE)

    def close(self) -> None:
        self._http.close()


def _receipt(reply: HttpReply) -> Receipt:
    messages = field_of(reply.json(), "messages")
    first = messages[0] if isinstance(messages, list) and messages else None
    message_id = reference(field_of(first, "id"))
    if message_id is None:
        raise malformed(reply, who=WHO)
    # "held_for_quality_assessment" or "paused" where a template's quality is being judged.
    standing = text(field_of(first, "message_status"), 64)
    return Receipt(message_id, {"status": 200, "messageId": message_id, "whatsappStatus": standing})
