"""Which server and database the log is known on. A log that turns up elsewhere is a copy or a backup: what left after that
was taken is not in it, so nobody may send from it before a person has said what it is.

Owns the table `log_identity`; moves no dispatch.
"""

from __future__ import annotations

from typing import Any

from dispatchlog.engine.errors import FenceLost

_HERE = (
    "SELECT s.system_identifier::text, d.oid::bigint AS database_oid FROM pg_control_system() s, pg_database d"
    " WHERE d.datname = current_database()"
)
_KNOWN = (
    "SELECT i.system_identifier = h.system_identifier AND i.database_oid = h.database_oid"
    f" FROM log_identity i, ({_HERE}) h"
)
_CONFIRM = (
    f"INSERT INTO log_identity (system_identifier, database_oid, confirmed_by) SELECT h.*, %s FROM ({_HERE}) h"
    " ON CONFLICT (here)"
)


class LogElsewhere(FenceLost):
    """The log is on another server or in another database than the one where its workers know it."""

    code = "LOG_ELSEWHERE"


def require_known(cursor: Any, *, by: str) -> None:
    """Return if the log is where its workers know it; the first ever to ask says where that is.

    Raises:
        LogElsewhere: it was restored or copied, and nobody has said so yet.
    """
    cursor.execute(f"{_CONFIRM} DO NOTHING", (by,))
    cursor.execute(_KNOWN)
    if not cursor.fetchone()[0]:
        raise LogElsewhere(
            "this log comes from another server or database: run dispatchlog restored take-over after a backup"
            " was restored, or dispatchlog restored moved where nothing is missing in it; docs/backup.md says more"
        )


def is_elsewhere(cursor: Any) -> bool:
    """Whether workers know the log somewhere else, so that none starts; False too where none has ever started."""
    cursor.execute(_KNOWN)
    known = cursor.fetchone()
    return known is not None and not known[0]


def confirm_here(cursor: Any, *, by: str) -> bool:
    """From now on the log is known here; False: it was already."""
    cursor.execute(_KNOWN)
    known = cursor.fetchone()
    if known is not None and known[0]:
        return False
    cursor.execute(
        f"{_CONFIRM} DO UPDATE SET system_identifier = EXCLUDED.system_identifier, database_oid = EXCLUDED.database_oid,"
        " confirmed_at = clock_timestamp(), confirmed_by = EXCLUDED.confirmed_by",
        (by,),
    )
    return True
