"""Waiting for everybody who writes a table just now, so that no smaller id can still appear. Reads locks; takes none."""

from __future__ import annotations

import time

from dispatchlog.engine.database import fetch_all
from dispatchlog.engine.deadline import boottime

# Everybody who may yet commit a row: a writer holds this lock from before its first id until its end.
_WRITERS = """
SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'
    AND relation = %s::regclass AND pid <> pg_backend_pid()
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def writers_ended(table: str, *, patience_seconds: float) -> bool:
    """Wait until all who write `table` now, and so may have a smaller id than the newest one seen, have ended; False where
    they took longer than that.
    """
    gives_up = boottime() + patience_seconds
    waited_for = _writers(table)
    while waited_for:
        if boottime() > gives_up:
            return False
        time.sleep(0.02)
        waited_for &= _writers(table)
    return True


def _writers(table: str) -> set[str]:
    return {row[0] for row in fetch_all(_WRITERS, (table,))}
