"""Secrets that must be read again, sealed for storing (AES-256-GCM). Owns the keys' derivation; stores nothing.

The key comes from the application's secret key and a purpose, and what is sealed is bound to its owner: a copy of the
database, or a secret moved to another row, is of no use.
"""

from __future__ import annotations

import os
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from dispatchlog.engine.errors import DispatchlogError

_NONCE_BYTES = 12


class CannotUnsealError(DispatchlogError):
    """It was sealed for another owner, for another purpose or under another secret key."""

    code = "CANNOT_UNSEAL"


def seal(secret: str, *, purpose: str, owner: str, secret_key: str) -> bytes:
    """The secret as it may be stored; it opens for this purpose and owner only."""
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(derive_key(secret_key, purpose)).encrypt(nonce, secret.encode(), owner.encode())


def unseal(sealed: bytes, *, purpose: str, owner: str, secret_key: str) -> str:
    """What was sealed.

    Raises:
        CannotUnsealError: it was not sealed so.
    """
    nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return AESGCM(derive_key(secret_key, purpose)).decrypt(nonce, body, owner.encode()).decode()
    except (InvalidTag, ValueError) as error:
        raise CannotUnsealError("a stored secret cannot be read: the application's secret key has changed") from error


@lru_cache(maxsize=64)
def derive_key(secret_key: str, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, from the application's secret key."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"dispatchlog {purpose}".encode()).derive(
        secret_key.encode()
    )
