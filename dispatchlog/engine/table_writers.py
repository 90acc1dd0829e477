"""Who writes to a table just now, and may yet commit a smaller id than the largest one that is seen.

Ids are given out when a row is written and become visible when its transaction commits. Every writer holds a lock on the
table from before its first id until its end, and `pg_locks` shows it; a prepared transaction too, which has no process.
"""

from __future__ import annotations

from typing import Final

from dispatchlog.engine.database import fetch_all

TABLE_WRITERS: Final = """
SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
    AND relation = %s::regclass AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def writers_of(table: str) -> set[str]:
    """Everybody else who may yet commit a row of the table."""
    return {row[0] for row in fetch_all(TABLE_WRITERS, (table,))}
