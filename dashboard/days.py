"""Days and instants as addresses hold them: a day of the calendar in UTC, an instant in microseconds. Knows no list."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def parse_day(label: str, value: str, problems: list[str]) -> date | None:
    """The day that the field called `label` holds; what is none, or has no neighbours, is named in `problems`."""
    if not value:
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        problems.append(f"{label} “{value[:40]}” is not a date; write it like 2026-03-31.")
        return None
    if not 1970 <= found.year <= 9000:
        problems.append(f"{label} “{value[:40]}” is too far away.")
        return None
    return found


def begin_of(day: date) -> datetime:
    """Its midnight in UTC."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def end_of(day: date) -> datetime:
    """The midnight after it."""
    return begin_of(day) + timedelta(days=1)


class BetweenDays:
    """What a list of two days, `since` and `until` (UTC, both included, either may be None), asks of the database."""

    __slots__ = ()
    since: date | None
    until: date | None

    @property
    def from_at(self) -> datetime | None:
        """The first instant that counts."""
        return begin_of(self.since) if self.since else None

    @property
    def before_at(self) -> datetime | None:
        """The first instant that counts no more."""
        return end_of(self.until) if self.until else None


def microseconds_of(at: datetime) -> int:
    """The instant as a number, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def instant_of(microseconds: str) -> datetime:
    """The instant that `microseconds_of` wrote. Raises ValueError or OverflowError: it is none."""
    return _EPOCH + timedelta(microseconds=int(microseconds))
