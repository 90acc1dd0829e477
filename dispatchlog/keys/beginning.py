"""A database's first data keys. Owns making them, once; what was sealed and hashed before there were any stays of use."""

from __future__ import annotations

import os

from dispatchlog.engine.database import execute, fetch_all, fetch_one, transaction
from dispatchlog.keys.columns import HASHED_COLUMNS, SEALED_COLUMNS
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.formats import TAG_BYTES, open_first
from dispatchlog.keys.secret_keys import (
    FIND,
    KEY_BYTES,
    NONCE_BYTES,
    SEAL,
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

    Hashes that exist were made under the secret key, so its root becomes the key of 'find'; a database without any gets
    a random one.

    Raises:
        CannotUnsealError: things were sealed under a secret key, and it is none of this process's; whoever has lost it
            says `although_unreadable`.
    """
    with transaction("keys", "first data keys"):
        take_turns()
        there = {purpose for (purpose,) in fetch_all("SELECT DISTINCT purpose FROM data_keys")}
        if FIND not in there:
            insert_key(FIND, _root_of_hashes(although_unreadable=although_unreadable) or os.urandom(KEY_BYTES))
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


def _root_of_hashes(*, although_unreadable: bool) -> bytes | None:
    """The root under which hashes were made before there were data keys; None where there are none."""
    samples = [(each, *row) for each in SEALED_COLUMNS for row in fetch_all(_SAMPLE.format(each), (_TRIED,))]
    for column, sealed, owner in samples:
        for secret_key in secret_keys():
            if open_first(bytes(sealed), purpose=column.purpose, owner=owner, among=(secret_key,)) is not None:
                return root_of(secret_key.text)
    if samples and not although_unreadable:
        raise CannotUnsealError(
            "there are no data keys yet, and what was sealed before opens with none of the secret keys: set"
            " DISPATCHLOG_SECRET_KEY to the one that was in force, or name it in DISPATCHLOG_OLD_SECRET_KEYS"
        )
    return root_of(secret_keys()[0].text) if samples or _has_hashes() else None


def _has_hashes() -> bool:
    return any(
        fetch_one(f"SELECT EXISTS (SELECT FROM {table} WHERE {column} IS NOT NULL)")[0]
        for table, column in HASHED_COLUMNS
    )
