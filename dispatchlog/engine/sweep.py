"""The scheduled sweep of a lane: records that its time came, once however many schedulers run, and wakes the lane.

It only enqueues. The committed occurrence is what releases the first attempts of a lane that waits for its sweep.
"""

from __future__ import annotations

from datetime import datetime

from dispatchlog.engine.database import execute, fetch_one, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.wakeup import Waker


def begin_occurrence(job: str, *, period_seconds: int, started_by: str) -> datetime | None:
    """Claim the current occurrence of a periodic job by the database's clock; None when somebody already ran it."""
    with transaction(started_by):
        occurs_at = fetch_one(
            "SELECT date_bin(%s * interval '1 s', now(), timestamptz '2000-01-01 00:00+00')", (period_seconds,)
        )[0]
        begun = execute(
            "INSERT INTO schedule_occurrences (job, occurs_at, started_by) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (job, occurs_at, started_by),
        )
    return occurs_at if begun.rowcount else None


def sweep(lane: Lane, waker: Waker, *, period_seconds: int, started_by: str) -> datetime | None:
    """Run the lane's sweep if its occurrence has not been run; the occurrence's instant comes back, or None."""
    occurs_at = begin_occurrence(lane.sweep_job, period_seconds=period_seconds, started_by=started_by)
    if occurs_at is not None:
        waker.wake(lane)
    return occurs_at


def sweep_now(lane: Lane, waker: Waker, *, started_by: str) -> datetime:
    """Sweep out of turn (an operator asked for it): everything due by now is released."""
    with transaction(started_by):
        occurs_at: datetime = fetch_one("SELECT clock_timestamp()")[0]
        execute(
            "INSERT INTO schedule_occurrences (job, occurs_at, started_by) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (lane.sweep_job, occurs_at, started_by),
        )
    waker.wake(lane)
    return occurs_at
