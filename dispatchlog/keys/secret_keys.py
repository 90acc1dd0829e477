"""The application's secret keys, and what is made from one of them. Owns the derivations; reads no table.

A secret key wraps the data keys, so that a copy of the database opens nothing.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from dispatchlog.settings import get_settings

# What a data key is for: sealing, or finding again by a keyed hash.
SEAL, FIND = "seal", "find"
KEY_BYTES = 32
NONCE_BYTES = 12
CHECK_BYTES = 8
_WRAPPING = "data keys"


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One of them, and what it is called where a person reads of it. Its text is never shown."""

    name: str
    text: str

    def __repr__(self) -> str:
        return f"SecretKey({self.name})"

    @property
    def fingerprint(self) -> str:
        """By which a person sees whether two processes have the same one; 8 hexadecimal digits."""
        return check_of(self.text).hex()[:8]


def secret_keys() -> tuple[SecretKey, ...]:
    """Those of the settings: the one in force, then the old ones that still open what they closed."""
    return _named(get_settings().secret_keys)


@lru_cache(maxsize=8)
def _named(texts: tuple[str, ...]) -> tuple[SecretKey, ...]:
    current, *old = texts
    numbered = (SecretKey(f"old secret key {number}", text) for number, text in enumerate(old, 1))
    return (SecretKey("DISPATCHLOG_SECRET_KEY", current), *numbered)


def root_of(secret_key: str) -> bytes:
    """32 bytes from which the keys of all purposes follow (HKDF's first half, RFC 5869, section 2.2, without salt)."""
    return hmac.digest(bytes(KEY_BYTES), secret_key.encode(), "sha256")


@lru_cache(maxsize=512)
def key_for(root: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose (HKDF's second half, section 2.3)."""
    return HKDFExpand(algorithm=SHA256(), length=KEY_BYTES, info=f"dispatchlog {purpose}".encode()).derive(root)


def derive_key(secret_key: str, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose, straight from a secret key; it changes with it."""
    return key_for(root_of(secret_key), purpose)


@lru_cache(maxsize=64)
def check_of(secret_key: str) -> bytes:
    """8 bytes that tell by which secret key something was wrapped, and nothing else about it."""
    return hmac.digest(derive_key(secret_key, _WRAPPING), b"check", "sha256")[:CHECK_BYTES]


def wrap(material: bytes, *, key_id: int, purpose: str, secret_key: str) -> bytes:
    """A data key as it is stored: nonce and ciphertext, 60 bytes; it opens in its own row only."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(derive_key(secret_key, _WRAPPING)).encrypt(nonce, material, _row(key_id, purpose))


def unwrap(wrapped: bytes, check: bytes, *, key_id: int, purpose: str, among: Sequence[SecretKey]) -> bytes | None:
    """The data key; None where none of the secret keys wrapped it, or it was changed or moved since."""
    by = wrapper(check, among)
    if by is None:
        return None
    nonce, body = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
    try:
        return AESGCM(derive_key(by.text, _WRAPPING)).decrypt(nonce, body, _row(key_id, purpose))
    except InvalidTag:
        return None


def wrapper(check: bytes, among: Sequence[SecretKey]) -> SecretKey | None:
    """Which of the secret keys wrapped it, by its check; None: none of these."""
    return next((each for each in among if hmac.compare_digest(check_of(each.text), check)), None)


def _row(key_id: int, purpose: str) -> bytes:
    return f"data key {key_id} {purpose}".encode()
