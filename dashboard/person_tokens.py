"""Tokens with which a person of an upstream service asks the API and the sockets as themselves. Owns their form.

A service with the scope `tickets:people` gets one for somebody it has signed in itself. It names the person alone:
what they may see is asked of the database at every use.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dashboard.signed_ids import read_id, sign_id
from dispatchlog.settings import Settings

PREFIX = "dlp_"
TOKEN_SECONDS = 900
_PURPOSE = "dispatchlog.person-token.v1"


@dataclass(frozen=True, slots=True)
class PersonToken:
    """A token: its text, whose it is, and until when."""

    text: str
    person_id: UUID
    expires_at: datetime


def issue_person_token(person_id: UUID, *, settings: Settings, seconds: int = TOKEN_SECONDS) -> PersonToken:
    """A token for this person, from now on for so many seconds; whether there is the person is the caller's to know."""
    text, expires_at = sign_id(person_id, purpose=_PURPOSE, seconds=seconds, settings=settings)
    return PersonToken(PREFIX + text, person_id, expires_at)


def read_person_token(text: str, *, settings: Settings) -> PersonToken | None:
    """The token, or None: not ours, changed, or its time is over."""
    if not text.startswith(PREFIX):
        return None
    found = read_id(text.removeprefix(PREFIX), purpose=_PURPOSE, settings=settings)
    return PersonToken(text, *found) if found else None
