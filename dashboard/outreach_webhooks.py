"""Where providers tell what became of messages to patients, and what patients write. Owns the reception; applies nothing.

Every request is asked in this order: is it the provider's, is it fresh, is there room for it, what does it say. A
provider's rate is taken only from what it signed, so no stranger can use it up.
"""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import structlog
from flask import Flask, Response, g, jsonify, request

from dashboard.api.errors import error_answer
from dashboard.webhook_body import read_body
from dashboard.webhook_writer import Insertion, WebhookWriter
from dispatchlog.comm_webhook_documents import InboundDocument, StatusDocument
from dispatchlog.engine.rates import Rates
from dispatchlog.gateways import courier_signature, provider_signatures
from dispatchlog.gateways.courier import WebhookRefused
from dispatchlog.order_documents import AnyDocument, DocumentError, read_document
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach import (
    events,
    inbound,
    sendgrid_webhooks,
    twilio_webhooks,
    whatsapp_webhooks,
)
from dispatchlog.systems.outreach.events import Report
from dispatchlog.systems.outreach.inbound import Message
from dispatchlog.systems.outreach.provider_words import SENDGRID, TWILIO, WHATSAPP, WebhookMalformed
from dispatchlog.systems.outreach.refusals import GENERIC, Refusals
from dispatchlog.tracing import current_trace_id

log = structlog.get_logger(__name__)

EVENTS = Insertion(events.insertion, events.key_of)
INBOUND = Insertion(inbound.insertion, lambda row: (row[8],))
SIGNATURE_HEADER = "Comm-Signature"
STALE_SECONDS = courier_signature.TOLERANCE_SECONDS
# SendGrid's batches end at 768 KiB, WhatsApp's webhooks at 3 MiB; one of Twilio's is a form of one message.
MOST_BYTES = {SENDGRID: 1024 * 1024, TWILIO: 64 * 1024, WHATSAPP: 3 * 1024 * 1024, GENERIC: 256 * 1024}
_MOST_FIELDS = 200
_MOST_CHALLENGE = 256
_FORM, _JSON = "application/x-www-form-urlencoded", "application/json"
_WORDS = {
    "WEBHOOK_SIGNATURE_INVALID": (401, "the signature does not fit the request"),
    "WEBHOOK_STALE": (400, "it was signed more than 5 minutes from now; sign each try anew, and look at the clock"),
    "WEBHOOK_MALFORMED": (400, "the body is not a webhook of this provider"),
    "UNKNOWN_PROVIDER": (404, "no provider of this name is configured"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "the body is not of the content type that this route takes"),
    "WEBHOOK_RATE_EXCEEDED": (429, "too many webhooks of this provider at once; send it again later"),
}


class _Refused(Exception):
    """The webhook is not taken; nothing was stored."""

    def __init__(self, code: str, *, retry_after_seconds: float = 0.0) -> None:
        super().__init__(code)
        self.code = code
        self.retry_after_seconds = retry_after_seconds


def install(door: Flask, settings: Settings) -> None:
    """Give the door the providers' own routes."""
    reception = Reception(settings)
    rules: Sequence[tuple[str, str, Callable[..., Response], str]] = (
        ("/twilio/status/<uuid:job_id>", TWILIO, reception.twilio_status, "POST"),
        ("/twilio/inbound", TWILIO, reception.twilio_inbound, "POST"),
        ("/sendgrid/events", SENDGRID, reception.sendgrid, "POST"),
        ("/whatsapp", WHATSAPP, reception.whatsapp, "POST"),
        ("/whatsapp", WHATSAPP, reception.whatsapp_challenge, "GET"),
    )
    for rule, provider, view, method in rules:
        _add(door, reception, rule, provider, view, method)


def install_generic(door: Flask, settings: Settings) -> None:
    """Give the door the routes that are the same for every provider."""
    reception = Reception(settings)
    _add(door, reception, "/outbound-status", GENERIC, reception.outbound_status, "POST")
    _add(door, reception, "/inbound", GENERIC, reception.inbound, "POST")


def _add(
    door: Flask, reception: Reception, rule: str, provider: str, view: Callable[..., Response], method: str
) -> None:
    door.add_url_rule(
        rule,
        endpoint=view.__name__,
        view_func=partial(_answered, reception, provider, view),
        methods=[method],
        provide_automatic_options=False,
    )


def _answered(reception: Reception, provider: str, view: Callable[..., Response], **arguments: Any) -> Response:
    """The view's answer, or why the webhook is not taken; a stranger is not told what about a signature was wrong."""
    g.sender = provider
    try:
        return view(**arguments)
    except _Refused as error:
        if error.code == "WEBHOOK_SIGNATURE_INVALID":
            reception.refusals.refused(provider)
        return _refusal(provider, error.code, retry_after_seconds=error.retry_after_seconds)
    except WebhookMalformed as error:
        return _refusal(provider, error.code, message=error.message, field=error.field)
    except DocumentError as error:
        first = error.problems[0]
        place = f"{first.field}: " if first.field else ""
        return _refusal(provider, first.code, message=f"{place}{first.message}", field=first.field)


def _refusal(
    provider: str, code: str, *, message: str = "", field: str = "", retry_after_seconds: float = 0.0
) -> Response:
    log.warning("WEBHOOK_REFUSED", provider=provider, code=code, trace_id=current_trace_id())
    status, words = _WORDS.get(code, (400, ""))
    answer = error_answer(code, message or words, field or None, status=status)
    if status == 429:
        answer.headers["Retry-After"] = str(max(1, math.ceil(retry_after_seconds)))
    return answer


class Reception:
    """What the routes share. Thread-safe."""

    def __init__(self, settings: Settings) -> None:
        self.refusals = Refusals(settings.effective_redis_url)
        self._settings = settings
        self._rates = Rates(settings.effective_redis_url)
        self._events = WebhookWriter(settings, EVENTS)
        self._inbound = WebhookWriter(settings, INBOUND)

    def twilio_status(self, job_id: UUID) -> Response:
        """Twilio tells of a message whose job stands in the address that we gave it."""
        fields = self._twilio_form()
        return self._stored(TWILIO, [twilio_webhooks.read_status(fields, job_id)], [])

    def twilio_inbound(self) -> Response:
        """Somebody wrote to our number; the empty TwiML says that nothing is to be answered here."""
        fields = self._twilio_form()
        self._stored(TWILIO, [], [twilio_webhooks.read_inbound(fields)])
        return Response("<Response/>", content_type="text/xml; charset=utf-8")

    def sendgrid(self) -> Response:
        """A batch of events of SendGrid."""
        key = self._settings.sendgrid_webhook_key
        body = self._body(SENDGRID, key)
        timestamp = request.headers.get(provider_signatures.SENDGRID_TIMESTAMP_HEADER, "")
        signature = request.headers.get(provider_signatures.SENDGRID_HEADER, "")
        self._require(SENDGRID, provider_signatures.verify_sendgrid(key, timestamp, body, signature))
        _require_fresh(timestamp)
        self._take_place(SENDGRID)
        return self._stored(SENDGRID, sendgrid_webhooks.read_events(body), [])

    def whatsapp(self) -> Response:
        """Statuses and messages of the WhatsApp Cloud API."""
        secret = self._settings.whatsapp_app_secret.get_secret_value()
        body = self._body(WHATSAPP, secret)
        signature = request.headers.get(provider_signatures.WHATSAPP_HEADER, "")
        self._require(WHATSAPP, provider_signatures.verify_whatsapp(secret, body, signature))
        self._take_place(WHATSAPP)
        told = whatsapp_webhooks.read_webhook(body)
        return self._stored(WHATSAPP, told.reports, told.messages)

    def whatsapp_challenge(self) -> Response:
        """Meta asks once whether the address is ours: whoever knows the agreed word gets the challenge back."""
        agreed = self._settings.whatsapp_verify_token.get_secret_value()
        if not agreed:
            raise _Refused("UNKNOWN_PROVIDER")
        said, challenge = request.args.get("hub.verify_token", ""), request.args.get("hub.challenge", "")
        self._require(WHATSAPP, hmac.compare_digest(said.encode("utf-8", "replace"), agreed.encode()))
        if request.args.get("hub.mode") != "subscribe" or not 0 < len(challenge) <= _MOST_CHALLENGE:
            raise WebhookMalformed("hub.mode is not subscribe, or there is no hub.challenge", field="hub.challenge")
        return Response(challenge, content_type="text/plain; charset=utf-8")

    def outbound_status(self) -> Response:
        """What any provider tells of a message, in the one form of the specification."""
        document = self._document(StatusDocument)
        return self._stored(document.provider, [document.to_report()], [], source="generic")

    def inbound(self) -> Response:
        """What somebody wrote, in the one form of the specification."""
        document = self._document(InboundDocument)
        return self._stored(document.provider, [], [document.to_message()], source="generic")

    def _twilio_form(self) -> dict[str, str]:
        """The fields of a form that Twilio signed; of a repeated one the first."""
        token = self._settings.twilio_auth_token.get_secret_value()
        body = self._body(TWILIO, token)
        if request.mimetype != _FORM:
            raise _Refused("UNSUPPORTED_MEDIA_TYPE")
        try:
            pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise WebhookMalformed("the body is not a form in UTF-8") from error
        signature = request.headers.get(provider_signatures.TWILIO_HEADER, "")
        self._require(TWILIO, provider_signatures.verify_twilio(token, self._address(), pairs, signature))
        self._take_place(TWILIO)
        return dict(reversed(pairs))

    def _address(self) -> str:
        """This request's address as the provider has it: what stands before us may have changed scheme, host and port."""
        query = request.query_string.decode("latin-1")
        path = f"{request.script_root}{request.path}"
        return f"{self._settings.effective_webhook_url}{path}" + (f"?{query}" if query else "")

    def _document(self, kind: type[AnyDocument]) -> AnyDocument:
        secrets = [each.strip() for each in self._settings.comm_webhook_secret.get_secret_value().split(",")]
        body = self._body(GENERIC, "".join(secrets))
        if request.mimetype != _JSON:
            raise _Refused("UNSUPPORTED_MEDIA_TYPE")
        try:
            courier_signature.check(dict(request.headers), body, secrets, now=time.time(), header=SIGNATURE_HEADER)
        except WebhookRefused as error:
            raise _Refused(error.code) from error
        self.refusals.accepted(GENERIC)
        document = _read(kind, body)
        self._take_place(getattr(document, "provider", GENERIC))
        return document

    def _body(self, provider: str, secret: str) -> bytes:
        if not secret:
            raise _Refused("UNKNOWN_PROVIDER")
        return read_body(most=MOST_BYTES[provider])

    def _require(self, provider: str, is_theirs: bool) -> None:
        if not is_theirs:
            raise _Refused("WEBHOOK_SIGNATURE_INVALID")
        self.refusals.accepted(provider)

    def _take_place(self, provider: str) -> None:
        rate = self._settings.webhook_rate_per_second
        if not rate:
            return
        taken, wait = self._rates.take_or_wait(
            f"webhooks:{provider}", 1, per_second=rate, burst=max(1, math.ceil(rate))
        )
        if not taken:
            raise _Refused("WEBHOOK_RATE_EXCEEDED", retry_after_seconds=wait)

    def _stored(
        self, provider: str, reports: Sequence[Report], messages: Sequence[Message], *, source: str = "native"
    ) -> Response:
        """Store what was told and answer; the same news again is answered alike and stored once."""
        trace_id = current_trace_id()
        new = inbound.store_messages(messages, source=source, trace_id=trace_id, write=self._inbound.write)
        new += events.store_reports(reports, source=source, trace_id=trace_id, write=self._events.write)
        received = len(reports) + len(messages)
        log.info("OUTREACH_WEBHOOK_RECEIVED", provider=provider, received=received, new=new, trace_id=trace_id)
        return jsonify(received=received, new=new)


def _read(kind: type[AnyDocument], body: bytes) -> AnyDocument:
    try:
        return read_document(kind, body)
    except RecursionError as error:
        raise WebhookMalformed("the body nests too deep") from error


def _require_fresh(timestamp: str) -> None:
    try:
        said = int(timestamp)
    except ValueError as error:
        raise _Refused("WEBHOOK_STALE") from error
    if abs(time.time() - said) > STALE_SECONDS:
        raise _Refused("WEBHOOK_STALE")
