"""How often each lane made each move, ever, without counting the whole log each time. Owns `dispatch_counts`.

What is settled is added up once and kept; of the rest a span is counted when asked. A span of ids, not a number of rows,
for then a move that commits late displaces no other: moves are never deleted, and numbers only grow.
"""

from __future__ import annotations

from collections.abc import Mapping

from dispatchlog.engine.database import execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.table_writers import writers_ended

# So many at a time, for one transaction.
MOST_AT_ONCE = 500_000
# How many ids after them are counted when somebody asks. More than that are left after a burst, or while no scheduler runs.
MOST_WHEN_ASKED = 100_000
# How long one turn of adding up goes on; what is left is the next one's.
TURN_SECONDS = 5.0
# How long those who write just now are waited for; an import may take longer, and then the next time does it.
PATIENCE_SECONDS = 2.0

_BETWEEN = """
SELECT lane, coalesce(from_status, '') AS from_status, to_status, count(*) AS number FROM dispatch_transitions
    WHERE id > {after} AND id <= {up_to} AND from_status IS DISTINCT FROM to_status GROUP BY 1, 2, 3
"""
_KEPT = "(SELECT up_to FROM dispatch_counted)"
_ALL = f"""
SELECT lane, from_status, to_status, sum(number)::bigint FROM (
    SELECT lane, from_status, to_status, number FROM dispatch_counts UNION ALL
    {_BETWEEN.format(after=_KEPT, up_to=f"{_KEPT} + %s")}) every GROUP BY 1, 2, 3
"""
_KEEP = f"""
INSERT INTO dispatch_counts AS c (lane, from_status, to_status, number)
    {_BETWEEN.format(after="%s", up_to="%s")}
    ON CONFLICT (lane, from_status, to_status) DO UPDATE SET number = c.number + excluded.number
"""

Moves = Mapping[tuple[str, str, str], int]
"""How many moves by lane, from and to; from "" is a new dispatch."""


def count_moves() -> Moves:
    """The moves that are committed, but for the newest `uncounted_moves`; a doubt raised or settled while the status stays
    is none.
    """
    return {(lane, before, after): number for lane, before, after, number in fetch_all(_ALL, (MOST_WHEN_ASKED,))}


def uncounted_moves() -> int:
    """How many of the newest moves `count_moves` leaves out: 0, unless adding up lags behind. At most a little too many."""
    newest, kept = fetch_one(f"SELECT coalesce((SELECT max(id) FROM dispatch_transitions), 0), {_KEPT}")
    return max(0, int(newest - kept) - MOST_WHEN_ASKED)


def keep_all_counts(*, started_by: str) -> None:
    """`keep_counts` until nothing is left that is settled, or TURN_SECONDS are over."""
    ends = boottime() + TURN_SECONDS
    while keep_counts(started_by=started_by) == MOST_AT_ONCE and boottime() < ends:
        pass


def keep_counts(*, started_by: str) -> int:
    """Add up what is settled since the last time; how many ids that were comes back. Several at once do it once."""
    with transaction(started_by):
        position = fetch_all("SELECT up_to FROM dispatch_counted FOR UPDATE SKIP LOCKED")
        if not position:
            return 0
        after = position[0][0]
        newest = fetch_one("SELECT coalesce(max(id), 0) FROM dispatch_transitions")[0]
        up_to = min(newest, after + MOST_AT_ONCE)
        if up_to <= after or not writers_ended("dispatch_transitions", patience_seconds=PATIENCE_SECONDS):
            return 0
        execute(_KEEP, (after, up_to))
        execute("UPDATE dispatch_counted SET up_to = %s", (up_to,))
    return int(up_to - after)
