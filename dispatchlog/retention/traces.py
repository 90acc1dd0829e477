"""Looking for a text in every column of every table, sealed ones too: the proof that an erasure left nothing."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import suppress

from dispatchlog.engine.database import fetch_all, fetch_one
from dispatchlog.keys.columns import SEALED_COLUMNS, SealedColumn
from dispatchlog.keys.errors import CannotUnsealError
from dispatchlog.row_content import digits_of, hashed
from dispatchlog.sealing import unseal_bytes

_COLUMNS = """
SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
  AND (a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype, 'bytea'::regtype)
       OR format_type(a.atttypid, NULL) LIKE '%%[]')
ORDER BY 1, a.attnum
"""
# A table is read so many pages at a time: sealed values are opened here, and not all of them fit.
_PAGES = 256
OPENED, SHUT = "{} (opened)", "{} (does not open)"


def find_traces(texts: Collection[str]) -> list[tuple[str, str, int]]:
    """Table, column and number of rows in which one of the texts stands, whatever its case. It reads everything there is.

    Bytes are read as text as far as they are text. Sealed values are opened, and their columns told as `column (opened)`;
    those that do not open as `column (does not open)`, for nobody knows what is in them. Where an address is looked for,
    its hash is too, but for that on the stop list.
    """
    wanted = [each for each in texts if each]
    return sorted([*_plain_traces(wanted), *_sealed_traces(wanted)])


def _plain_traces(wanted: Collection[str]) -> Iterator[tuple[str, str, int]]:
    hashes = {hashed(form) for each in wanted for form in (each, digits_of(each))}
    patterns = [f"%{_escaped(each)}%" for each in (*wanted, *sorted(hashes))]
    for table, column, kind in fetch_all(_COLUMNS):
        text = f"encode(\"{column}\", 'escape')" if kind == "bytea" else f'"{column}"::text'
        count = fetch_one(f"SELECT count(*) FROM {table} WHERE {text} ILIKE ANY (%s)", (patterns,))[0]
        if count:
            yield table, column, int(count)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _sealed_traces(wanted: Collection[str]) -> Iterator[tuple[str, str, int]]:
    lower = [each.lower() for each in wanted]
    for column in SEALED_COLUMNS:
        found = shut = 0
        for sealed, owner in _values(column):
            try:
                plain = unseal_bytes(bytes(sealed), purpose=column.purpose, owner=owner)
            except CannotUnsealError:
                shut += 1
                continue
            text = "\n".join(_texts(plain)).lower()
            found += any(each in text for each in lower)
        yield from (
            (column.table, words.format(column.column), count)
            for words, count in ((OPENED, found), (SHUT, shut))
            if count
        )


def _texts(plain: bytes) -> Iterator[str]:
    """What is sealed is a text, or a line of JSON and perhaps bytes after it."""
    yield plain.decode(errors="replace")
    with suppress(ValueError):
        yield from _strings(json.loads(plain.partition(b"\n")[0]))


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, str):
        yield value
        with suppress(UnicodeError):  # bytes are sealed one by one, as letters
            yield value.encode("latin-1").decode()


def _values(column: SealedColumn) -> Iterator[tuple[bytes, str]]:
    pages = fetch_one("SELECT pg_relation_size(%s::regclass) / current_setting('block_size')::int", (column.table,))[0]
    for first in range(0, pages, _PAGES):
        yield from fetch_all(
            f"SELECT {column.column}, ({column.owner})::text FROM {column.table}"
            f" WHERE {column.column} IS NOT NULL AND ctid >= '({first},0)' AND ctid < '({first + _PAGES},0)'"
        )
