"""An id that is good until an instant, signed with the secret key. Owns the form; what it opens is its user's to say."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from itsdangerous import BadSignature, Signer

from dispatchlog.settings import Settings

_MOST_CHARACTERS = 200


def sign_id(subject_id: UUID, *, purpose: str, seconds: int, settings: Settings) -> tuple[str, datetime]:
    """The text, and until when it is good; of use for this purpose alone."""
    expires_at = (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)
    content = f"{subject_id.hex}.{int(expires_at.timestamp())}"
    return _signer(purpose, settings).sign(content).decode("ascii"), expires_at


def read_id(text: str, *, purpose: str, settings: Settings) -> tuple[UUID, datetime] | None:
    """What was signed, or None: not ours, changed, for another purpose, or its time is over."""
    if len(text) > _MOST_CHARACTERS or not text.isascii():
        return None
    try:
        subject_id, epoch_seconds = _signer(purpose, settings).unsign(text).decode("ascii").split(".")
        found = UUID(hex=subject_id), datetime.fromtimestamp(int(epoch_seconds), UTC)
    except (BadSignature, ValueError, OverflowError, OSError):
        return None
    return found if found[1] > datetime.now(UTC) else None


def _signer(purpose: str, settings: Settings) -> Signer:
    # itsdangerous wants the oldest first and signs with the last.
    return Signer(settings.secret_keys[::-1], salt=purpose, key_derivation="hmac", digest_method=hashlib.sha256)
