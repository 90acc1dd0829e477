"""What moved in the dispatch log since the last look, and what else a page shows. Owns their SQL; `table_tail` reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dashboard.table_tail import Source, TableTail
from dispatchlog.engine.database import fetch_all, fetch_one

# More moves than this between two looks are not told one by one: everything is to be read anew.
MOST_MOVES = 2_000

_COLUMNS = "t.id, t.lane, t.dispatch_id::text, CASE WHEN t.in_doubt THEN 'IN_DOUBT' ELSE t.to_status END"
_NEWER = f"SELECT {_COLUMNS} FROM dispatch_transitions t WHERE t.id > %s ORDER BY t.id LIMIT %s"
_LAST_ID = "SELECT coalesce(max(id), 0) FROM dispatch_transitions"
# What else a page shows and no move tells of: pauses and alerts. Each has an index for it.
_AROUND = (
    "SELECT (SELECT coalesce(max(id), 0) FROM dispatch_holds),"
    " (SELECT count(*) FROM dispatch_holds WHERE released_at IS NULL),"
    " (SELECT coalesce(max(id), 0) FROM dispatch_alerts),"
    " (SELECT count(*) FROM dispatch_alerts WHERE over_at IS NULL)"
)
# Whose session is neither over nor signed out, and what they may.
_OPEN = """
SELECT s.id_hash, u.id, ARRAY(SELECT DISTINCT unnest(r.permissions)
                              FROM staff_user_roles h JOIN staff_roles r ON r.id = h.role_id WHERE h.user_id = u.id)
FROM web_sessions s JOIN staff_users u ON u.id = s.user_id
WHERE s.id_hash = ANY (%s) AND u.active AND s.last_seen_at > now() - %s AND s.created_at > now() - %s
"""
_MAY_READ = """
    AND EXISTS (SELECT FROM staff_user_roles h JOIN staff_roles r ON r.id = h.role_id
                WHERE h.user_id = u.id AND 'read' = ANY (r.permissions))
"""
# As long as somebody has to choose a password, or to set up a second factor, nothing else is open to them. Whoever is a
# patient and nothing else need not have one (`dashboard.sign_in` says the same of pages).
_FULLY_SIGNED_IN = """
    AND u.password_chosen_at IS NOT NULL
    AND (NOT %s OR EXISTS (SELECT FROM staff_second_factors f WHERE f.user_id = u.id)
        OR ARRAY(SELECT r.name::text FROM staff_user_roles h JOIN staff_roles r ON r.id = h.role_id
                 WHERE h.user_id = u.id) = ARRAY['patient'])
"""


@dataclass(frozen=True, slots=True)
class Moved:
    """One move, without anything personal: its number, the lane, the dispatch and where that is now."""

    id: int
    lane: str
    dispatch_id: str
    status: str


@dataclass(frozen=True, slots=True)
class News:
    """What one look found. `everything`: more than can be told; every page is to be read anew."""

    moves: Sequence[Moved] = ()
    everything: bool = False

    def __bool__(self) -> bool:
        return bool(self.moves) or self.everything


@dataclass(frozen=True, slots=True)
class LetIn:
    """Whose session it is, and what they may."""

    user_id: int
    permissions: frozenset[str]


def _tail() -> TableTail[Moved]:
    return TableTail(Source("dispatch_transitions", _COLUMNS, Moved))


@dataclass(slots=True)
class Tail:
    """Reads on from wherever it begins. Its cursor is in autocommit, so that each query sees what is committed by then."""

    _moves: TableTail[Moved] = field(default_factory=_tail)
    _around: tuple[Any, ...] = ()

    @property
    def position(self) -> int:
        """Everything up to this id was told; -1 before the first look."""
        return self._moves.position

    def look(self, cursor: Any) -> News:
        """What became visible since the last look, each move once; the first look only begins.

        Raises:
            psycopg2.Error: PostgreSQL did not answer; begin anew with another Tail and tell everybody to read everything.
        """
        begins = self.position < 0
        found = self._moves.look(cursor, MOST_MOVES)
        around = self._something_around(cursor)
        return News() if begins else News(found.rows, found.everything or around)

    def _something_around(self, cursor: Any) -> bool:
        cursor.execute(_AROUND)
        was, self._around = self._around, cursor.fetchone()
        return self._around != was


def moves_since(position: int) -> News:
    """What was committed with a larger id than `position`, for a page that was away for a moment."""
    if fetch_one(_LAST_ID)[0] < position:
        return News(everything=True)  # another database than it knew
    rows = fetch_all(_NEWER, (position, MOST_MOVES + 1))
    return News(everything=True) if len(rows) > MOST_MOVES else News([Moved(*row) for row in rows])


def still_open(
    cursor: Any, sessions: Iterable[bytes], *, idle: timedelta, absolute: timedelta
) -> dict[bytes, frozenset[str]]:
    """Those of these sessions (by the hash of their id) that have not ended, with the permissions of whoever may still read
    in them.
    """
    cursor.execute(_OPEN + _MAY_READ, (list(sessions), idle, absolute))
    return {bytes(session): frozenset(permissions) for session, _, permissions in cursor.fetchall()}


def still_let_in(
    cursor: Any, sessions: Iterable[bytes], *, idle: timedelta, absolute: timedelta, second_factor: bool
) -> dict[bytes, LetIn]:
    """Whose they are and what they may, of those sessions that have not ended and that lead past the choice of a password
    and, where it is mandatory, a second factor.
    """
    cursor.execute(_OPEN + _FULLY_SIGNED_IN, (list(sessions), idle, absolute, second_factor))
    return {
        bytes(id_hash): LetIn(user_id, frozenset(permissions)) for id_hash, user_id, permissions in cursor.fetchall()
    }
