"""The door of webhooks: `/webhooks/...` and `/api/v1/comm/webhook/...`. Owns what is answered where something goes wrong.

A signature over the raw body is the whole authentication. So the door is an application of its own before the
dashboard's, with connections of its own: no session, no cookie, no account is looked for. What is answered with 200 is on
the disk, and what is refused was not stored, so whoever sends again until it hears 200 loses nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog
from flask import Flask, Response, g
from werkzeug.exceptions import HTTPException
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from dashboard import courier_webhooks, outreach_webhooks
from dashboard.api.errors import error_answer
from dashboard.api.tracing import begin_trace, end_trace, finish_answer
from dashboard.connection import DATABASE_ERRORS
from dashboard.headers import install_headers
from dispatchlog.engine.tallies import tallies
from dispatchlog.settings import Settings
from dispatchlog.tracing import current_trace_id

log = structlog.get_logger(__name__)

GENERIC = "/api/v1/comm/webhook"
MOST_BYTES = courier_webhooks.MOST_BYTES
_WORDS = {
    404: ("NOT_FOUND", "no such route"),
    405: ("METHOD_NOT_ALLOWED", "webhooks are sent with POST"),
    413: ("BODY_TOO_LARGE", "the body is too large"),
}


def mount(app: Flask, settings: Settings, *, https: bool) -> None:
    """Answer what is under the door's addresses here, and all else by the dashboard."""
    native = make_door(settings, https=https)
    generic = make_door(settings, https=https, receptions=(outreach_webhooks.install_generic,))
    app.wsgi_app = DispatcherMiddleware(  # type: ignore[method-assign]
        app.wsgi_app, {"/webhooks": native, GENERIC: generic}
    )


def make_door(
    settings: Settings,
    *,
    https: bool,
    receptions: tuple[Callable[[Flask, Settings], None], ...] = (courier_webhooks.install, outreach_webhooks.install),
) -> Flask:
    """The application behind one address, with the routes of these receptions."""
    door = Flask("dashboard.webhooks", static_folder=None)
    # No route without a limit of its own; this one is for what has no route.
    door.config["MAX_CONTENT_LENGTH"] = MOST_BYTES
    install_headers(door, settings, https=https)
    door.before_request(begin_trace)
    door.after_request(finish_answer)
    door.after_request(_counted)
    door.teardown_request(end_trace)
    for install in receptions:
        install(door, settings)
    door.register_error_handler(HTTPException, _http)
    door.register_error_handler(Exception, _fault)
    return door


def _counted(answer: Response) -> Response:
    """For the metrics: whose it was, where that is known, and what became of it."""
    result = "taken" if answer.status_code < 400 else "refused" if answer.status_code < 500 else "failed"
    tallies.add("webhooks", g.get("sender", "unknown"), result)
    return answer


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
