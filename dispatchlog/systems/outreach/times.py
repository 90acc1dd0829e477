"""When a message may arrive at somebody: quiet hours, the legal window, zones and their changes of clocks. Pure functions.

All rules are about what a clock on the recipient's wall shows, so an instant is judged by the local time that it has there,
never by adding hours to another one. Where clocks go back, both hours of that name count; an hour that is left out is not
there to send in.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from dispatchlog.engine.errors import NaiveInstant
from dispatchlog.systems.outreach.inputs import OutreachError

QUIET_HOURS = "QUIET_HOURS"
LEGAL_WINDOW = "LEGAL_WINDOW"
BEST_HOUR = "BEST_HOUR"

# Inside, instants and spans are whole microseconds; an instant's count from 1970 in UTC.
_SECOND = 1_000_000
_HOUR = 3600 * _SECOND
_DAY = 24 * _HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
# Rules repeat daily. A change of clocks spoils one day, and a place that moves over the date line loses another.
_LOOK_AHEAD = 8 * _DAY
# Zones have no rules beyond, and nobody plans a message there.
_FIRST_YEAR, _LAST_YEAR = 1971, 2400
_NOT_PLACES = frozenset({"Factory"})


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


def zone(name: str, *, field: str = "timezone") -> ZoneInfo:
    """The zone of this name, from the tzdata package alone, so that every machine knows the same ones.

    Raises:
        OutreachError: INVALID_TIMEZONE, with the field.
    """
    if name not in zone_names():
        raise OutreachError("this is not a time zone such as Europe/Madrid", code="INVALID_TIMEZONE", field=field)
    return _load(name)


@lru_cache(maxsize=1)
def zone_names() -> frozenset[str]:
    """Every name of a zone in the IANA database, as it is spelled there."""
    listed = importlib.resources.files("tzdata").joinpath("zones").read_text("ascii")
    return frozenset(listed.split()) - _NOT_PLACES


def is_lawful(at: datetime, rules: TimeRules, *, for_seconds: float = 0.0) -> str | None:
    """None where a message may arrive at any instant from `at` until before so many seconds later; else the code of the
    rule, QUIET_HOURS where both forbid it.

    Raises:
        OutreachError: INVALID_TIMEZONE, INVALID_DATE. NaiveInstant: `at` has no zone.
    """
    zone(rules.zone)
    begins, lasting = _ticks(at), round(for_seconds * _SECOND)
    for code, opens, closes in _windows(rules.quiet, rules.legal):
        if _first_in(opens, closes, begins, zone_name=rules.zone, lasting=lasting, limit=begins + lasting) != begins:
            return code
    return None


def lawful_instant(wanted: datetime, rules: TimeRules, *, margin_seconds: float = 60.0) -> Moment:
    """The first instant from `wanted` on at which a message may leave, with `margin_seconds` until the next span that
    forbids; the code of every rule that moved it is in `reasons`.

    Raises:
        OutreachError: INVALID_TIMEZONE, INVALID_DATE; NEVER_LAWFUL where the rules leave no such minute of a day.
        NaiveInstant: `wanted` has no zone.
    """
    zone(rules.zone)
    found = _first_lawful(_ticks(wanted), rules, _windows(rules.quiet, rules.legal), round(margin_seconds * _SECOND))
    if found is None:
        raise OutreachError(
            "quiet hours and the law leave no time of the day", code="NEVER_LAWFUL", field="quiet_hours"
        )
    return found


def at_best_hour(wanted: datetime, best_hour: int, rules: TimeRules, *, latest: datetime | None = None) -> Moment:
    """The first lawful instant in that local hour from `wanted` on; `wanted` made lawful where that were after `latest`, or
    where nothing of that hour is ever lawful. A day that leaves this hour out is passed over.

    Raises:
        OutreachError: INVALID_HOUR, and as `lawful_instant`.
    """
    if not 0 <= best_hour <= 23:
        raise OutreachError("an hour is a number from 0 to 23", code="INVALID_HOUR", field="best_hour")
    zone(rules.zone)
    in_hour = (BEST_HOUR, best_hour * _HOUR, (best_hour + 1) * _HOUR % _DAY)
    windows = (*_windows(rules.quiet, rules.legal), in_hour)
    found = _first_lawful(_ticks(wanted), rules, windows, 60 * _SECOND)
    if found is None or (latest is not None and found.at > latest):
        return lawful_instant(wanted, rules)
    return found


# A rule as its code and the daily span, in microseconds of the wall clock, in which it permits.
_Window = tuple[str, int, int]


@lru_cache(maxsize=4096)
def _windows(quiet: Hours, legal: Hours | None) -> tuple[_Window, ...]:
    """What permits; an empty window is one that ends where it begins."""
    found: list[_Window] = []
    if quiet.start != quiet.end:
        found.append((QUIET_HOURS, _wall(quiet.end), _wall(quiet.start)))
    if legal is not None:
        found.append((LEGAL_WINDOW, _wall(legal.start), _wall(legal.end)))
    return tuple(found)


def _first_lawful(wanted: int, rules: TimeRules, windows: Sequence[_Window], lasting: int) -> Moment | None:
    """The least instant that every window permits. No rule alone permits anything between `at` and its own next instant, so
    going on from rule to rule until all agree passes over nothing."""
    at = wanted
    reasons: list[str] = []
    while True:
        before = at
        for code, opens, closes in windows:
            found = _first_in(opens, closes, at, zone_name=rules.zone, lasting=lasting, limit=wanted + _LOOK_AHEAD)
            if found is None:
                return None
            if found != at and code not in reasons:
                reasons.append(code)
            at = found
        if at == before:
            return Moment(_EPOCH + at * _TICK, tuple(reasons))


def _first_in(opens: int, closes: int, at: int, *, zone_name: str, lasting: int, limit: int) -> int | None:
    """The least instant from `at` to `limit` that begins a stretch of permitted time of at least this length."""
    length = (closes - opens) % _DAY
    begun: int | None = None
    while at <= limit and length:
        offset, changes = _offset(zone_name, at)
        into = (at + offset - opens) % _DAY
        if into < length:
            begun = at if begun is None else begun
            at = min(changes, at + length - into)
            if at - begun >= lasting:
                return begun
        else:
            begun = None
            at = min(changes, at + _DAY - into)
    return None


def _offset(zone_name: str, at: int) -> tuple[int, int]:
    """How far the wall clock is ahead of UTC, and until which instant that is known to hold."""
    ends, offset = next(piece for piece in _pieces(zone_name, at // _DAY) if at < piece[0])
    return offset, ends


@lru_cache(maxsize=16384)
def _pieces(zone_name: str, day: int) -> tuple[tuple[int, int], ...]:
    """A UTC day as pieces (end, offset) between its changes of clocks. No zone changes twice within an hour."""
    place = _load(zone_name)
    pieces: list[tuple[int, int]] = []
    known = _offset_at(place, day * _DAY)
    for hour in range(24):
        begins = day * _DAY + hour * _HOUR
        after = _offset_at(place, begins + _HOUR)
        if after != known:
            pieces.append((_change(place, begins, begins + _HOUR), known))
            known = after
    pieces.append(((day + 1) * _DAY, known))
    # The change at midnight that ends this day belongs to the next one.
    return tuple(piece for index, piece in enumerate(pieces) if index == 0 or piece[0] > pieces[index - 1][0])


def _change(place: ZoneInfo, before: int, after: int) -> int:
    """The second at which the offset becomes another one: the first that has it."""
    old = _offset_at(place, before)
    low, high = before // _SECOND, after // _SECOND
    while high - low > 1:
        middle = (low + high) // 2
        if _offset_at(place, middle * _SECOND) == old:
            low = middle
        else:
            high = middle
    return high * _SECOND


def _offset_at(place: ZoneInfo, at: int) -> int:
    instant = _EPOCH + at * _TICK
    return (instant.astimezone(place).replace(tzinfo=UTC) - instant) // _TICK


def _ticks(instant: datetime) -> int:
    if instant.tzinfo is None:
        raise NaiveInstant("An instant at which a message may arrive must be aware.")
    if not _FIRST_YEAR <= instant.year <= _LAST_YEAR:
        raise OutreachError("this date is out of all bounds", code="INVALID_DATE", field="send_at")
    return (instant - _EPOCH) // _TICK


def _wall(clock: time) -> int:
    return ((clock.hour * 60 + clock.minute) * 60 + clock.second) * _SECOND + clock.microsecond


@lru_cache(maxsize=1024)
def _load(name: str) -> ZoneInfo:
    file = importlib.resources.files("tzdata").joinpath("zoneinfo", *name.split("/"))
    with file.open("rb") as stream:
        return ZoneInfo.from_file(stream, key=name)
