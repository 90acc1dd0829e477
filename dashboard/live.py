"""The stream of changes that an open page listens to (server-sent events). Tells that something moved, never what it holds.

It is authorised like every page and ends with the session, which it does not keep alive. See docs/decisions/0004.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

from flask import Blueprint, Flask, Response, current_app, request, session

from dashboard.access import READ, needs
from dashboard.context import settings
from dashboard.errors import answer
from dashboard.lanes import hidden_lanes
from dashboard.live_hub import MOST_IDS, Hub, Stream, Told
from dashboard.live_tail import News, moves_since
from dashboard.sessions import ABSOLUTE_LIMIT, DatabaseSessions, ServerSession, hash_token

pages = Blueprint("live", __name__)

HEARTBEAT_SECONDS = 15.0
# How often a stream looks whether its page is gone, so that its slot is free again soon.
PEEK_SECONDS = 1.0
RECONNECT_MS = 2000
FULL = "Every live connection is taken; the page goes on by asking now and then."


@pages.get("/live")
@needs(READ)
def stream() -> Response:
    """Events until the page leaves or the session ends; 503 while every slot is taken, and the page then polls."""
    if request.method == "HEAD":
        return Response(mimetype="text/event-stream")
    here: ServerSession = session._get_current_object()  # type: ignore[attr-defined]
    hub = hub_of(current_app._get_current_object())  # type: ignore[attr-defined]
    environ = request.environ
    connection = environ.get("gunicorn.socket") or environ.get("werkzeug.socket")
    listener = hub.join(hash_token(here.token), connection, hidden=hidden_lanes())
    if listener is None:
        return answer(503, detail=FULL, code="LIVE_FULL")  # type: ignore[return-value]  # Flask's own response
    try:
        missed = _missed(request.headers.get("Last-Event-ID", ""))
    except BaseException:
        hub.leave(listener)
        raise
    told = Response(_events(hub, listener, missed), mimetype="text/event-stream")
    told.headers["X-Accel-Buffering"] = "no"  # nginx would keep events back until there are many
    return told


def hub_of(app: Flask) -> Hub:
    """The application's hub, made when first asked for: in the process that serves, never before a fork."""
    found: Hub | None = app.extensions.get("dispatchlog.live")
    if found is None:
        sessions: DatabaseSessions = app.session_interface  # type: ignore[assignment]
        found = Hub(
            settings().database_url,
            role=settings().application_role,
            most=settings().live_streams,
            idle=sessions.idle_limit,
            absolute=ABSOLUTE_LIMIT,
        )
        found = app.extensions.setdefault("dispatchlog.live", found)
    return found


def _missed(last_event_id: str) -> News | None:
    """What a page that lost its stream has not been told; None: it begins, and reads itself anew."""
    if not (last_event_id.isdecimal() and len(last_event_id) < 19):
        return None
    return moves_since(int(last_event_id))


def _events(hub: Hub, listener: Stream, missed: News | None) -> Iterator[bytes]:
    try:
        yield f"retry: {RECONNECT_MS}\n".encode() + _event("hello", {"resumed": missed is not None})
        yield from _told(_as_told(missed or News(), listener.hidden))
        spoke = time.monotonic()
        while not listener.has_left():
            told = listener.wait(PEEK_SECONDS)
            if listener.over:
                yield _event("over", {})
                return
            parts = [*_told(told)]
            if not parts and time.monotonic() - spoke > HEARTBEAT_SECONDS:
                parts = [_heartbeat(told.position)]
            for part in parts:
                listener.writing_since = spoke = time.monotonic()
                yield part
                listener.writing_since = None
    finally:
        hub.leave(listener)


def _as_told(news: News, hidden: frozenset[str]) -> Told:
    """In the shape of what comes later; without a position, for that is known only with what comes later."""
    stream = Stream(b"", hidden=hidden)
    stream.tell(news, -1)
    return stream.wait(0)


def _told(told: Told) -> Iterator[bytes]:
    """The events of one telling. Only the last says how far the page now knows everything: the way may break in between."""
    if told.everything:
        yield _event("all", {}, told.position)
        return
    last = len(told.lanes)
    for number, (lane, moved) in enumerate(told.lanes.items(), 1):
        more = len(moved) > MOST_IDS
        data = {"lane": lane, "dispatches": {} if more else dict(moved), "more": more}
        yield _event("moved", data, told.position if number == last else -1)


def _event(name: str, data: Mapping[str, object], position: int = -1) -> bytes:
    lines = [f"id: {position}"] if position >= 0 else []
    return "\n".join([*lines, f"event: {name}", f"data: {json.dumps(data, separators=(',', ':'))}", "\n"]).encode()


def _heartbeat(position: int) -> bytes:
    """A comment, so that nobody in between takes the silence for the end, and how far the page knows everything."""
    return "\n".join([": still here", *([f"id: {position}"] if position >= 0 else []), "\n"]).encode()
