"""What moved in the dispatch log since the last look. Owns the reading of `dispatch_transitions` as it grows, and its SQL.

Ids are given out when a row is written and become visible when its transaction commits, so a smaller id may appear after a
larger one. Every writer holds a lock on the table from before its first id until its end, and `pg_locks` shows it. So an id
that is missing below the largest one seen is looked for until everybody who may have it has ended; then it never comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dispatchlog.engine.database import fetch_all, fetch_one
from dispatchlog.engine.move_counts import TRANSITION_WRITERS

# More moves than this between two looks, or more holes, are not told one by one: everything is to be read anew.
MOST_MOVES = 2_000
MOST_HOLES = 500

_COLUMNS = "t.id, t.lane, t.dispatch_id::text, CASE WHEN t.in_doubt THEN 'IN_DOUBT' ELSE t.to_status END"
_NEWER = f"SELECT {_COLUMNS} FROM dispatch_transitions t WHERE t.id > %s ORDER BY t.id LIMIT %s"
_IN_HOLES = (
    "SELECT m.* FROM unnest(%s::bigint[], %s::bigint[]) h(first, last) CROSS JOIN LATERAL"
    f" (SELECT {_COLUMNS} FROM dispatch_transitions t WHERE t.id BETWEEN h.first AND h.last) m ORDER BY 1"
)
_LAST_ID = "SELECT coalesce(max(id), 0) FROM dispatch_transitions"
# What else a page shows and no move tells of: pauses and alerts. Each has an index for it.
_AROUND = (
    "SELECT (SELECT coalesce(max(id), 0) FROM dispatch_holds),"
    " (SELECT count(*) FROM dispatch_holds WHERE released_at IS NULL),"
    " (SELECT coalesce(max(id), 0) FROM dispatch_alerts),"
    " (SELECT count(*) FROM dispatch_alerts WHERE over_at IS NULL)"
)
# Whose session is neither over nor signed out, and who may still read.
_STILL_OPEN = """
SELECT s.id_hash FROM web_sessions s JOIN staff_users u ON u.id = s.user_id
WHERE s.id_hash = ANY (%s) AND u.active AND s.last_seen_at > now() - %s AND s.created_at > now() - %s
    AND EXISTS (SELECT FROM staff_user_roles h JOIN staff_roles r ON r.id = h.role_id
                WHERE h.user_id = u.id AND 'read' = ANY (r.permissions))
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


@dataclass(slots=True)
class _Hole:
    """Ids that are missing; `writers` may still bring them, None: who that is, is asked at the next look."""

    first: int
    last: int
    writers: set[str] | None = None


@dataclass(slots=True)
class Tail:
    """Reads on from wherever it begins. Its cursor is in autocommit, so that each query sees what is committed by then."""

    _last: int = -1
    _around: tuple[Any, ...] = ()
    _holes: list[_Hole] = field(default_factory=list)
    # Whoever was writing when it began: their smaller ids have no hole that shows them.
    _unseen: set[str] | None = None

    @property
    def position(self) -> int:
        """Everything up to this id was told; -1 before the first look."""
        return min((hole.first - 1 for hole in self._holes), default=self._last)

    def look(self, cursor: Any) -> News:
        """What became visible since the last look, each move once; the first look only begins.

        Raises:
            psycopg2.Error: PostgreSQL did not answer; begin anew with another Tail and tell everybody to read everything.
        """
        if self._last < 0:
            self._begin(cursor)
            return News()
        # Before the reading: whoever is not in it has ended, and what they committed is read below.
        cursor.execute(TRANSITION_WRITERS)
        writers = {row[0] for row in cursor.fetchall()}
        everything = self._who_ended(writers)
        moves = self._fill_holes(cursor, writers)
        cursor.execute(_NEWER, (self._last, MOST_MOVES + 1))
        newer = [Moved(*row) for row in cursor.fetchall()]
        self._note_holes(newer)
        if len(newer) > MOST_MOVES or len(self._holes) > MOST_HOLES:
            self._begin(cursor)
            return News(everything=True)
        return News(moves + newer, everything or self._something_around(cursor))

    def _begin(self, cursor: Any) -> None:
        cursor.execute(_LAST_ID)
        self._last = cursor.fetchone()[0]
        self._holes, self._unseen = [], None
        cursor.execute(_AROUND)
        self._around = cursor.fetchone()

    def _who_ended(self, writers: set[str]) -> bool:
        """Whether one of those who wrote when it began has ended: what they wrote cannot be told apart from older rows."""
        if self._unseen is None:
            # One that ended between the beginning and now is not known either, so all that is there now is read anew.
            self._unseen = writers
            return True
        left = self._unseen & writers
        ended = left != self._unseen
        self._unseen = left
        return ended

    def _fill_holes(self, cursor: Any, writers: set[str]) -> list[Moved]:
        if not self._holes:
            return []
        for hole in self._holes:
            hole.writers = set(writers) if hole.writers is None else hole.writers & writers
        cursor.execute(_IN_HOLES, ([hole.first for hole in self._holes], [hole.last for hole in self._holes]))
        found = [Moved(*row) for row in cursor.fetchall()]
        there = {move.id for move in found}
        self._holes = [part for hole in self._holes if hole.writers for part in _without(hole, there)]
        return found

    def _note_holes(self, newer: Iterable[Moved]) -> None:
        for move in newer:
            if move.id > self._last + 1:
                self._holes.append(_Hole(self._last + 1, move.id - 1))
            self._last = move.id

    def _something_around(self, cursor: Any) -> bool:
        cursor.execute(_AROUND)
        was, self._around = self._around, cursor.fetchone()
        return self._around != was


def _without(hole: _Hole, there: set[int]) -> list[_Hole]:
    """What of the hole is left when these ids have come."""
    inside = sorted(number for number in there if hole.first <= number <= hole.last)
    parts, first = [], hole.first
    for number in [*inside, hole.last + 1]:
        if number > first:
            parts.append(_Hole(first, number - 1, hole.writers))
        first = number + 1
    return parts


def moves_since(position: int) -> News:
    """What was committed with a larger id than `position`, for a page that was away for a moment."""
    if fetch_one(_LAST_ID)[0] < position:
        return News(everything=True)  # another database than it knew
    rows = fetch_all(_NEWER, (position, MOST_MOVES + 1))
    return News(everything=True) if len(rows) > MOST_MOVES else News([Moved(*row) for row in rows])


def still_open(cursor: Any, sessions: Iterable[bytes], *, idle: timedelta, absolute: timedelta) -> set[bytes]:
    """Those of these sessions (by the hash of their id) that have not ended."""
    cursor.execute(_STILL_OPEN, (list(sessions), idle, absolute))
    return {bytes(row[0]) for row in cursor.fetchall()}
