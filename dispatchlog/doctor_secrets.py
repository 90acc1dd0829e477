"""The thorough part of an examination that looks at secrets: is the key long enough, and does it open what is stored?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dispatchlog.doctor import Check, State
from dispatchlog.engine.database import fetch_all
from dispatchlog.keys.columns import SealedColumn, by_table
from dispatchlog.keys.resealing import Table, table_of
from dispatchlog.sealing import CannotUnsealError, unseal_bytes
from dispatchlog.settings import Settings

LEAST_KEY = 32
# From either end of a table by its primary key: a key that was changed shows in what was sealed before.
_SAMPLE = 50
_ENDS = """
(SELECT {names} FROM {table} t ORDER BY {up} LIMIT {count})
UNION (SELECT {names} FROM {table} t ORDER BY {down} LIMIT {count})
"""


@dataclass(frozen=True, slots=True)
class _Value:
    """A sealed value: the primary key of its row, the value, its column, and whom it is bound to."""

    row: str
    sealed: bytes
    column: SealedColumn
    owner: str


def examine_secrets(settings: Settings) -> Iterator[Check]:
    """Whether the secret key is one, and whether what is sealed opens; to be called with a connection."""
    length = len(settings.secret_key.get_secret_value())
    state: State = "ok" if length >= LEAST_KEY else "failed" if settings.environment == "production" else "warning"
    what_next = "" if state == "ok" else f"use at least {LEAST_KEY} random characters"
    yield Check("secret key", state, f"{length} characters", what_next)
    tables = [table_of(name, columns) for name, columns in by_table().items()]
    looked_at = {table.name: _sample(table) for table in tables}
    closed = {name: [each.row for each in values if not _is_open(each)] for name, values in looked_at.items()}
    wrong = [_closed(name, found, len(looked_at[name])) for name, found in closed.items() if found]
    number = sum(map(len, looked_at.values()))
    yield from wrong or [Check("sealed", "ok", f"{number} values of {len(tables)} tables looked at, all open")]


def _closed(table: str, found: list[str], of: int) -> Check:
    words = f"{table}: {len(found)} of {of} cannot be opened, such as that of {found[0]}"
    what_next = "set DISPATCHLOG_SECRET_KEY or DISPATCHLOG_OLD_SECRET_KEYS to what it was when they were sealed"
    return Check("sealed", "failed", words, what_next)


def _sample(table: Table) -> list[_Value]:
    names = ", ".join([table.key_names, *(f"t.{each.column}, (t.{each.owner})::text" for each in table.columns)])
    down = ", ".join(f"{name} DESC" for name in table.key_names.split(", "))
    sql = _ENDS.format(names=names, table=table.name, up=table.key_names, down=down, count=_SAMPLE)
    found = []
    for row in fetch_all(sql):
        where, values = ", ".join(map(str, row[: len(table.key)])), row[len(table.key) :]
        for column, sealed, owner in zip(table.columns, values[::2], values[1::2], strict=True):
            if sealed is not None:
                found.append(_Value(where, bytes(sealed), column, owner))
    return found


def _is_open(value: _Value) -> bool:
    try:
        unseal_bytes(value.sealed, purpose=value.column.purpose, owner=value.owner)
    except CannotUnsealError:
        return False
    return True
