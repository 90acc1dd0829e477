"""How a sealed text is laid out, in its two formats (AES-256-GCM). Pure: owns no key and no row.

Format 2: the byte 2, the data key's number (4 bytes, big-endian), nonce (12), ciphertext with its tag (16). The first five
bytes are authenticated, so is the owner; the key is the purpose's own. Format 1, which is only read: nonce and ciphertext,
under a key made straight from the secret key.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from dispatchlog.keys.secret_keys import NONCE_BYTES, SecretKey, derive_key, key_for

_VERSION = b"\x02"
HEADER_BYTES = 5
TAG_BYTES = 16


def header_of(key_id: int) -> bytes:
    """With what everything sealed under this data key begins."""
    return _VERSION + key_id.to_bytes(4, "big")


def key_id_of(sealed: bytes) -> int | None:
    """The data key that it names; None for format 1. One of format 1 in 256 names one too, by chance."""
    if sealed[:1] != _VERSION or len(sealed) < HEADER_BYTES + NONCE_BYTES + TAG_BYTES:
        return None
    return int.from_bytes(sealed[1:HEADER_BYTES], "big")


def seal_under(key_id: int, material: bytes, plain: bytes, *, purpose: str, owner: str) -> bytes:
    """Format 2, under a data key."""
    header, nonce = header_of(key_id), os.urandom(NONCE_BYTES)
    return header + nonce + _cipher(material, purpose).encrypt(nonce, plain, header + owner.encode())


def open_under(material: bytes, sealed: bytes, *, purpose: str, owner: str) -> bytes | None:
    """What `seal_under` sealed; None where it was not for this, or was changed."""
    header, nonce = sealed[:HEADER_BYTES], sealed[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
    try:
        return _cipher(material, purpose).decrypt(nonce, sealed[HEADER_BYTES + NONCE_BYTES :], header + owner.encode())
    except InvalidTag:
        return None


def seal_first(plain: bytes, *, purpose: str, owner: str, secret_key: str) -> bytes:
    """Format 1: for what only passes, between processes that share the secret key."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(derive_key(secret_key, purpose)).encrypt(nonce, plain, owner.encode())


def open_first(sealed: bytes, *, purpose: str, owner: str, among: Sequence[SecretKey]) -> bytes | None:
    """What is of format 1, under whichever of the secret keys; None where it is of none of these."""
    if len(sealed) < NONCE_BYTES + TAG_BYTES:
        return None
    nonce, body = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    for each in among:
        try:
            return AESGCM(derive_key(each.text, purpose)).decrypt(nonce, body, owner.encode())
        except InvalidTag:
            continue
    return None


@lru_cache(maxsize=512)
def _cipher(material: bytes, purpose: str) -> AESGCM:
    return AESGCM(key_for(material, purpose))
