"""Proves that a repetition did all its work once: a fast figure over wrong rows is a defect. Changes nothing."""

from __future__ import annotations

from bench.lane import TABLE
from bench.processes import MeasuringFailed
from bench.servers import query

_ROWS = f"SELECT count(*), count(*) FILTER (WHERE status = 'SENT'), count(*) FILTER (WHERE claims = 1) FROM {TABLE}"

_STORIES = """
SELECT count(*), count(*) FILTER (WHERE story = '{PENDING,QUEUED,SENT}') FROM (
    SELECT array_agg(to_status::text ORDER BY id) AS story FROM dispatch_transitions GROUP BY dispatch_id) s
"""

_ATTEMPTS = """
SELECT count(*), count(DISTINCT dispatch_id), count(*) FILTER (WHERE outcome = 'ACCEPTED') FROM dispatch_attempts
"""


def prove(url: str, *, rows: int, attempts_per_row: int) -> None:
    """Return if all `rows` are SENT, each claimed once, with its three transitions and its attempts and no more.

    Raises:
        MeasuringFailed: something is missing or happened twice; the message says what was counted.
    """
    attempts = rows * attempts_per_row
    for what, sql, expected in (
        ("rows, SENT, claimed once", _ROWS, (rows, rows, rows)),
        ("rows with transitions, exactly PENDING QUEUED SENT", _STORIES, (rows, rows)),
        ("attempts, dispatches with attempts, accepted", _ATTEMPTS, (attempts, attempts, attempts)),
    ):
        counted = query(url, sql)[0]
        if tuple(counted) != expected:
            raise MeasuringFailed(f"{what}: expected {expected}, counted {tuple(counted)}")
