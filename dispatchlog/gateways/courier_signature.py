"""Owns how a courier's webhook is signed and checked. Pure, but for the caller's clock.

The header `Courier-Signature: t=1700000000,v1=5257a8...,v1=e1c33c...` holds the instant of sending in Unix seconds and one
or more signatures: HMAC-SHA256, in hex, over `t`, a full stop and the raw body. A courier that changes its secret signs
with both for a while, and we may know both; one that fits is enough.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence

from dispatchlog.gateways.courier import WebhookRefused

HEADER = "Courier-Signature"
TOLERANCE_SECONDS = 300
_MOST_HEADER = 2_048
_MOST_SIGNATURES = 8


def sign(secrets: Sequence[str], body: bytes, *, at: int) -> str:
    """The header's value."""
    return ",".join([f"t={at}", *(f"v1={_signature(secret, body, at)}" for secret in secrets)])


def check(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], *, now: float, header: str = HEADER) -> None:
    """Return if one of the secrets signed this body just now; others sign in the same way under another `header`.

    Raises:
        WebhookRefused: WEBHOOK_SIGNATURE_INVALID; WEBHOOK_STALE, signed rightly, but more than 5 minutes from `now`.
    """
    said = next((value for name, value in headers.items() if name.lower() == header.lower()), "")
    at, signatures = _parts(said)
    if at is None or not _fits(signatures, [_signature(secret, body, at) for secret in secrets if secret]):
        raise WebhookRefused(f"The header {header} does not fit the body.", code="WEBHOOK_SIGNATURE_INVALID")
    if abs(now - at) > TOLERANCE_SECONDS:
        raise WebhookRefused(
            f"It was signed more than {TOLERANCE_SECONDS} seconds from now; sign each try anew, and look at the clock.",
            code="WEBHOOK_STALE",
        )


def _signature(secret: str, body: bytes, at: int) -> str:
    return hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()


def _parts(said: str) -> tuple[int | None, list[str]]:
    at: list[str] = []
    signatures: list[str] = []
    for each in said[:_MOST_HEADER].split(","):
        name, _, value = each.strip().partition("=")
        if name in ("t", "v1"):
            (at if name == "t" else signatures).append(value)
    if len(at) != 1 or not (at[0].isascii() and at[0].isdigit() and len(at[0]) <= 12):
        return None, []
    return int(at[0]), signatures[:_MOST_SIGNATURES]


def _fits(said: Sequence[str], right: Sequence[str]) -> bool:
    """Compares all with all, so that the time it takes tells nothing of which fits."""
    fits = False
    for signature in said:
        for each in right:
            fits |= hmac.compare_digest(signature.encode("utf-8", "replace"), each.encode())
    return fits
