"""What left and what failed in each of the last 24 hours, per lane. Owns the query and the drawing's measures.

An hour that is over never changes, so each process counts it once and keeps the two numbers; after that only the present
hour is counted, by its index, however much moved in the day.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dispatchlog.engine.database import database, fetch_all
from dispatchlog.engine.lanes import Lane

HOURS = 24
# A move is logged by the clock and seen at its commit, which may come a little later.
SETTLED_AFTER = timedelta(minutes=2)
_HOUR = timedelta(hours=1)

# The drawing: what left goes up from the axis and what failed goes down, each by a scale of its own.
BAR_WIDTH = 10
UP, DOWN = 30, 12

_MOVES = """
SELECT date_trunc('hour', at), '{status}', count(*) FROM dispatch_transitions
WHERE lane = %s AND to_status = '{status}' AND from_status <> to_status AND at >= %s GROUP BY 1
"""
_BY_HOUR = f"{_MOVES.format(status='SENT')} UNION ALL {_MOVES.format(status='FAILED')}"

_known: dict[tuple[str, str, datetime], tuple[int, int]] = {}
_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of the drawing, in its units."""

    kind: str
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Hours:
    """The last 24 hours, the present one last: when each began, and how many left and failed in it."""

    begins: tuple[datetime, ...]
    sent: tuple[int, ...]
    failed: tuple[int, ...]

    @property
    def all_sent(self) -> int:
        return sum(self.sent)

    @property
    def all_failed(self) -> int:
        return sum(self.failed)

    @property
    def success(self) -> str:
        """Of what ended, how much was sent; rounded down, so that 100 % means all of it. "" where nothing ended."""
        ended = self.all_sent + self.all_failed
        if not ended:
            return ""
        tenths = self.all_sent * 1000 // ended
        return f"{tenths / 10:g} %"

    @property
    def words(self) -> str:
        """What the drawing shows, for who cannot see it."""
        if not self.all_sent and not self.all_failed:
            return "Nothing was sent and nothing failed in the last 24 hours."
        said = f"Last 24 hours: {self.all_sent:,} sent, {self.all_failed:,} failed or in doubt."
        if self.all_sent:
            said += f" Most were sent in the hour from {self._at(self.sent)} ({max(self.sent):,})."
        if self.all_failed:
            said += f" Most failed in the hour from {self._at(self.failed)} ({max(self.failed):,})."
        return said

    @property
    def bars(self) -> list[Bar]:
        """The bars that are not empty."""
        drawn = []
        for place, (sent, failed) in enumerate(zip(self.sent, self.failed, strict=True)):
            if sent:
                height = max(1.5, UP * sent / max(self.sent))
                drawn.append(Bar("sent", place * BAR_WIDTH, round(UP - height, 1), round(height, 1)))
            if failed:
                height = max(1.5, DOWN * failed / max(self.failed))
                drawn.append(Bar("failed", place * BAR_WIDTH, UP + 1, round(height, 1)))
        return drawn

    def _at(self, numbers: Sequence[int]) -> str:
        return f"{self.begins[numbers.index(max(numbers))]:%H:%M} UTC"


def hours_of(lane: Lane, now: datetime | None = None) -> Hours:
    """What left and failed in the lane, hour by hour."""
    now = now or datetime.now(UTC)
    present = now.replace(minute=0, second=0, microsecond=0)
    begins = tuple(present - place * _HOUR for place in reversed(range(HOURS)))
    place = str(database.database), lane.name
    with _guard:
        counted = {hour: _known[*place, hour] for hour in begins if (*place, hour) in _known}
    missing = [hour for hour in begins if hour not in counted]
    counted |= _count(lane, missing[0], begins)
    with _guard:
        for hour in missing:
            if hour + _HOUR + SETTLED_AFTER < now:
                _known[*place, hour] = counted[hour]
        for key in [key for key in _known if key[2] < begins[0]]:
            del _known[key]
    sent, failed = zip(*(counted[hour] for hour in begins), strict=True)
    return Hours(begins, sent, failed)


def _count(lane: Lane, since: datetime, begins: Sequence[datetime]) -> dict[datetime, tuple[int, int]]:
    found = {(hour, status): int(number) for hour, status, number in _moves(lane, since)}
    return {hour: (found.get((hour, "SENT"), 0), found.get((hour, "FAILED"), 0)) for hour in begins if hour >= since}


def _moves(lane: Lane, since: datetime) -> list[tuple[datetime, str, int]]:
    return [(row[0], row[1], row[2]) for row in fetch_all(_BY_HOUR, (lane.name, since, lane.name, since))]
