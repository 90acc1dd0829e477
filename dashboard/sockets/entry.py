"""Who is at the other end of a socket, and whether they still may be. Owns both rules; keeps no connection.

Staff come with the dashboard's session, services with a token of the scope pharmacy:read, and others' pages with a ticket.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from werkzeug.http import parse_cookie

from dashboard.connection import DATABASE_ERRORS, discard_connections
from dashboard.live_tail import still_let_in
from dashboard.sessions import ABSOLUTE_LIMIT, IDLE_LIMIT, cookie_name, hash_token
from dashboard.sockets.rooms import room_of
from dashboard.sockets.tickets import read_ticket
from dispatchlog import service_tokens
from dispatchlog.engine.database import connected, database
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.settings import Settings

SCOPE = "pharmacy:read"
_VALID_TOKENS = """
SELECT id FROM service_tokens
WHERE id = ANY (%s) AND (revoked_at IS NULL OR revoked_at > now()) AND %s = ANY (scopes)
"""


class SocketRefused(DispatchlogError):
    """Nobody whom we let listen."""

    code = "SOCKET_AUTH_FAILED"


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever opened a socket. `key` names them among their kind, without letting anybody in.

    A ticket's holder has `order_id` and `until`; others may hear of every order.
    """

    kind: Literal["session", "token", "ticket"]
    key: str
    order_id: UUID | None = None
    until: datetime | None = None

    def may_hear(self, room: str) -> bool:
        return self.order_id is None or room == room_of(self.order_id)


def identify(settings: Settings, *, auth: Any, cookies: str, origin: str) -> Caller:
    """Who this is, from what came with the connection. What is named in `auth` counts alone.

    Raises:
        SocketRefused: nothing that lets anybody in; the message says what to do.
        peewee.OperationalError, or another of DATABASE_ERRORS: PostgreSQL does not answer.
    """
    given = auth if isinstance(auth, Mapping) else {}
    if isinstance(ticket := given.get("ticket"), str):
        return _by_ticket(settings, ticket)
    if isinstance(token := given.get("token"), str):
        return _by_token(token)
    # A browser always says whose page opens a WebSocket; whoever sends the cookie without it is none.
    session = parse_cookie(cookies).get(cookie_name(settings), "") if origin else ""
    return _by_session(settings, session)


def _by_ticket(settings: Settings, text: str) -> Caller:
    ticket = read_ticket(text, settings=settings)
    if ticket is None:
        raise SocketRefused("This ticket is not valid any more; ask for another one.")
    return Caller("ticket", hashlib.sha256(text.encode()).hexdigest(), ticket.order_id, ticket.expires_at)


def _by_token(text: str) -> Caller:
    token = _asked(lambda: service_tokens.verify(text))
    if token is None or not token.allows(SCOPE):
        raise SocketRefused(f"This token is not valid, or it has not the scope {SCOPE}.")
    return Caller("token", token.id)


def _by_session(settings: Settings, cookie: str) -> Caller:
    session = hash_token(cookie)
    if not cookie or not _asked(lambda: _open_sessions(settings, database.cursor(), {session})):
        raise SocketRefused("You are not signed in any more; sign in again.")
    return Caller("session", session.hex())


def _open_sessions(settings: Settings, cursor: Any, sessions: Collection[bytes]) -> set[bytes]:
    return still_let_in(
        cursor,
        sessions,
        idle=IDLE_LIMIT[settings.environment],
        absolute=ABSOLUTE_LIMIT,
        second_factor=settings.environment == "production",
    )


def ended(settings: Settings, cursor: Any, callers: Collection[Caller]) -> set[Caller]:
    """Those of the callers who may listen no longer: signed out, disabled, without the permission, revoked or expired."""
    keys = {kind: {caller.key for caller in callers if caller.kind == kind} for kind in ("session", "token")}
    still: set[str] = set()
    if keys["session"]:
        sessions = {bytes.fromhex(key) for key in keys["session"]}
        still |= {session.hex() for session in _open_sessions(settings, cursor, sessions)}
    if keys["token"]:
        cursor.execute(_VALID_TOKENS, (list(keys["token"]), SCOPE))
        still |= {row[0] for row in cursor.fetchall()}
    now = datetime.now(UTC)
    return {caller for caller in callers if (caller.until <= now if caller.until else caller.key not in still)}


def _asked(question: Any) -> Any:
    """The answer; asked once more where the connection was of a PostgreSQL that has been started again since."""
    try:
        with connected():
            return question()
    except DATABASE_ERRORS:
        discard_connections()
        with connected():
            return question()
