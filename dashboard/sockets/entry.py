"""Who is at the other end of a socket, and whether they still may be. Owns both rules; keeps no connection.

Staff, and whoever signs in to act for a party, come with the dashboard's session; services with a token of the scope
pharmacy:read, people of upstream services with a token of their own, and others' pages with a ticket for one order.
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
from dashboard.person_tokens import PREFIX, read_person_token
from dashboard.sessions import cookie_name, hash_token
from dashboard.sockets.rights import Rights, rights_of_people, rights_of_sessions
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

    A ticket's holder and a person with a token of their own have `until`.
    """

    kind: Literal["session", "token", "ticket", "person"]
    key: str
    rights: Rights
    until: datetime | None = None

    @property
    def is_over(self) -> bool:
        return self.until is not None and self.until <= datetime.now(UTC)


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
        return _by_person(settings, token) if token.startswith(PREFIX) else _by_token(token)
    # A browser always says whose page opens a WebSocket; whoever sends the cookie without it is none.
    session = parse_cookie(cookies).get(cookie_name(settings), "") if origin else ""
    return _by_session(settings, session)


def _by_ticket(settings: Settings, text: str) -> Caller:
    ticket = read_ticket(text, settings=settings)
    if ticket is None:
        raise SocketRefused("This ticket is not valid any more; ask for another one.")
    rights = Rights(orders=True, order_id=ticket.order_id)
    return Caller("ticket", hashlib.sha256(text.encode()).hexdigest(), rights, ticket.expires_at)


def _by_person(settings: Settings, text: str) -> Caller:
    token = read_person_token(text, settings=settings)
    if token is None:
        raise SocketRefused("This token is not valid any more; ask for another one.")
    person_id = token.person_id
    rights = asked(lambda: rights_of_people(database.cursor(), {person_id})).get(person_id)
    if rights is None:
        raise SocketRefused("This person is not known or not active any more; whoever signed them in can tell.")
    return Caller("person", str(person_id), rights, token.expires_at)


def _by_token(text: str) -> Caller:
    token = asked(lambda: service_tokens.verify(text))
    if token is None or not token.allows(SCOPE):
        raise SocketRefused(f"This token is not valid, or it has not the scope {SCOPE}.")
    return Caller("token", token.id, Rights(orders=True))


def _by_session(settings: Settings, cookie: str) -> Caller:
    session = hash_token(cookie)
    found = asked(lambda: rights_of_sessions(settings, database.cursor(), {session})) if cookie else {}
    if session not in found:
        raise SocketRefused("You are not signed in any more; sign in again.")
    if not found[session]:
        raise SocketRefused("There is nothing here for you to hear; an administrator says whom you act for.")
    return Caller("session", session.hex(), found[session])


def ended(settings: Settings, cursor: Any, callers: Collection[Caller]) -> set[Caller]:
    """Those of the callers who may listen no longer: signed out, disabled, not active, without one of the permissions that
    they came with, revoked or expired.
    """
    now = _rights_now(settings, cursor, callers)
    nothing = Rights()
    return {
        caller
        for caller in callers
        if caller.is_over
        or (caller.kind != "ticket" and not now.get((caller.kind, caller.key), nothing).cover(caller.rights))
    }


def _rights_now(settings: Settings, cursor: Any, callers: Collection[Caller]) -> dict[tuple[str, str], Rights]:
    """What they may hear now, by kind and key; whoever may hear nothing is not in it."""
    keys = {kind: {caller.key for caller in callers if caller.kind == kind} for kind in ("session", "token", "person")}
    now: dict[tuple[str, str], Rights] = {}
    if keys["session"]:
        sessions = rights_of_sessions(settings, cursor, {bytes.fromhex(key) for key in keys["session"]})
        now |= {("session", session.hex()): rights for session, rights in sessions.items()}
    if keys["token"]:
        cursor.execute(_VALID_TOKENS, (list(keys["token"]), SCOPE))
        now |= {("token", row[0]): Rights(orders=True) for row in cursor.fetchall()}
    if keys["person"]:
        people = rights_of_people(cursor, {UUID(key) for key in keys["person"]})
        now |= {("person", str(person_id)): rights for person_id, rights in people.items()}
    return now


def asked(question: Any) -> Any:
    """The database's answer; asked once more where the connection was of a PostgreSQL that has been started again since."""
    try:
        with connected():
            return question()
    except DATABASE_ERRORS:
        discard_connections()
        with connected():
            return question()
