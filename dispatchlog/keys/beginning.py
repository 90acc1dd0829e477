"""A database's first data keys. Owns making them, once; what was sealed and hashed before there were any stays of use.

A new installation gets them when something is first sealed or hashed. One that an earlier release worked on goes on as that
release does until a person has them made: so both may run side by side, and the way back is open.
"""

from __future__ import annotations

import os

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.keys.columns import HASHED_COLUMNS, SEALED_COLUMNS, SealedColumn
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.formats import TAG_BYTES, open_first
from dispatchlog.keys.secret_keys import (
    FIND,
    KEY_BYTES,
    NONCE_BYTES,
    SEAL,
    SecretKey,
    check_of,
    root_of,
    secret_keys,
    wrap,
)

_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended('data_keys', 7240130))"
# So many of each column are tried before none is said to open.
_TRIED = 100
_SAMPLE = (
    "SELECT {0.column}, ({0.owner})::text FROM {0.table}"
    f" WHERE octet_length({{0.column}}) >= {NONCE_BYTES + TAG_BYTES} LIMIT %s"
)


def create_first_keys(*, although_unreadable: bool = False) -> bool:
    """Make the keys that the database lacks; whether it lacked any. Two that ask at once make them once.

    Hashes that exist were made under a secret key, so its root becomes the key of 'find'; also where there are none and an
    earlier release has worked, for while it still runs it makes some. A new database gets a random one.

    Raises:
        CannotUnsealError: things were sealed under a secret key, and it is none of this process's; whoever has lost it
            says `although_unreadable`.
    """
    with transaction("keys", "first data keys"):
        take_turns()
        there = {purpose for (purpose,) in fetch_all("SELECT DISTINCT purpose FROM data_keys")}
        if FIND not in there:
            earlier = earlier_secret_key(although_unreadable=although_unreadable)
            if earlier is None and _was_worked_on():
                earlier = secret_keys()[0]
            insert_key(FIND, os.urandom(KEY_BYTES) if earlier is None else root_of(earlier.text))
        if SEAL not in there:
            insert_key(SEAL, os.urandom(KEY_BYTES))
    return there != {FIND, SEAL}


def take_turns() -> None:
    """Let nobody else change the keys until the caller's transaction ends."""
    execute(_TAKE_TURNS)


def insert_key(purpose: str, material: bytes) -> int:
    """Store a data key, wrapped, in the caller's transaction; its number comes back. One at a time."""
    take_turns()
    (key_id,) = fetch_one("SELECT coalesce(max(id), 0) + 1 FROM data_keys")
    secret = secret_keys()[0].text
    execute(
        "INSERT INTO data_keys (id, purpose, wrapped, key_check) VALUES (%s, %s, %s, %s)",
        (key_id, purpose, wrap(material, key_id=key_id, purpose=purpose, secret_key=secret), check_of(secret)),
    )
    return int(key_id)


def earlier_secret_key(*, although_unreadable: bool = False) -> SecretKey | None:
    """Which secret key an earlier release sealed and hashed under; None where there is nothing of one.

    Raises:
        CannotUnsealError: what it sealed opens with none of this process's; whoever has lost it says `although_unreadable`.
    """
    sealed_something = False
    for column in SEALED_COLUMNS:
        with connected():
            samples = fetch_all(_SAMPLE.format(column), (_TRIED,))
        for secret_key in secret_keys():
            if any(_opens(secret_key, bytes(sealed), column, owner) for sealed, owner in samples):
                return secret_key
        sealed_something = sealed_something or bool(samples)
    if sealed_something and not although_unreadable:
        raise CannotUnsealError(
            "there are no data keys yet, and what was sealed before opens with none of the secret keys: set"
            " DISPATCHLOG_SECRET_KEY to the one that was in force, or name it in DISPATCHLOG_OLD_SECRET_KEYS"
        )
    return secret_keys()[0] if sealed_something or _has_hashes() else None


def _opens(secret_key: SecretKey, sealed: bytes, column: SealedColumn, owner: str) -> bool:
    return open_first(sealed, purpose=column.purpose, owner=owner, among=(secret_key,)) is not None


def _was_worked_on() -> bool:
    """Whether something was sent before anything was sealed, which this release does only where it is told to."""
    return bool(fetch_one("SELECT EXISTS (SELECT FROM dispatch_payloads WHERE body IS NOT NULL)")[0])


def _has_hashes() -> bool:
    with connected():
        return any(
            fetch_one(f"SELECT EXISTS (SELECT FROM {table} WHERE {column} IS NOT NULL)")[0]
            for table, column in HASHED_COLUMNS
        )
