"""What is new in a table of numbered rows since the last look. Owns how such a table is read while others write to it.

Ids are given out when a row is written and become visible when its transaction commits, so a smaller id may appear after a
larger one. Every writer holds a lock on the table from before its first id until its end, and `pg_locks` shows it. So an id
that is missing below the largest one seen is looked for until everybody who may have it has ended; then it never comes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from dispatchlog.engine.table_writers import TABLE_WRITERS

# More holes than this are not looked for one by one: everything is to be read anew.
MOST_HOLES = 500


class Numbered(Protocol):
    """A row as it is told."""

    @property
    def id(self) -> int: ...


Row = TypeVar("Row", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Source(Generic[Row]):
    """A table whose `id` is an identity, which of its columns are told (of `t`, the id first), and as what."""

    table: str
    columns: str
    make: Callable[..., Row]

    def newer(self, cursor: Any, after: int, most: int) -> list[Row]:
        """The first `most` rows with a larger id."""
        cursor.execute(
            f"SELECT {self.columns} FROM {self.table} t WHERE t.id > %s ORDER BY t.id LIMIT %s", (after, most)
        )
        return [self.make(*row) for row in cursor.fetchall()]

    def between(self, cursor: Any, spans: Sequence[tuple[int, int]]) -> list[Row]:
        """The rows with an id in one of the spans."""
        if not spans:
            return []
        cursor.execute(
            "SELECT m.* FROM unnest(%s::bigint[], %s::bigint[]) h(first, last) CROSS JOIN LATERAL"
            f" (SELECT {self.columns} FROM {self.table} t WHERE t.id BETWEEN h.first AND h.last) m ORDER BY 1",
            ([first for first, _ in spans], [last for _, last in spans]),
        )
        return [self.make(*row) for row in cursor.fetchall()]

    def last_id(self, cursor: Any) -> int:
        cursor.execute(f"SELECT coalesce(max(id), 0) FROM {self.table}")
        return int(cursor.fetchone()[0])

    def writers(self, cursor: Any) -> set[str]:
        """Everybody who may yet commit a row."""
        cursor.execute(TABLE_WRITERS, (self.table,))
        return {row[0] for row in cursor.fetchall()}


@dataclass(frozen=True, slots=True)
class Look(Generic[Row]):
    """What one look found. `everything`: more than can be told; whatever was read before is to be read anew."""

    rows: Sequence[Row] = ()
    everything: bool = False


@dataclass(slots=True)
class _Hole:
    """Ids that are missing; `writers` may still bring them, None: who that is, is asked at the next look."""

    first: int
    last: int
    writers: set[str] | None = None


@dataclass(slots=True)
class TableTail(Generic[Row]):
    """Reads on from wherever it begins. Its cursor is in autocommit, so that each query sees what is committed by then."""

    source: Source[Row]
    _last: int = -1
    _holes: list[_Hole] = field(default_factory=list)
    # Whoever was writing when it began: their smaller ids have no hole that shows them.
    _unseen: set[str] | None = None

    @property
    def position(self) -> int:
        """Everything up to this id was told; -1 before the first look."""
        return min((hole.first - 1 for hole in self._holes), default=self._last)

    def look(self, cursor: Any, most: int) -> Look[Row]:
        """What became visible since the last look, each row once, at most `most`; the first look only begins.

        Raises:
            psycopg2.Error: PostgreSQL did not answer. Nothing is forgotten: the next look, over another connection if need
                be, goes on from the same place.
        """
        if self._last < 0:
            self.begin(cursor)
            return Look()
        # Before the reading: whoever is not in it has ended, and what they committed is read below.
        writers = self.source.writers(cursor)
        found = self.source.between(cursor, [(hole.first, hole.last) for hole in self._holes])
        newer = self.source.newer(cursor, self._last, most + 1)
        if len(newer) > most or len(self._holes) + len(self._gaps(newer)) > MOST_HOLES:
            self.begin(cursor)
            return Look(everything=True)
        everything = self._who_ended(writers)
        self._fill_holes(found, writers)
        self._holes += self._gaps(newer)
        self._last = newer[-1].id if newer else self._last
        return Look(found + newer, everything)

    def begin(self, cursor: Any) -> None:
        """Go on from what there is now."""
        self._last = self.source.last_id(cursor)
        self._holes, self._unseen = [], None

    def is_of_another_database(self, cursor: Any) -> bool:
        """Whether rows it has told are not there any more, as after a failover that lost some."""
        return self.source.last_id(cursor) < self._last

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

    def _fill_holes(self, found: Iterable[Row], writers: set[str]) -> None:
        there = {row.id for row in found}
        for hole in self._holes:
            hole.writers = set(writers) if hole.writers is None else hole.writers & writers
        self._holes = [part for hole in self._holes if hole.writers for part in _without(hole, there)]

    def _gaps(self, newer: Iterable[Row]) -> list[_Hole]:
        holes, last = [], self._last
        for row in newer:
            if row.id > last + 1:
                holes.append(_Hole(last + 1, row.id - 1))
            last = row.id
        return holes


def _without(hole: _Hole, there: set[int]) -> list[_Hole]:
    """What of the hole is left when these ids have come."""
    inside = sorted(number for number in there if hole.first <= number <= hole.last)
    parts, first = [], hole.first
    for number in [*inside, hole.last + 1]:
        if number > first:
            parts.append(_Hole(first, number - 1, hole.writers))
        first = number + 1
    return parts
