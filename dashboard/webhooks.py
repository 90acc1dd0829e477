"""Where couriers tell what became of their jobs: `POST /webhooks/courier/<name>`. Owns the answers; applies nothing.

The signature over the raw body is the whole authentication. So the door is an application of its own before the
dashboard's, with a connection of its own: no session, no cookie, no account is looked for. What is answered with 200 is on
the disk, and what is refused was not stored, so a courier that sends again until it hears 200 loses nothing.
"""

from __future__ import annotations

import structlog
from flask import Flask, Response, current_app, jsonify, request
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from dashboard.api.errors import error_answer
from dashboard.api.tracing import begin_trace, end_trace, finish_answer
from dashboard.connection import DATABASE_ERRORS
from dashboard.headers import install_headers
from dashboard.webhook_writer import WebhookWriter
from dispatchlog.gateways.courier import WebhookRefused
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import couriers, events
from dispatchlog.tracing import current_trace_id

log = structlog.get_logger(__name__)

MOST_BYTES = 256 * 1024
_MALFORMED = "WEBHOOK_MALFORMED"
_WORDS = {
    404: ("NOT_FOUND", "no such route"),
    405: ("METHOD_NOT_ALLOWED", "webhooks are sent with POST"),
    413: ("BODY_TOO_LARGE", "the body is larger than 256 KiB"),
}


def mount(app: Flask, settings: Settings, *, https: bool) -> None:
    """Answer what is under /webhooks/ here, and all else by the dashboard."""
    door = make_door(settings, https=https)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/webhooks": door})  # type: ignore[method-assign]


def make_door(settings: Settings, *, https: bool) -> Flask:
    """The application behind /webhooks."""
    door = Flask("dashboard.webhooks", static_folder=None)
    door.extensions["writer"] = WebhookWriter(settings)
    # A chunked body that is too long is cut off silently by Werkzeug, so one byte more than the limit is asked for.
    door.config["MAX_CONTENT_LENGTH"] = MOST_BYTES + 1
    install_headers(door, settings, https=https)
    door.before_request(begin_trace)
    door.after_request(finish_answer)
    door.teardown_request(end_trace)
    door.add_url_rule("/courier/<courier_name>", view_func=receive, methods=["POST"], provide_automatic_options=False)
    door.register_error_handler(HTTPException, _http)
    door.register_error_handler(Exception, _fault)
    return door


def receive(courier_name: str) -> Response:
    """Verify, store, answer; the same news again is answered alike and stored once."""
    courier = couriers.couriers().get(courier_name)
    if courier is None:
        return error_answer("UNKNOWN_COURIER", "no courier of this name is configured", status=404)
    body = request.get_data(cache=False)
    if len(body) > MOST_BYTES:
        return error_answer(*_WORDS[413], status=413)
    try:
        reports = courier.read_webhook(dict(request.headers), body)
    except (WebhookRefused, RecursionError) as error:
        code = error.code if isinstance(error, WebhookRefused) else _MALFORMED
        log.warning("WEBHOOK_REFUSED", courier=courier.name, code=code, trace_id=current_trace_id())
        return error_answer(code, _words(code), status=400 if code == _MALFORMED else 401)
    writer: WebhookWriter = current_app.extensions["writer"]
    new = events.store_reports(courier.name, "webhook", reports, trace_id=current_trace_id(), write=writer.write)
    log.info("WEBHOOK_RECEIVED", courier=courier.name, received=len(reports), new=new, trace_id=current_trace_id())
    return jsonify(received=len(reports), traceId=current_trace_id())


def _words(code: str) -> str:
    """What a stranger may know: not what in the body or the signature was wrong."""
    if code == _MALFORMED:
        return "the body is not a webhook of this courier"
    return "the signature does not fit the body, or is too old"


def _http(error: HTTPException) -> Response:
    code, words = _WORDS.get(error.code or 400, ("BAD_REQUEST", "the request is malformed"))
    return error_answer(code, words, status=error.code or 400)


def _fault(error: Exception) -> Response:
    """Nothing was stored, or it is stored once when it is sent again."""
    if isinstance(error, DATABASE_ERRORS):
        log.warning("DATABASE_UNAVAILABLE", error=type(error).__name__, trace_id=current_trace_id())
        return error_answer("DATABASE_UNAVAILABLE", "nothing was stored; send it again", status=503)
    log.exception("WEBHOOK_FAILED", trace_id=current_trace_id())
    return error_answer("INTERNAL", "a fault of this service; send it again", status=500)
