"""Service tokens: who may call the JSON API, and for what. Owns their table; never keeps a secret, only its hash.

A token reads `dlk_<id>_<secret>`. The secret has 256 random bits, so one round of SHA-256 is enough: there is nothing to
guess, and a slow hash on every request would only help an attacker who wants the service busy.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from peewee import IntegrityError

from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import log_action

SCOPES = {
    "orders:write": "report orders and shipments, and have kits registered",
    "orders:read": "read orders with their kits",
    "dispatches:read": "find and read dispatches; recipients are masked",
    "dispatches:act": "retry and cancel dispatches",
    "dispatches:control": "pause and resume lanes and gateways",
    "visits:write": "report clinics' visits",
    "visits:read": "read what became of visits and their HL7 messages; no name and nothing clinical",
    "hl7:retry": "send waiting or failed HL7 messages again, all of them at once too",
    "pharmacy:write": "report pharmacies, their orders and payments, and mark orders ready",
    "pharmacy:read": "read pharmacy orders and listen to their changes; patients are masked",
    "pharmacy:act": "cancel and repeat a courier's dispatch, and check delivery codes",
    "tickets:people": "say who takes part in tickets, and let them in: whoever has it can act as any of them",
    "comm:write": "have messages sent to patients, and report what happens to patients and appointments",
    "comm:read": "read how patients may be reached and what was sent to them; addresses are masked",
    "comm:contact": "the same with addresses, for whoever has comm:read",
    "comm:manage": "write templates, and change how patients may be reached on their behalf",
    "comm:campaigns": "write segments and campaigns, begin, pause and stop them",
}
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_TOKEN = re.compile(r"dlk_([0-9a-f]{12})_([0-9a-f]{64})")
_COLUMNS = "id, name, scopes, created_at, created_by, last_used_at, revoked_at"
_ROTATION_SECONDS = 86_400


class TokenError(DispatchlogError):
    """A token cannot be made or found: INVALID_TOKEN_NAME, UNKNOWN_SCOPE, TOKEN_EXISTS or TOKEN_NOT_FOUND."""

    code = "TOKEN_NOT_FOUND"


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A token as it may be shown. `name` is the `source` of everything reported with it."""

    id: str
    name: str
    scopes: frozenset[str]
    created_at: datetime
    created_by: str
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def allows(self, scope: str) -> bool:
        return scope in self.scopes


def create_token(name: str, scopes: Sequence[str], created_by: str) -> str:
    """Make a token; it comes back in plain this once and can never be shown again.

    Raises:
        TokenError: INVALID_TOKEN_NAME, UNKNOWN_SCOPE, or TOKEN_EXISTS (rotate or revoke that one).
    """
    if not _NAME.fullmatch(name):
        message = "a token's name is 1 to 64 lower-case letters, digits and hyphens"
        raise TokenError(message, code="INVALID_TOKEN_NAME")
    if not scopes or not set(scopes) <= set(SCOPES):
        raise TokenError(f"scopes are one or more of {', '.join(SCOPES)}", code="UNKNOWN_SCOPE")
    try:
        with transaction(created_by, "service token created"):
            return _insert(name, sorted(set(scopes)), created_by)
    except IntegrityError as error:
        message = f"there is a token named {name}; rotate it, or revoke it first"
        raise TokenError(message, code="TOKEN_EXISTS") from error


def rotate_token(name: str, *, created_by: str, overlap_seconds: int = _ROTATION_SECONDS) -> str:
    """A second token of the same name and scopes; the old one works for `overlap_seconds` more.

    Raises:
        TokenError: TOKEN_NOT_FOUND.
    """
    with transaction(created_by, "service token rotated"):
        ended = execute(
            "UPDATE service_tokens SET revoked_at = now() + %s * interval '1 s'"
            " WHERE name = %s AND revoked_at IS NULL RETURNING scopes",
            (overlap_seconds, name),
        ).fetchone()
        if ended is None:
            raise TokenError(f"there is no token named {name}")
        return _insert(name, ended[0], created_by)


def revoke_token(name: str, *, revoked_by: str = "") -> None:
    """Every token of this name stops working with the next request.

    Raises:
        TokenError: TOKEN_NOT_FOUND, also when all of them have been revoked.
    """
    actor = revoked_by or "operator"
    with transaction(actor, "service token revoked"):
        revoked = execute(
            "UPDATE service_tokens SET revoked_at = now() WHERE name = %s AND (revoked_at IS NULL OR revoked_at > now())",
            (name,),
        ).rowcount
        if not revoked:
            raise TokenError(f"there is no token named {name}")
        log_action(actor, "service_token_revoked", detail={"name": name})


def list_tokens() -> list[ServiceToken]:
    """All tokens, revoked ones too, newest first within each name."""
    with connected():
        rows = fetch_dicts(f"SELECT {_COLUMNS} FROM service_tokens ORDER BY name, created_at DESC")
    return [_token(row) for row in rows]


def verify(token: str) -> ServiceToken | None:
    """The token's owner, or None if it is malformed, unknown, wrong or revoked. Notes its use at most once a minute."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    with connected():
        rows = fetch_dicts(
            f"SELECT {_COLUMNS}, secret_sha256, coalesce(revoked_at <= now(), false) AS revoked,"
            " coalesce(last_used_at < now() - interval '1 minute', true) AS note_use FROM service_tokens WHERE id = %s",
            (match[1],),
        )
        # An unknown id is compared too, so that both answers take the same time.
        stored = bytes(rows[0]["secret_sha256"]) if rows else bytes(32)
        if not hmac.compare_digest(stored, _hash(match[2])) or not rows or rows[0]["revoked"]:
            return None
        if rows[0]["note_use"]:
            execute("UPDATE service_tokens SET last_used_at = now() WHERE id = %s", (match[1],))
    return _token(rows[0])


def _insert(name: str, scopes: Sequence[str], created_by: str) -> str:
    token_id, secret = secrets.token_hex(6), secrets.token_hex(32)
    execute(
        "INSERT INTO service_tokens (id, name, secret_sha256, scopes, created_by) VALUES (%s, %s, %s, %s, %s)",
        (token_id, name, _hash(secret), list(scopes), created_by),
    )
    log_action(created_by, "service_token_created", detail={"name": name, "scopes": list(scopes), "id": token_id})
    return f"dlk_{token_id}_{secret}"


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _token(row: dict[str, Any]) -> ServiceToken:
    return ServiceToken(
        id=row["id"],
        name=row["name"],
        scopes=frozenset(row["scopes"]),
        created_at=row["created_at"],
        created_by=row["created_by"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
