"""Sessions kept in PostgreSQL: the browser holds a random id, the table only its hash. Owns `web_sessions`; knows no page.

A new id is given whenever who is signed in, or half so, changes, and signing out deletes the row: an old cookie is dead.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, Request, Response, current_app, request
from flask import session as current_session
from flask.json.tag import TaggedJSONSerializer
from flask.sessions import SessionInterface, SessionMixin
from werkzeug.datastructures import CallbackDict

from dashboard.connection import DATABASE_ERRORS, discard_connections, needs_database, open_connection
from dashboard.proxies import client_address
from dispatchlog.engine.database import execute, fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.settings import Settings

ABSOLUTE_LIMIT = timedelta(hours=10)
IDLE_LIMIT = {"development": timedelta(minutes=60), "production": timedelta(minutes=15)}
# `last_seen_at` is written at most this often, so that a page that refreshes itself costs no write each time.
TOUCH_EVERY = timedelta(seconds=30)
# A page that refreshes itself in a forgotten tab must not keep the session alive.
BACKGROUND_HEADER = "X-Background-Refresh"
# Nor must the stream that tells such a page of changes, whose request cannot carry a header.
BACKGROUND_PATHS = frozenset({"/live"})
_ANONYMOUS_LIMIT = timedelta(hours=1)
USER_KEY = "_user_id"
# Who has given the password and owes the code; the table does not name them as the session's user.
OWES_CODE_KEY = "owes_code"
_serializer = TaggedJSONSerializer()


def cookie_name(settings: Settings) -> str:
    """What the session's cookie is called; `__Host-` binds it to the host that set it, and browsers want https for that."""
    return "__Host-dispatchlog" if settings.effective_public_url.startswith("https://") else "dispatchlog"


class ServerSession(CallbackDict[str, Any], SessionMixin):
    """One browser's session. `token` is the cookie's value, "" until the session is first stored."""

    def __init__(self, data: Mapping[str, Any] | None = None, *, token: str = "", created_at: datetime | None = None):
        def changed(_: object) -> None:
            self.modified = True

        super().__init__(data or {}, changed)
        self.modified = False
        self.accessed = True
        self.token = token
        self.created_at = created_at
        self.touch = False
        self.opened_for = self.whose

    @property
    def whose(self) -> tuple[Any, Any]:
        """Who is signed in, and who is half so."""
        return self.get(USER_KEY), (self.get(OWES_CODE_KEY) or {}).get("who")


class BrokenSession(ServerSession):
    """What a request gets while PostgreSQL is out of reach; it is never stored."""


class NoSession(ServerSession):
    """For static files and probes, which need none."""


class DatabaseSessions(SessionInterface):
    """Reads and writes sessions on the request's own connection."""

    session_class = ServerSession

    def __init__(self, *, idle_limit: timedelta) -> None:
        self.idle_limit = idle_limit

    def open_session(self, app: Flask, request: Request) -> ServerSession:
        if not needs_database(request.path) and not self._brings_one(app, request):
            return NoSession()
        try:
            try:
                return self._read(app, request)
            except DATABASE_ERRORS:
                discard_connections()
                return self._read(app, request)
        except DATABASE_ERRORS as error:
            app.logger.warning("DATABASE_UNAVAILABLE %s", type(error).__name__)
            return BrokenSession()

    def _brings_one(self, app: Flask, request: Request) -> bool:
        """Whether the request is to a route of the API that a session may call, and comes with one."""
        may_call = app.config["API_PATHS_WITH_SESSION"].fullmatch(request.path) is not None
        return may_call and self.get_cookie_name(app) in request.cookies

    def _read(self, app: Flask, request: Request) -> ServerSession:
        open_connection()
        token = request.cookies.get(self.get_cookie_name(app), "")
        background = BACKGROUND_HEADER in request.headers or request.path in BACKGROUND_PATHS
        return self._load(token, background=background) if token else ServerSession()

    def _load(self, token: str, *, background: bool) -> ServerSession:
        rows = fetch_all(
            "SELECT data, created_at, last_seen_at FROM web_sessions WHERE id_hash = %s"
            " AND last_seen_at > now() - CASE WHEN user_id IS NULL THEN %s ELSE %s END AND created_at > now() - %s",
            (hash_token(token), _ANONYMOUS_LIMIT, self.idle_limit, ABSOLUTE_LIMIT),
        )
        if not rows:
            return ServerSession()
        data, created_at, last_seen_at = rows[0]
        session = ServerSession(_serializer.loads(data), token=token, created_at=created_at)
        session.touch = not background and datetime.now(UTC) - last_seen_at > TOUCH_EVERY
        return session

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        if not isinstance(session, ServerSession) or isinstance(session, BrokenSession | NoSession):
            return
        response.vary.add("Cookie")
        try:
            if session.opened_for != session.whose:
                self._renew(session)
            self._store(app, session, response)
        except DATABASE_ERRORS as error:
            app.logger.warning("SESSION_NOT_STORED %s", type(error).__name__)

    def _renew(self, session: ServerSession) -> None:
        """Another user, or none any more: the old id ends here and the absolute limit begins anew."""
        if session.token:
            execute("DELETE FROM web_sessions WHERE id_hash = %s", (hash_token(session.token),))
        session.token, session.created_at, session.modified = "", None, True

    def _store(self, app: Flask, session: ServerSession, response: Response) -> None:
        if session.modified and (session or session.token):
            is_new = not session.token
            if is_new:
                session.token = secrets.token_urlsafe(32)
                forget_old_sessions(self.idle_limit)
            _upsert(session)
            if is_new:
                self._set_cookie(app, session.token, response)
        elif session.token and session.touch:
            execute("UPDATE web_sessions SET last_seen_at = now() WHERE id_hash = %s", (hash_token(session.token),))

    def _set_cookie(self, app: Flask, token: str, response: Response) -> None:
        response.set_cookie(
            self.get_cookie_name(app),
            token,
            httponly=True,
            secure=self.get_cookie_secure(app) or request.is_secure,
            samesite="Lax",
            path="/",
        )


def open_sessions(user_id: int) -> list[Row]:
    """The open sessions of an account, last used first: `since`, `last_seen_at`, `ip`, `user_agent`, whether `here`, and
    the `name` by which one of them is ended, which opens nothing.
    """
    here: ServerSession = current_session._get_current_object()  # type: ignore[attr-defined]
    limits: DatabaseSessions = current_app.session_interface  # type: ignore[assignment]
    rows = fetch_dicts(
        "SELECT created_at AS since, last_seen_at, ip, user_agent, id_hash = %s AS here, encode(id_hash, 'hex') AS name"
        " FROM web_sessions"
        " WHERE user_id = %s AND last_seen_at > now() - %s AND created_at > now() - %s ORDER BY last_seen_at DESC",
        (hash_token(here.token), user_id, limits.idle_limit, ABSOLUTE_LIMIT),
    )
    return [*rows]


def session_hash(name: str) -> bytes:
    """What is stored of the session that `open_sessions` calls so; empty, and so nobody's, for what is no such name."""
    try:
        return bytes.fromhex(name)
    except ValueError:
        return b""


def hash_token(token: str) -> bytes:
    """How an id is stored: reading the table must not let anybody in."""
    return hashlib.sha256(token.encode()).digest()


def forget_old_sessions(idle_limit: timedelta) -> None:
    """Delete a few hundred sessions whose time is over; called wherever one is made, so the table stays small."""
    execute(
        "DELETE FROM web_sessions WHERE id_hash IN (SELECT id_hash FROM web_sessions WHERE last_seen_at < now() - %s"
        " LIMIT 500 FOR UPDATE SKIP LOCKED)",
        (max(idle_limit, _ANONYMOUS_LIMIT),),
    )


def _upsert(session: ServerSession) -> None:
    """A session that another request ended meanwhile (sign-out) is not brought back: only a new id is inserted."""
    values = (_serializer.dumps(dict(session)), session.get(USER_KEY))
    if session.created_at is not None:
        execute(
            "UPDATE web_sessions SET data = %s, last_seen_at = now(),"
            " user_id = (SELECT id FROM staff_users WHERE fs_uniquifier = %s) WHERE id_hash = %s",
            (*values, hash_token(session.token)),
        )
        return
    execute(
        "INSERT INTO web_sessions (data, user_id, id_hash, ip, user_agent)"
        " VALUES (%s, (SELECT id FROM staff_users WHERE fs_uniquifier = %s), %s, %s, %s)",
        (*values, hash_token(session.token), client_address(), str(request.user_agent)[:255]),
    )
