"""Where couriers tell what became of their jobs: `POST /webhooks/courier/<name>`. Owns the answers; applies nothing.

The signature over the raw body is the whole authentication: no session, no cookie, no CSRF token. What is answered with 200
is on the disk, and what is refused was not stored, so a courier that sends again until it hears 200 loses nothing.
"""

from __future__ import annotations

import structlog
from flask import Blueprint, Flask, Response, jsonify, request
from flask_wtf import CSRFProtect
from werkzeug.exceptions import HTTPException

from dashboard.access import PUBLIC, needs
from dashboard.api.errors import error_answer
from dashboard.api.tracing import begin_trace, end_trace, finish_answer
from dashboard.connection import DATABASE_ERRORS, discard_connections
from dispatchlog.gateways.courier import WebhookRefused
from dispatchlog.systems.courier import couriers, events
from dispatchlog.tracing import current_trace_id

pages = Blueprint("webhooks", __name__)
log = structlog.get_logger(__name__)

MOST_BYTES = 256 * 1024
_MALFORMED = "WEBHOOK_MALFORMED"


def register(app: Flask, csrf: CSRFProtect) -> None:
    """Add the route; who calls it has no page from which to take a CSRF token."""
    app.register_blueprint(pages)
    csrf.exempt(pages)


pages.before_request(begin_trace)
pages.after_request(finish_answer)
pages.teardown_request(end_trace)


@pages.post("/webhooks/courier/<courier_name>")
@needs(PUBLIC)
def receive(courier_name: str) -> Response:
    """Verify, store, answer; the same news again is answered alike and stored once."""
    courier = couriers.couriers().get(courier_name)
    if courier is None:
        return error_answer("UNKNOWN_COURIER", "no courier of this name is configured", status=404)
    # A chunked body that is too long is cut off silently by Werkzeug, so one byte more than the limit is asked for.
    request.max_content_length = MOST_BYTES + 1
    body = request.get_data(cache=False)
    if len(body) > MOST_BYTES:
        return error_answer("BODY_TOO_LARGE", "the body is larger than 256 KiB", status=413)
    try:
        reports = courier.read_webhook(dict(request.headers), body)
    except (WebhookRefused, RecursionError) as error:
        code = error.code if isinstance(error, WebhookRefused) else _MALFORMED
        log.warning("WEBHOOK_REFUSED", courier=courier_name, code=code, trace_id=current_trace_id())
        return error_answer(code, _words(code), status=400 if code == _MALFORMED else 401)
    new = events.store_reports(courier.name, "webhook", reports, trace_id=current_trace_id())
    log.info("WEBHOOK_RECEIVED", courier=courier.name, received=len(reports), new=new, trace_id=current_trace_id())
    return jsonify(received=len(reports), traceId=current_trace_id())


def _words(code: str) -> str:
    """What a stranger may know: not what in the body or the signature was wrong."""
    if code == _MALFORMED:
        return "the body is not a webhook of this courier"
    return "the signature does not fit the body, or is too old"


@pages.errorhandler(413)
def _too_large(_: HTTPException) -> Response:
    return error_answer("BODY_TOO_LARGE", "the body is larger than 256 KiB", status=413)


@pages.errorhandler(HTTPException)
def _http(error: HTTPException) -> Response:
    return error_answer("BAD_REQUEST", "the request is malformed", status=error.code or 400)


@pages.errorhandler(Exception)
def _fault(error: Exception) -> Response:
    """Nothing was stored, or it is stored once when it is sent again."""
    if isinstance(error, DATABASE_ERRORS):
        log.warning("DATABASE_UNAVAILABLE", error=type(error).__name__, trace_id=current_trace_id())
        discard_connections()
        return error_answer("DATABASE_UNAVAILABLE", "nothing was stored; send it again", status=503)
    log.exception("WEBHOOK_FAILED", trace_id=current_trace_id())
    return error_answer("INTERNAL", "a fault of this service; send it again", status=500)
