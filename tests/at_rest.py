"""What somebody finds who has a copy of the database and no key. Owns the search through every column of every table."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from typing import Any

import psycopg2

from dispatchlog.row_content import SEALED, SealedRow

_COLUMNS = """
SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
    AND a.atttypid::regtype::text IN ('text', 'character varying', 'jsonb', 'json', 'bytea', 'text[]')
ORDER BY 1, 2
"""


_ROWS = {column.table: column for column in SEALED if isinstance(column, SealedRow)}


def opened_rows(table: str, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of a table as they were before they were sealed."""
    return [dict(_ROWS[table].opened(row)) if table in _ROWS else row for row in rows]


def columns_with(database_url: str, canaries: Iterable[str]) -> dict[str, set[str]]:
    """Which of these texts stand in which column (`table.column`), as they are or as bytes, whatever their case."""
    found: dict[str, set[str]] = {}
    wanted = {canary: (canary.lower(), canary.encode().hex()) for canary in canaries}
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(_COLUMNS)
        columns = cursor.fetchall()
        assert len(columns) > 200, "the search sees the tables"
        for table, column in columns:
            cursor.execute(f'SELECT lower("{column}"::text) FROM "{table}" WHERE "{column}" IS NOT NULL')
            texts = "\n".join(text for (text,) in cursor.fetchall())
            there = {canary for canary, forms in wanted.items() if any(form in texts for form in forms)}
            if there:
                found[f"{table}.{column}"] = there
    return found
