"""Sealing the rows of one table anew under another data key, a batch at a time. Owns their sealed columns' bytes.

A row that somebody else has locked is left for another round, so nobody waits for this and this waits for nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from psycopg2.extras import execute_values

from dispatchlog.engine.database import connected, database, fetch_all, fetch_one, transaction
from dispatchlog.keys.columns import SealedColumn
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.keys.formats import HEADER_BYTES, header_of, key_id_of, open_first, open_under, seal_under
from dispatchlog.keys.ring import DataKey, rings
from dispatchlog.keys.secret_keys import secret_keys

_PRIMARY_KEY = """
SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_index i
CROSS JOIN unnest(i.indkey::int[]) WITH ORDINALITY k(number, place)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
WHERE i.indrelid = %s::regclass AND i.indisprimary ORDER BY k.place
"""
# Whoever supersedes it waits until the batch is committed.
_IN_FORCE = "SELECT id FROM data_keys WHERE id = %s AND superseded_at IS NULL FOR SHARE"


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its sealed columns, and its primary key with the types of its parts."""

    name: str
    columns: tuple[SealedColumn, ...]
    key: tuple[tuple[str, str], ...]

    @property
    def key_names(self) -> str:
        return ", ".join(f"t.{name}" for name, _ in self.key)

    @property
    def is_old(self) -> str:
        """SQL: whether a row has a value that is not under the key whose header is the parameter `header`."""
        return " OR ".join(f"substring({each.column} FROM 1 FOR {HEADER_BYTES}) <> %(header)s" for each in self.columns)


@dataclass(slots=True)
class Batch:
    """What became of some rows: values sealed anew, and the names of those that cannot be read."""

    resealed: int = 0
    unreadable: list[str] = field(default_factory=list)


def table_of(name: str, columns: tuple[SealedColumn, ...]) -> Table:
    """The table as the database has it."""
    with connected():
        return Table(name, columns, tuple((str(part), str(kind)) for part, kind in fetch_all(_PRIMARY_KEY, (name,))))


def left_in(table: Table, key: DataKey) -> int:
    """How many values are not under the key."""
    each = " + ".join(
        f"count(*) FILTER (WHERE substring({column.column} FROM 1 FOR {HEADER_BYTES}) <> %(header)s)"
        for column in table.columns
    )
    with connected():
        return int(fetch_one(f"SELECT {each} FROM {table.name}", {"header": header_of(key.id)})[0])


def reseal_all(table: Table, key: DataKey, *, batch: int) -> Iterator[Batch]:
    """Go through the table in the order of its primary key, a transaction per batch; what nobody has locked. It ends early
    once another key is in force: nothing may come under a superseded one, which may be retired.
    """
    last: Sequence[Any] = ()
    while True:
        with transaction("keys", "sealed anew"):
            if not fetch_all(_IN_FORCE, (key.id,)):
                return
            rows = _take(table, key, after=last, batch=batch)
            done = _reseal(table, key, rows)
        if not rows:
            return
        yield done
        last = rows[-1][: len(table.key)]


def _take(table: Table, key: DataKey, *, after: Sequence[Any], batch: int) -> list[tuple[Any, ...]]:
    values = ", ".join(f"{each.column}, ({each.owner})::text" for each in table.columns)
    beyond = ", ".join(f"%(k{number})s::{kind}" for number, (_, kind) in enumerate(table.key))
    further = f" AND ({table.key_names}) > ({beyond})" if after else ""
    return fetch_all(
        f"SELECT {table.key_names}, {values} FROM {table.name} t WHERE ({table.is_old}){further}"
        f" ORDER BY {table.key_names} LIMIT %(batch)s FOR NO KEY UPDATE SKIP LOCKED",
        {"header": header_of(key.id), "batch": batch, **{f"k{number}": part for number, part in enumerate(after)}},
    )


def _reseal(table: Table, key: DataKey, rows: Sequence[tuple[Any, ...]]) -> Batch:
    done, changed = Batch(), []
    for row in rows:
        parts, values = row[: len(table.key)], row[len(table.key) :]
        sealed = [
            None if old is None else _under(key, bytes(old), column, owner)
            for column, old, owner in zip(table.columns, values[::2], values[1::2], strict=True)
        ]
        lost = [n for n, old in enumerate(values[::2]) if old is not None and sealed[n] is None]
        done.unreadable += [f"{table.columns[n].name} of {', '.join(map(str, parts))}" for n in lost]
        done.resealed += sum(new is not None and new != bytes(values[2 * n]) for n, new in enumerate(sealed))
        # Nothing for what stays as it is: empty, or not to be read.
        changed.append((*parts, *sealed))
    _store(table, changed)
    return done


def _under(key: DataKey, sealed: bytes, column: SealedColumn, owner: str) -> bytes | None:
    """The value under the key; itself where it is already, None where it cannot be read."""
    found = key_id_of(sealed)
    if found == key.id and sealed[:HEADER_BYTES] == header_of(key.id):
        return sealed
    plain = _plain(found, sealed, column, owner)
    return None if plain is None else seal_under(key.id, key.open(), plain, purpose=column.purpose, owner=owner)


def _plain(found: int | None, sealed: bytes, column: SealedColumn, owner: str) -> bytes | None:
    """Under whatever key it is, a retired one too: nothing that was sealed late is lost."""
    earlier = rings.current().keys.get(found) if found is not None else None
    if earlier is not None:
        try:
            plain = open_under(earlier.open(), sealed, purpose=column.purpose, owner=owner)
        except CannotUnsealError:
            plain = None
        if plain is not None:
            return plain
    return open_first(sealed, purpose=column.purpose, owner=owner, among=secret_keys())


def _store(table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    if not rows:
        return
    names = [each.column for each in table.columns]
    sets = ", ".join(f"{name} = coalesce(v.{name}, t.{name})" for name in names)
    same = " AND ".join(f"t.{name} = v.k{number}" for number, (name, _) in enumerate(table.key))
    keys = [f"k{number}" for number in range(len(table.key))]
    template = ", ".join([*(f"%s::{kind}" for _, kind in table.key), *("%s::bytea" for _ in names)])
    with database.connection().cursor() as cursor:
        execute_values(
            cursor,
            f"UPDATE {table.name} t SET {sets} FROM (VALUES %s) v ({', '.join([*keys, *names])}) WHERE {same}",
            rows,
            template=f"({template})",
            page_size=1000,
        )
