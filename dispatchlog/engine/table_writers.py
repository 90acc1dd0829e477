"""Who writes to a table just now, and may yet commit a smaller id than the largest one that is seen.

Ids are given out when a row is written and become visible when its transaction commits. Every writer holds a lock on the
table from before its first id until its end, and `pg_locks` shows it; a prepared transaction too, which has no process.
"""

from __future__ import annotations

import time
from typing import Final

from dispatchlog.engine.database import fetch_all
from dispatchlog.engine.deadline import boottime

TABLE_WRITERS: Final = """
SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
    AND relation = %s::regclass AND pid IS DISTINCT FROM pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def writers_of(table: str) -> set[str]:
    """Everybody else who may yet commit a row of the table."""
    return {row[0] for row in fetch_all(TABLE_WRITERS, (table,))}


def writers_ended(table: str, *, patience_seconds: float) -> bool:
    """Wait until all who write `table` now, and so may have a smaller id than the newest one seen, have ended; False where
    they took longer than that.
    """
    gives_up = boottime() + patience_seconds
    waited_for = writers_of(table)
    while waited_for:
        if boottime() > gives_up:
            return False
        time.sleep(0.02)
        waited_for &= writers_of(table)
    return True
