"""Which keys there are and what is sealed under them. Reads only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dispatchlog.engine.database import connected, fetch_all, fetch_dicts
from dispatchlog.keys.columns import SEALED_COLUMNS
from dispatchlog.keys.formats import HEADER_BYTES, TAG_BYTES
from dispatchlog.keys.secret_keys import NONCE_BYTES, secret_keys, unwrap, wrapper

# Stands for no data key: what was sealed before there were any.
OLD_FORMAT = 0
_KEY_ID = "('x' || encode(substring({0.column} FROM 2 FOR 4), 'hex'))::bit(32)::bigint"
_UNDER = f"""
SELECT CASE WHEN octet_length({{0.column}}) < {HEADER_BYTES + NONCE_BYTES + TAG_BYTES} THEN 0
    WHEN get_byte({{0.column}}, 0) <> 2 THEN 0
    WHEN {_KEY_ID} = ANY (%(ids)s) THEN {_KEY_ID} ELSE 0 END, count(*)
FROM {{0.table}} WHERE {{0.column}} IS NOT NULL GROUP BY 1 ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class KeyLine:
    """A data key as a person reads of it; `wrapped_by` names a secret key of this process, "" where none opens it."""

    id: int
    purpose: str
    state: str
    created_at: datetime
    wrapped_by: str


@dataclass(frozen=True, slots=True)
class Standing:
    """The keys, and how many values of each sealed column are under which of them (`OLD_FORMAT`: under none)."""

    keys: tuple[KeyLine, ...]
    values: Mapping[str, Mapping[int, int]]

    @property
    def in_old_format(self) -> int:
        return sum(found.get(OLD_FORMAT, 0) for found in self.values.values())

    @property
    def locked(self) -> list[KeyLine]:
        """Those that open with none of this process's secret keys."""
        return [key for key in self.keys if not key.wrapped_by]

    @property
    def wrapped_by_old(self) -> list[KeyLine]:
        """Those that an old secret key wraps."""
        return [key for key in self.keys if key.wrapped_by not in ("", secret_keys()[0].name)]

    @property
    def unused(self) -> list[str]:
        """The old secret keys that wrap no data key; they may still verify links, and open the old format."""
        wrapping = {key.wrapped_by for key in self.keys}
        return [each.name for each in secret_keys()[1:] if each.name not in wrapping]


def look() -> Standing:
    """The keys and every sealed value, counted."""
    return Standing(key_lines(), values_under())


def key_lines() -> tuple[KeyLine, ...]:
    """Every data key."""
    with connected():
        rows = fetch_dicts("SELECT * FROM data_keys ORDER BY id")
    return tuple(_line(row) for row in rows)


def values_under() -> dict[str, dict[int, int]]:
    """How many values of each sealed column are under which data key."""
    with connected():
        ids = [key_id for (key_id,) in fetch_all("SELECT id FROM data_keys")]
        return {column.name: dict(fetch_all(_UNDER.format(column), {"ids": ids})) for column in SEALED_COLUMNS}


def _line(row: Mapping[str, Any]) -> KeyLine:
    return KeyLine(row["id"], row["purpose"], _state(row), row["created_at"], _wrapped_by(row))


def _wrapped_by(row: Mapping[str, Any]) -> str:
    wrapped, check = bytes(row["wrapped"]), bytes(row["key_check"])
    by = wrapper(check, secret_keys())
    if by is None or unwrap(wrapped, check, key_id=row["id"], purpose=row["purpose"], among=[by]) is None:
        return ""
    return by.name


def _state(row: Mapping[str, Any]) -> str:
    if row["retired_at"] is not None:
        return "retired"
    return "in force" if row["superseded_at"] is None else "superseded"
