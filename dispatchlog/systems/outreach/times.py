"""When a message may arrive at somebody: quiet hours, the legal window, zones and their changes of clocks. Pure functions.

All rules are about what a clock on the recipient's wall shows, so an instant is judged by the local time that it has there,
never by adding hours to another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time


@dataclass(frozen=True, slots=True)
class Hours:
    """A daily span of wall-clock time, from `start` until before `end`; past midnight where end <= start; empty where both
    are the same."""

    start: time
    end: time


@dataclass(frozen=True, slots=True)
class TimeRules:
    """What keeps a message back: `quiet` hours, `legal` hours outside of which nothing may arrive (None: any hour), in a
    zone of the IANA database. `why_legal` is the law's short name, for pages."""

    zone: str
    quiet: Hours
    legal: Hours | None = None
    why_legal: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """An instant (UTC) with what moved it there: codes QUIET_HOURS, LEGAL_WINDOW, BEST_HOUR, DAILY_LIMIT, WEEKLY_LIMIT."""

    at: datetime
    reasons: Sequence[str] = ()


def is_lawful(at: datetime, rules: TimeRules, *, for_seconds: float = 0.0) -> str | None:
    """None where a message may arrive at any instant from `at` until so many seconds later; else the code of the rule.

    Raises:
        OutreachError: INVALID_TIMEZONE. NaiveInstant: `at` has no zone.
    """
    raise NotImplementedError


def lawful_instant(wanted: datetime, rules: TimeRules, *, margin_seconds: float = 60.0) -> Moment:
    """The first instant from `wanted` on at which a message may leave, with `margin_seconds` until the next span that forbids.

    Raises:
        OutreachError: INVALID_TIMEZONE; NEVER_LAWFUL where the rules leave no minute of a day.
    """
    raise NotImplementedError


def at_best_hour(wanted: datetime, best_hour: int, rules: TimeRules, *, latest: datetime | None = None) -> Moment:
    """The first lawful instant in that local hour from `wanted` on; `wanted` made lawful where that were after `latest`."""
    raise NotImplementedError
