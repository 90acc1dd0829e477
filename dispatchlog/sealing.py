"""Secrets that must be read again, sealed for storing, and keys by which things are found again. Stores nothing.

What is sealed opens for its purpose and its owner only: a copy of the database, or a secret moved to another row, is of no
use. The keys are random and kept wrapped under the application's secret key (`dispatchlog.keys`).
"""

from __future__ import annotations

from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.formats import key_id_of, open_first, open_under, seal_first
from dispatchlog.keys.ring import DataKey, rings
from dispatchlog.keys.secret_keys import derive_key, key_for, secret_keys

__all__ = [
    "CannotUnsealError",
    "check_keys",
    "derive_key",
    "find_key",
    "open_passed",
    "passing_key",
    "seal",
    "seal_bytes",
    "seal_to_pass",
    "unseal",
    "unseal_bytes",
]


def check_keys() -> None:
    """Return if this process can open the data keys in force.

    Raises:
        CannotUnsealError: they were wrapped under another secret key than it has.
    """
    rings.current().check()


def seal(secret: str, *, purpose: str, owner: str) -> bytes:
    """The secret as it may be stored; it opens for this purpose and owner only.

    Raises:
        CannotUnsealError: the data key was wrapped under another secret key than this process has.
    """
    return seal_bytes(secret.encode(), purpose=purpose, owner=owner)


def unseal(sealed: bytes, *, purpose: str, owner: str) -> str:
    """What was sealed.

    Raises:
        CannotUnsealError: it was not sealed so.
    """
    try:
        return unseal_bytes(sealed, purpose=purpose, owner=owner).decode()
    except UnicodeDecodeError as error:
        raise CannotUnsealError("a stored secret is not a text") from error


def seal_bytes(plain: bytes, *, purpose: str, owner: str) -> bytes:
    """As `seal`, for what is no text."""
    return rings.current().seal(plain, purpose=purpose, owner=owner)


def unseal_bytes(sealed: bytes, *, purpose: str, owner: str) -> bytes:
    """What `seal_bytes` sealed, or an earlier version of this application, under any of the keys that are not retired.

    Raises:
        CannotUnsealError: it was not sealed so.
    """
    key_id = key_id_of(sealed)
    ring = rings.current()
    plain = _opened(ring.keys.get(key_id), sealed, purpose=purpose, owner=owner) if key_id is not None else None
    if plain is None:
        plain = open_first(sealed, purpose=purpose, owner=owner, among=secret_keys())
    if plain is None and key_id is not None and key_id not in ring.keys:
        # A key that another process has just made.
        plain = _opened(rings.read_again().keys.get(key_id), sealed, purpose=purpose, owner=owner)
    if plain is None:
        raise CannotUnsealError(
            "a stored secret cannot be read: the application's secret key has changed, or the secret was changed or moved"
        )
    return plain


def find_key(purpose: str) -> bytes:
    """A key of 32 bytes for keyed hashes of one purpose. It stays the same whatever key is rotated.

    Raises:
        CannotUnsealError: it was wrapped under another secret key than this process has.
    """
    return key_for(rings.current().root_of_hashes(), purpose)


def passing_key(purpose: str) -> bytes:
    """A key of 32 bytes for hashes that count for minutes: it changes with the secret key, and needs no database."""
    return derive_key(secret_keys()[0].text, purpose)


def seal_to_pass(secret: str, *, purpose: str, owner: str) -> bytes:
    """Sealed for another process that has the secret key and perhaps no database; not for storing."""
    return seal_first(secret.encode(), purpose=purpose, owner=owner, secret_key=secret_keys()[0].text)


def open_passed(sealed: bytes, *, purpose: str, owner: str) -> str:
    """What `seal_to_pass` sealed, under this process's secret key or an old one.

    Raises:
        CannotUnsealError: it was not sealed so.
    """
    plain = open_first(sealed, purpose=purpose, owner=owner, among=secret_keys())
    if plain is None:
        raise CannotUnsealError("it was not sealed under one of our secret keys")
    return plain.decode()


def _opened(key: DataKey | None, sealed: bytes, *, purpose: str, owner: str) -> bytes | None:
    if key is None:
        return None
    if key.retired_at is not None:
        raise CannotUnsealError(f"a stored secret was sealed under data key {key.id}, which is retired")
    return open_under(key.open(), sealed, purpose=purpose, owner=owner)
