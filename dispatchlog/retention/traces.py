"""Looking for a text in every column of every table: the proof that an erasure left nothing. Changes nothing."""

from __future__ import annotations

from collections.abc import Collection

from dispatchlog.engine.database import fetch_all, fetch_one

_COLUMNS = """
SELECT a.attrelid::regclass::text, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
  AND (a.atttypid IN ('text'::regtype, 'varchar'::regtype, 'json'::regtype, 'jsonb'::regtype, 'bytea'::regtype)
       OR format_type(a.atttypid, NULL) LIKE '%%[]')
ORDER BY 1, a.attnum
"""


def find_traces(texts: Collection[str]) -> list[tuple[str, str, int]]:
    """Table, column and number of rows in which one of the texts stands, whatever its case. It reads everything there is.

    Bytes are read as text as far as they are text, so what is sealed shows nothing.
    """
    wanted = [f"%{_plain(each)}%" for each in texts if each]
    found = []
    for table, column, kind in fetch_all(_COLUMNS):
        text = f"encode({column}, 'escape')" if kind == "bytea" else f"{column}::text"
        count = fetch_one(
            f"SELECT count(*) FROM {table} WHERE {text.replace(column, chr(34) + column + chr(34))} ILIKE ANY (%s)",
            (wanted,),
        )[0]
        if count:
            found.append((table, column, int(count)))
    return found


def _plain(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
