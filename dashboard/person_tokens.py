"""Tokens with which a person of an upstream service asks the API and the sockets as themselves. Owns their form.

A service with the scope `tickets:people` gets one for somebody it has signed in itself. It names the person alone:
what they may see is asked of the database at every use.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from itsdangerous import BadSignature, Signer

from dispatchlog.settings import Settings

PREFIX = "dlp_"
TOKEN_SECONDS = 900
_SALT = "dispatchlog.person-token.v1"
_MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class PersonToken:
    """A token: its text, whose it is, and until when."""

    text: str
    person_id: UUID
    expires_at: datetime


def issue_person_token(person_id: UUID, *, settings: Settings, seconds: int = TOKEN_SECONDS) -> PersonToken:
    """A token for this person, from now on for so many seconds; whether there is the person is the caller's to know."""
    expires_at = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
    content = f"{person_id.hex}.{int(expires_at.timestamp())}"
    return PersonToken(PREFIX + _signer(settings).sign(content).decode("ascii"), person_id, expires_at)


def read_person_token(text: str, *, settings: Settings) -> PersonToken | None:
    """The token, or None: not ours, changed, or its time is over."""
    if not text.startswith(PREFIX) or len(text) > _MOST_CHARACTERS or not text.isascii():
        return None
    try:
        person_id, epoch_seconds = _signer(settings).unsign(text.removeprefix(PREFIX)).decode("ascii").split(".")
        token = PersonToken(text, UUID(hex=person_id), datetime.fromtimestamp(int(epoch_seconds), UTC))
    except (BadSignature, ValueError, OverflowError, OSError):
        return None
    return token if token.expires_at > datetime.now(UTC) else None


def _signer(settings: Settings) -> Signer:
    secret = settings.secret_key.get_secret_value()
    return Signer(secret, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)
