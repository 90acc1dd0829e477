"""Where couriers tell what became of their jobs: `POST /webhooks/courier/<name>`. Owns the reception; applies nothing."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from flask import Flask, Response, g, jsonify, request

from dashboard.api.errors import error_answer
from dashboard.webhook_body import read_body
from dashboard.webhook_writer import Insertion, WebhookWriter
from dispatchlog.gateways.courier import WebhookRefused
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import couriers, events
from dispatchlog.tracing import current_trace_id

log = structlog.get_logger(__name__)

MOST_BYTES = 256 * 1024
EVENTS = Insertion(events.insertion, lambda row: (row[3],))
_MALFORMED = "WEBHOOK_MALFORMED"


def install(door: Flask, settings: Settings) -> None:
    """Give the door the couriers' route."""
    writer = WebhookWriter(settings, EVENTS)
    door.add_url_rule(
        "/courier/<courier_name>",
        endpoint="courier",
        view_func=_receiving(writer),
        methods=["POST"],
        provide_automatic_options=False,
    )


def _receiving(writer: WebhookWriter) -> Callable[[str], Response]:
    def receive(courier_name: str) -> Response:
        """Verify, store, answer; the same news again is answered alike and stored once."""
        courier = couriers.couriers().get(courier_name)
        if courier is None:
            return error_answer("UNKNOWN_COURIER", "no courier of this name is configured", status=404)
        g.sender = courier.name
        body = read_body(most=MOST_BYTES)
        try:
            reports = courier.read_webhook(dict(request.headers), body)
        except (WebhookRefused, RecursionError) as error:
            code = error.code if isinstance(error, WebhookRefused) else _MALFORMED
            log.warning("WEBHOOK_REFUSED", courier=courier.name, code=code, trace_id=current_trace_id())
            return error_answer(code, _words(code), status=400 if code == _MALFORMED else 401)
        new = events.store_reports(courier.name, "webhook", reports, trace_id=current_trace_id(), write=writer.write)
        log.info("WEBHOOK_RECEIVED", courier=courier.name, received=len(reports), new=new, trace_id=current_trace_id())
        return jsonify(received=len(reports), traceId=current_trace_id())

    return receive


def _words(code: str) -> str:
    """What a stranger may know: not what in the body or the signature was wrong."""
    if code == _MALFORMED:
        return "the body is not a webhook of this courier"
    return "the signature does not fit the body, or is too old"
