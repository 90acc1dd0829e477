"""What a visitor sees when something is wrong: one plain page or JSON each, never a stack trace. Owns the wording."""

from __future__ import annotations

from typing import Any

from flask import Flask, current_app, jsonify, make_response, render_template, request, session
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from dashboard.connection import DATABASE_ERRORS, discard_connections
from dashboard.sessions import BrokenSession
from dispatchlog.engine.errors import DispatchlogError, DispatchNotFound, UnknownLane
from dispatchlog.logs import WithoutRows
from dispatchlog.systems.tickets.inputs import TicketError

WORDS = {
    400: (
        "BAD_REQUEST",
        "That request could not be read",
        "Go back and try again. If it came from a link, the link is damaged.",
    ),
    403: ("FORBIDDEN", "Your role does not allow this", "Ask an administrator for the role you need."),
    404: ("NOT_FOUND", "There is nothing here", "The address may be mistyped, or the dispatch is of another system."),
    405: ("METHOD_NOT_ALLOWED", "That does not work this way", "Go back and use the button on the page."),
    413: ("TOO_LARGE", "That is too much at once", "Send less."),
    429: ("TOO_MANY_REQUESTS", "Too many requests", "Wait a moment, then try again."),
    500: (
        "INTERNAL",
        "Something went wrong on our side",
        "It was logged. Try again; if it stays, tell whoever operates the system.",
    ),
    503: (
        "DATABASE_UNAVAILABLE",
        "The dispatch log is out of reach",
        "The database does not answer right now. Nothing is lost: dispatches wait where they are. Try again in a moment.",
    ),
}
# Why whoever is signed in has no tickets at all.
ACTS_FOR_NOBODY = {
    "PERSON_UNKNOWN": (
        "Your account acts for nobody yet",
        "Tickets belong to a doctor, pharmacy, laboratory or patient. Ask an administrator to say for whom you act.",
    ),
    "PERSON_INACTIVE": (
        "You do not act for anybody any more",
        "You, or whoever you acted for, are not active any more. If that is wrong, ask an administrator to change it.",
    ),
}
RETRY_AFTER_SECONDS = 5
# One for all applications of a process, for they share a logger.
_without_rows = WithoutRows()


def register(app: Flask) -> None:
    """Answer every kind of failure in the same look."""
    app.logger.addFilter(_without_rows)
    app.before_request(_refuse_without_database)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(DispatchNotFound, _not_found)
    app.register_error_handler(UnknownLane, _not_found)
    app.register_error_handler(TicketError, _ticket)
    app.register_error_handler(Exception, _unexpected)
    for error in DATABASE_ERRORS:
        app.register_error_handler(error, _database)


def answer(status: int, *, words: int | None = None, title: str = "", detail: str = "", code: str = "") -> Response:
    """The page (or JSON, where the client asked for that) of one status, with the words of another where it has none."""
    usual_code, usual_title, advice = WORDS[words or status]
    title = title or usual_title
    if wants_json():
        response = jsonify(code=code or usual_code, message=detail or f"{title}.")
    else:
        page = render_template("error.html", status=status, title=title, advice=detail or advice, code=code)
        response = make_response(page)
    response.status_code = status
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return response


def wants_json() -> bool:
    """Whether the client is a program."""
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], default="text/html")
    return request.path.startswith("/api/") or best == "application/json"


def _refuse_without_database() -> Any:
    if request.path == "/readyz" or request.path.startswith("/api/"):
        return None  # these say it in a way of their own
    if isinstance(session._get_current_object(), BrokenSession):  # type: ignore[attr-defined]
        return answer(503)
    return None


def _csrf(_: CSRFError) -> Any:
    detail = "This page was open for too long, or you signed in again elsewhere. Reload it, then try once more."
    return answer(400, detail=detail, code="CSRF")


def _http(error: HTTPException) -> Any:
    if error.code is None or error.code < 400:
        return error
    usual = type(error).description
    detail = error.description if error.description != usual and error.code in (400, 409, 429) else ""
    words = error.code if error.code in WORDS else 400 if error.code < 500 else 500
    return answer(error.code, words=words, detail=detail or "")


def _not_found(_: DispatchlogError) -> Any:
    return answer(404)


def _ticket(error: TicketError) -> Any:
    """Whoever acts for nobody is told what to do about it; what else is wrong with a ticket its own page says."""
    if error.code not in ACTS_FOR_NOBODY:
        return _unexpected(error)
    title, advice = ACTS_FOR_NOBODY[error.code]
    return answer(403, title=title, detail=advice, code=error.code)


def _database(error: Exception) -> Any:
    """Broken connections are not given to the next request."""
    current_app.logger.warning("DATABASE_UNAVAILABLE %s", type(error).__name__)
    discard_connections()
    return answer(503)


def _unexpected(error: Exception) -> Any:
    current_app.logger.exception("UNEXPECTED_ERROR", exc_info=error)
    return answer(500)
