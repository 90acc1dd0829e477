"""Owns the token of a form link: an opaque dispatch id and an expiry, signed; it never holds personal data.

Whoever reads the link learns nothing of the patient; whoever changes a letter of it has no link. Same input, same
token: a resend carries the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from itsdangerous import BadSignature, Signer

from dispatchlog.engine.errors import DispatchlogError, NaiveInstant

_SALT = "dispatchlog.form-link.v1"
_MAX_TOKEN_CHARACTERS = 200

Secrets = str | Sequence[str]


class FormLinkInvalid(DispatchlogError):
    """The token was not signed by us, or was changed."""

    code = "FORM_LINK_INVALID"


class FormLinkExpired(DispatchlogError):
    """The token is ours and its time is over; a new one must be sent."""

    code = "FORM_LINK_EXPIRED"


@dataclass(frozen=True, slots=True)
class FormToken:
    """What a valid token says."""

    dispatch_id: UUID
    expires_at: datetime


def sign_form_token(secrets: Secrets, *, dispatch_id: UUID, expires_at: datetime) -> str:
    """The token for one dispatch: `<dispatch id>.<expiry, epoch seconds>.<signature>`, safe in a URL.

    Args:
        secrets: one secret, or several with the current one first: it signs, all of them verify.
        dispatch_id: whose form it is.
        expires_at: aware; whole seconds count.

    Raises:
        NaiveInstant: `expires_at` has no time zone.
        ValueError: there is no secret.
    """
    if expires_at.tzinfo is None:
        raise NaiveInstant("A form link's expires_at must be aware.")
    return _signer(secrets).sign(f"{dispatch_id.hex}.{int(expires_at.timestamp())}").decode("ascii")


def verify_form_token(secrets: Secrets, token: str, *, now: datetime) -> FormToken:
    """What the token says, once its signature and its expiry hold.

    Raises:
        FormLinkInvalid: not ours, or changed (also: signed with a secret that was rotated out).
        FormLinkExpired: ours, but `now` is at or after its expiry.
        NaiveInstant: `now` has no time zone.
    """
    if now.tzinfo is None:
        raise NaiveInstant("verify_form_token needs an aware now.")
    content = _unsign(secrets, token)
    try:
        dispatch_id, epoch_seconds = content.split(".")
        form_token = FormToken(UUID(hex=dispatch_id), datetime.fromtimestamp(int(epoch_seconds), UTC))
    except (ValueError, OverflowError, OSError) as error:
        raise FormLinkInvalid("This form link is not valid.") from error
    if now >= form_token.expires_at:
        raise FormLinkExpired("This form link has expired.")
    return form_token


def _unsign(secrets: Secrets, token: str) -> str:
    if len(token) > _MAX_TOKEN_CHARACTERS or not token.isascii():
        raise FormLinkInvalid("This form link is not valid.")
    try:
        return _signer(secrets).unsign(token).decode("ascii")
    except BadSignature as error:
        raise FormLinkInvalid("This form link is not valid.") from error


def _signer(secrets: Secrets) -> Signer:
    newest_first = [secrets] if isinstance(secrets, str) else list(secrets)
    if not newest_first or not all(newest_first):
        raise ValueError("a form link needs a secret")
    # itsdangerous wants the oldest first and signs with the last.
    return Signer(newest_first[::-1], salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)
