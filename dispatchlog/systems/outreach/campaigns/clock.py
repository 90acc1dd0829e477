"""A campaign's instants by its own clock: when it begins and ends, and when a step is due. Pure functions.

Whole days are days of the wall clock, so what follows "three days later" comes at the same hour over a change of clocks.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from dispatchlog.systems.outreach.times import zone

_DAY = timedelta(days=1)


def midnight(day: date, timezone: str) -> datetime:
    """The first instant of a day there."""
    return datetime.combine(day, time.min, zone(timezone)).astimezone(UTC)


def today(at: datetime, timezone: str) -> date:
    """Which day it is there."""
    return at.astimezone(zone(timezone)).date()


def later(at: datetime, offset: timedelta, timezone: str) -> datetime:
    """`offset` after an instant."""
    days = timedelta(days=offset // _DAY)
    local = at.astimezone(zone(timezone))
    return (local + days).astimezone(UTC) + (offset - days)


def ends_at(end_date: date | None, timezone: str) -> datetime | None:
    """The instant at which its last day is over; None: it goes on until it is finished."""
    return midnight(end_date + _DAY, timezone) if end_date else None


def first_due(settled_at: datetime, start_date: date | None, offset: timedelta, timezone: str) -> datetime:
    """When the first step is due: so long after the day on which it begins, and at once where that day has begun before
    it was settled who is meant."""
    begins = midnight(start_date, timezone) if start_date else settled_at
    return later(max(begins, settled_at), offset, timezone)
