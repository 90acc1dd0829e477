"""Seals what older releases wrote in plain columns, a batch at a time, beside everything that runs. Owns these statements.

It may be ended at any time and begun again: each batch is a transaction, and what is sealed is not looked at a second time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg2
import psycopg2.extras

from dispatchlog.engine.content import pack
from dispatchlog.engine.database import connect_arguments, fetch_one
from dispatchlog.engine.lanes import Letter
from dispatchlog.row_content import ERASED, PAYLOADS, SEALED, SealedColumn, SealedRow, hashed, literal

BATCH = 500
# A row that a worker holds in this moment is left for the next round.
_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Sealing:
    """What a table's plain rows are, and what one of them becomes.

    Attributes:
        column: where the sealed value goes.
        plain: SQL: which rows are plain.
        reads: the columns whose content is sealed.
        clears: these columns and what they hold afterwards.
        hashes: those of `reads` that hold a hash afterwards, and the hash of a value.
        seal: the sealed value of a row.
        lane: whose search keys have addresses, which are hashed; else "".
    """

    column: SealedColumn
    plain: str
    reads: Sequence[str]
    clears: Mapping[str, str | bytes | float | None]
    hashes: Sequence[tuple[str, Callable[[Any], Any]]]
    seal: Callable[[Mapping[str, Any]], bytes]
    lane: str = ""


def _payload(row: Mapping[str, Any]) -> bytes:
    letter = Letter(row["recipient"], bytes(row["body"]), headers=row["headers"])
    return PAYLOADS.seal_anyway(pack(letter), row["dispatch_id"])


def _says_something(column: SealedRow) -> list[str]:
    """A row that says nothing, or nothing any more, has nothing to seal."""
    return [
        f"({name} IS DISTINCT FROM {literal(nothing)} AND {name}::text IS DISTINCT FROM '{ERASED}')"
        for name, nothing in column.fields.items()
    ]


def _hashed_keys(keys: Sequence[str]) -> list[str]:
    return [hashed(key) if "@" in key else key for key in keys]


def _of_row(column: SealedRow) -> Sealing:
    return Sealing(
        column,
        f"{column.column} IS NULL AND ({' OR '.join(_says_something(column))})",
        (*column.fields, *(["search_keys"] if column.lane else [])),
        {name: nothing for name, nothing in column.fields.items() if name not in column.found_by},
        (
            *((name, partial(column.nothing_of, name)) for name in column.found_by),
            *([("search_keys", _hashed_keys)] if column.lane else []),
        ),
        lambda row: column.seal_fields({name: row[name] for name in column.fields}, row[column.owner]),
        column.lane,
    )


SEALINGS = (
    Sealing(
        PAYLOADS,
        "sealed IS NULL AND body IS NOT NULL",
        ("recipient", "headers", "body"),
        {"recipient": "", "headers": "{}", "body": None},
        (),
        _payload,
    ),
    *(_of_row(column) for column in SEALED if isinstance(column, SealedRow)),
)


def tables_with_plain_rows() -> list[str]:
    """Those that hold content which is not sealed; on this thread's connection."""
    return [
        each.column.table
        for each in SEALINGS
        if fetch_one(f"SELECT EXISTS (SELECT FROM {each.column.table} WHERE {each.plain})")[0]
    ]


def seal_rows(owner_url: str, *, batch: int = BATCH, told: Callable[[str, int], None]) -> dict[str, int]:
    """Seal all plain rows as the tables' owner; how many of each table. `told` hears of each batch: the table and how many
    so far.
    """
    done: dict[str, int] = {}
    with closing(psycopg2.connect(owner_url, **connect_arguments("", name="dispatchlog seal"))) as connection:
        for sealing in SEALINGS:
            done[sealing.column.table] = 0
            for _ in range(_ROUNDS):
                for number in _batches(connection, sealing, batch):
                    done[sealing.column.table] += number
                    told(sealing.column.table, done[sealing.column.table])
    return done


def _batches(connection: Any, sealing: Sealing, batch: int) -> Iterator[int]:
    """One walk over the plain rows in the order of their keys."""
    column = sealing.column
    keys = ", ".join(column.key)
    reads = ", ".join((*column.key, *sealing.reads))
    after: tuple[Any, ...] | None = None
    while True:
        beyond = f" AND ({keys}) > ({', '.join(['%s'] * len(column.key))})" if after is not None else ""
        with connection, connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as cursor:
            cursor.execute(
                f"SELECT {reads} FROM {column.table} WHERE {sealing.plain}{beyond} ORDER BY {keys} LIMIT %s"
                " FOR UPDATE SKIP LOCKED",
                (*(after or ()), batch),
            )
            rows = cursor.fetchall()
            if not rows:
                return
            _write(cursor, sealing, rows)
            after = tuple(rows[-1][name] for name in column.key)
        yield len(rows)


def _write(cursor: Any, sealing: Sealing, rows: Sequence[Mapping[str, Any]]) -> None:
    column = sealing.column
    names = (*column.key, column.column, *(name for name, _ in sealing.hashes))
    cleared = ", ".join(f"{name} = {literal(nothing)}" for name, nothing in sealing.clears.items())
    kept = "".join(f", {name} = v.{name}" for name, _ in sealing.hashes)
    psycopg2.extras.execute_values(
        cursor,
        f"UPDATE {column.table} t SET {column.column} = v.{column.column}, {cleared}{kept}"
        f" FROM (VALUES %s) v ({', '.join(names)}) WHERE {' AND '.join(f't.{name} = v.{name}' for name in column.key)}",
        [
            (
                *(row[name] for name in column.key),
                psycopg2.Binary(sealing.seal(row)),
                *(hash_of(row[name]) for name, hash_of in sealing.hashes),
            )
            for row in rows
        ],
        page_size=len(rows),
    )
    if sealing.lane:
        _replace_keys(cursor, sealing.lane, rows)


def _replace_keys(cursor: Any, lane: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """The same in what searches look through."""
    addresses = [(key.lower(), row["id"]) for row in rows for key in row["search_keys"] if "@" in key]
    for key, dispatch_id in addresses:
        found = (lane, dispatch_id)
        cursor.execute("DELETE FROM dispatch_search WHERE key = %s AND lane = %s AND dispatch_id = %s", (key, *found))
        cursor.execute(
            "INSERT INTO dispatch_search (key, lane, dispatch_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (hashed(key), *found),
        )
