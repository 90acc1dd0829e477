"""Proves that a repetition did all its work once: a fast figure over wrong rows is a defect. Changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from bench.lane import TABLE
from bench.processes import MeasuringFailed
from bench.servers import query

_ROWS = f"""
SELECT count(*), count(*) FILTER (WHERE status = 'SENT'), count(*) FILTER (WHERE claims = {{claims}}) FROM {TABLE}
"""

_STORIES = """
SELECT count(*), count(*) FILTER (WHERE story ~ '^PENDING{released},QUEUED,SENT$') FROM (
    SELECT string_agg(to_status, ',' ORDER BY id) AS story FROM dispatch_transitions GROUP BY dispatch_id) s
"""

_ATTEMPTS = """
SELECT count(*), count(DISTINCT dispatch_id), count(*) FILTER (WHERE outcome = 'ACCEPTED') FROM dispatch_attempts
"""


def prove(url: str, *, rows: int, attempts_per_row: int, may_be_released: bool = False) -> None:
    """Return if all `rows` are SENT, each claimed once, with its three transitions and its attempts and no more.

    Where sending takes time a worker may give rows of a batch back unsent, so `may_be_released` allows for that.

    Raises:
        MeasuringFailed: something is missing or happened twice; the message says what was counted.
    """
    attempts = rows * attempts_per_row
    claims, released = ("greatest(claims, 1)", "(,QUEUED,PENDING)*") if may_be_released else ("1", "")
    for what, sql, expected in (
        ("rows, SENT, claimed as often as allowed", _ROWS.format(claims=claims), (rows, rows, rows)),
        ("rows with transitions, exactly those to SENT", _STORIES.format(released=released), (rows, rows)),
        ("attempts, dispatches with attempts, accepted", _ATTEMPTS, (attempts, attempts, attempts)),
    ):
        counted = query(url, sql)[0]
        if tuple(counted) != expected:
            raise MeasuringFailed(f"{what}: expected {expected}, counted {tuple(counted)}")


def prove_accepted(
    accepted: Sequence[tuple[str, float]], *, rows: int, may_be_twice: Collection[str] = frozenset()
) -> None:
    """Return if a provider accepted so many keys, each once; those of a killed worker may be accepted again.

    Raises:
        MeasuringFailed: a dispatch never reached it, or reached it twice without need.
    """
    times = Counter(key for key, _ in accepted)
    twice = [key for key, count in times.items() if count > 1 and key not in may_be_twice]
    if len(times) != rows or twice:
        raise MeasuringFailed(f"of {rows} dispatches the provider has {len(times)}, {len(twice)} of them twice")
