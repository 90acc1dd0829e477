"""When a message may arrive, against a search minute by minute over all zones and all their changes of clocks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatchlog.engine.errors import NaiveInstant
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.times import (
    Hours,
    TimeRules,
    at_best_hour,
    is_lawful,
    lawful_instant,
    zone,
    zone_names,
)

MINUTE = timedelta(minutes=1)
FIRST = datetime(2025, 1, 1, tzinfo=UTC)
LAST = datetime(2028, 1, 1, tzinfo=UTC)
NIGHT = Hours(time(22), time(8))
EMPTY = Hours(time(0), time(0))
DAYTIME = Hours(time(8), time(21))
RULES = (
    (NIGHT, None),
    (NIGHT, Hours(time(8), time(20))),
    (Hours(time(1, 30), time(3, 15)), None),
    (Hours(time(23, 30), time(0, 30)), Hours(time(2), time(2, 45))),
    (Hours(time(2, 30), time(2)), None),
    (EMPTY, Hours(time(0), time(3))),
    (Hours(time(0), time(23, 59)), None),
)
ALL_ZONES = sorted(zone_names())


def _is_in(clock: time, hours: Hours) -> bool:
    if hours.start == hours.end:
        return False
    if hours.start < hours.end:
        return hours.start <= clock < hours.end
    return clock >= hours.start or clock < hours.end


def _permits(clock: time, quiet: Hours, legal: Hours | None) -> bool:
    return not _is_in(clock, quiet) and (legal is None or _is_in(clock, legal))


def _wall(instant: datetime, place: ZoneInfo) -> time:
    return instant.astimezone(place).time()


def _ahead(instant: datetime, place: ZoneInfo) -> timedelta:
    return instant.astimezone(place).replace(tzinfo=UTC) - instant


def _search(wanted: datetime, rules: TimeRules, minutes: int, *, hour: int | None = None) -> datetime:
    """The first whole minute that begins so many lawful ones, by looking at each."""
    place = zone(rules.zone)
    lasted = 0
    at = wanted
    while True:
        clock = _wall(at, place)
        lasted = lasted + 1 if _permits(clock, rules.quiet, rules.legal) and hour in (None, clock.hour) else 0
        if lasted == minutes:
            return at - (minutes - 1) * MINUTE
        assert at < wanted + timedelta(days=9)
        at += MINUTE


def _changes(name: str) -> Iterator[datetime]:
    """Every minute within the three years from which on the wall clock is another distance ahead."""
    place = zone(name)
    day = FIRST
    while day < LAST:
        tomorrow = day + timedelta(days=1)
        if _ahead(day, place) != _ahead(tomorrow, place):
            at = day
            while _ahead(at, place) == _ahead(day, place):
                at += MINUTE
            yield at
        day = tomorrow


def _distinct_changes() -> dict[tuple[datetime, timedelta, timedelta], str]:
    """Zones that share a change of clocks are one case of it."""
    found: dict[tuple[datetime, timedelta, timedelta], str] = {}
    for name in ALL_ZONES:
        place = zone(name)
        for at in _changes(name):
            found.setdefault((at, _ahead(at - MINUTE, place), _ahead(at, place)), name)
    return found


def test_the_instant_found_is_the_first_lawful_one_around_every_change_of_clocks_of_three_years() -> None:
    changes = _distinct_changes()
    steps = {abs(after - before) for _, before, after in changes}
    assert steps == {timedelta(minutes=30), timedelta(hours=1), timedelta(hours=2)}, "Lord Howe's, most, and Troll's"
    assert len(changes) > 50
    for (change, _, _), name in changes.items():
        for number, (quiet, legal) in enumerate(RULES):
            rules = TimeRules(name, quiet, legal)
            for before in (timedelta(hours=5), timedelta(minutes=1 + 7 * number), timedelta(0)):
                wanted = change - before
                assert lawful_instant(wanted, rules).at == _search(wanted, rules, 1), (name, wanted, rules)


def test_what_lasts_longer_than_the_lawful_stretch_before_a_change_begins_after_it() -> None:
    # 02:00 to 02:45 is lawful; the clock goes on from 02:00 to 03:00 that night, so the day has no such time.
    rules = TimeRules("America/New_York", EMPTY, Hours(time(2), time(2, 45)))
    found = lawful_instant(datetime(2026, 3, 8, 5, tzinfo=UTC), rules)
    assert found.at == datetime(2026, 3, 9, 6, tzinfo=UTC)
    # It goes back from 02:00 to 01:00 that morning: 01:00 to 02:00 lasts for two hours without a break.
    twice = TimeRules("America/New_York", EMPTY, Hours(time(1), time(2)))
    assert lawful_instant(datetime(2026, 11, 1, 5, 30, tzinfo=UTC), twice, margin_seconds=5400).at == datetime(
        2026, 11, 1, 5, 30, tzinfo=UTC
    )
    assert is_lawful(datetime(2026, 11, 1, 6, 59, tzinfo=UTC), twice, for_seconds=60) is None
    assert is_lawful(datetime(2026, 11, 1, 6, 59, tzinfo=UTC), twice, for_seconds=61) == "LEGAL_WINDOW"


clocks = st.builds(time, st.integers(0, 23), st.integers(0, 59))
hours = st.builds(Hours, clocks, clocks)
instants = st.datetimes(datetime(2025, 1, 1), datetime(2027, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 (bounds)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(ALL_ZONES), instants, hours, st.none() | hours, st.integers(0, 90))
def test_nothing_found_is_unlawful_before_its_margin_ends_and_nothing_before_it_was_lawful(
    name: str, wanted: datetime, quiet: Hours, legal: Hours | None, margin_minutes: int
) -> None:
    rules = TimeRules(name, quiet, legal)
    place = zone(name)
    margin = margin_minutes * 60.0
    if _longest_stretch(quiet, legal) < max(margin_minutes, 1):
        with pytest.raises(OutreachError, match="no time of the day"):
            # In UTC: elsewhere clocks that go back may make a short stretch long enough, once.
            lawful_instant(wanted, TimeRules("UTC", quiet, legal), margin_seconds=max(margin, 60))
        return
    found = lawful_instant(wanted, rules, margin_seconds=margin)
    assert found.at >= wanted
    assert is_lawful(found.at, rules, for_seconds=margin) is None
    assert bool(found.reasons) == (found.at != wanted)
    for minute in range(max(margin_minutes, 1)):
        assert _permits(_wall(found.at + minute * MINUTE, place), quiet, legal)
    lasted, at = 0, wanted
    while at < found.at:
        lasted = lasted + 1 if _permits(_wall(at, place), quiet, legal) else 0
        assert lasted <= margin_minutes, "there was time enough before"
        at += MINUTE


def _longest_stretch(quiet: Hours, legal: Hours | None) -> int:
    """How many minutes are lawful together on a day without a change of clocks."""
    permitted = [_permits(time(n // 60, n % 60), quiet, legal) for n in range(1440)] * 2
    longest = lasted = 0
    for is_permitted in permitted:
        lasted = lasted + 1 if is_permitted else 0
        longest = max(longest, lasted)
    return longest


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ALL_ZONES), instants, hours, st.integers(0, 3600))
def test_whether_an_instant_is_lawful_is_what_the_clock_on_the_wall_says_until_the_end(
    name: str, at: datetime, quiet: Hours, lasting: int
) -> None:
    said = is_lawful(at, TimeRules(name, quiet), for_seconds=lasting)
    place = zone(name)
    instants_between = [at + timedelta(seconds=second) for second in range(max(lasting, 1))]
    assert (said is None) == all(_permits(_wall(each, place), quiet, None) for each in instants_between)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(ALL_ZONES), instants, st.integers(0, 23))
def test_the_best_hour_is_the_first_lawful_minute_that_bears_its_name(name: str, wanted: datetime, hour: int) -> None:
    wanted = wanted.replace(second=0, microsecond=0)
    rules = TimeRules(name, NIGHT, Hours(time(9, 30), time(21)))
    found = at_best_hour(wanted, hour, rules)
    if 9 <= hour < 21:
        assert found.at == _search(wanted, rules, 1, hour=hour)
    else:
        assert found == lawful_instant(wanted, rules)


@pytest.mark.parametrize(
    ("name", "wanted", "hour", "at"),
    [
        # 02:00 is left out on 8 March: the next day has it.
        ("America/New_York", "2026-03-08T04:00Z", 2, "2026-03-09T06:00Z"),
        # Lord Howe leaves out half of it: 02:30 is there.
        ("Australia/Lord_Howe", "2026-10-03T14:00Z", 2, "2026-10-03T15:30Z"),
        # Troll leaves out 01:00 to 03:00.
        ("Antarctica/Troll", "2026-03-28T23:00Z", 1, "2026-03-29T23:00Z"),
        ("Antarctica/Troll", "2026-03-28T23:00Z", 3, "2026-03-29T01:00Z"),
        # 01:00 comes twice: the first time.
        ("America/New_York", "2026-11-01T04:30Z", 1, "2026-11-01T05:00Z"),
        # and the second, for who comes too late for the first.
        ("America/New_York", "2026-11-01T05:59:30Z", 1, "2026-11-01T05:59:30Z"),
        ("Africa/Casablanca", "2026-02-14T22:00Z", 2, "2026-02-15T01:00Z"),
    ],
)
def test_the_best_hour_where_clocks_change(name: str, wanted: str, hour: int, at: str) -> None:
    found = at_best_hour(datetime.fromisoformat(wanted), hour, TimeRules(name, EMPTY))
    assert found.at == datetime.fromisoformat(at)


def test_a_place_that_loses_a_day_at_the_date_line_waits_for_the_next_one() -> None:
    # Apia had no 30 December 2011.
    wanted = datetime(2011, 12, 30, 9, 0, tzinfo=UTC)  # 23:00 on the 29th
    assert lawful_instant(wanted, TimeRules("Pacific/Apia", NIGHT)).at == datetime(2011, 12, 30, 18, tzinfo=UTC)
    assert zone("Pacific/Apia").utcoffset(datetime(2011, 12, 31, 8)) == timedelta(hours=14)  # noqa: DTZ001


def test_the_best_hour_gives_way_to_what_comes_first() -> None:
    rules = TimeRules("Europe/Madrid", NIGHT, DAYTIME)
    wanted = datetime(2026, 6, 1, 9, tzinfo=UTC)  # 11:00 there
    assert at_best_hour(wanted, 10, rules).at == datetime(2026, 6, 2, 8, tzinfo=UTC)
    assert at_best_hour(wanted, 10, rules).reasons == ("BEST_HOUR",)
    assert at_best_hour(wanted, 10, rules, latest=datetime(2026, 6, 2, 7, tzinfo=UTC)).at == wanted
    assert at_best_hour(wanted, 3, rules).at == wanted
    with pytest.raises(OutreachError) as refused:
        at_best_hour(wanted, 24, rules)
    assert refused.value.code == "INVALID_HOUR"


def test_every_rule_that_moved_it_is_named_and_the_stricter_one_wins() -> None:
    rules = TimeRules("America/New_York", Hours(time(22), time(9)), Hours(time(8), time(20)))
    evening = datetime(2026, 6, 2, 0, 30, tzinfo=UTC)  # 20:30 there: not quiet, but too late by law
    found = lawful_instant(evening, rules)
    assert (found.at, found.reasons) == (datetime(2026, 6, 2, 13, tzinfo=UTC), ("LEGAL_WINDOW", "QUIET_HOURS"))
    assert is_lawful(evening, rules) == "LEGAL_WINDOW"
    assert is_lawful(evening + timedelta(hours=2), rules) == "QUIET_HOURS"
    assert lawful_instant(found.at, rules).reasons == ()


def test_less_than_the_margin_before_the_night_is_put_off_to_the_morning() -> None:
    rules = TimeRules("Asia/Kolkata", NIGHT)
    late = datetime(2026, 6, 1, 16, 29, 1, tzinfo=UTC)  # 21:59:01 there
    assert lawful_instant(late, rules, margin_seconds=59).at == late
    assert lawful_instant(late, rules).at == datetime(2026, 6, 2, 2, 30, tzinfo=UTC)


def test_rules_that_leave_nothing_of_a_day_are_refused() -> None:
    now = datetime(2026, 6, 1, tzinfo=UTC)
    for quiet, legal in (
        (Hours(time(8), time(7, 59, 30)), None),
        (Hours(time(7), time(22)), DAYTIME),
        (EMPTY, EMPTY),
    ):
        with pytest.raises(OutreachError) as refused:
            lawful_instant(now, TimeRules("UTC", quiet, legal))
        assert refused.value.code == "NEVER_LAWFUL"


@pytest.mark.parametrize(
    "name",
    [
        *("", "Mars/Olympus", "Europe", "europe/madrid", "Europe/Madrid ", "UTC+3", "EST5EDT4", "Factory", "localtime"),
        *("posix/Europe/Madrid", "right/Europe/Madrid", "posixrules", "tzdata.zi", "../etc/passwd", "a\0b"),
        "/usr/share/zoneinfo/UTC",
    ],
)
def test_a_name_that_is_no_zone_is_refused(name: str) -> None:
    for ask in (is_lawful, lawful_instant):
        with pytest.raises(OutreachError) as refused:
            ask(FIRST, TimeRules(name, NIGHT))
        assert (refused.value.code, refused.value.field) == ("INVALID_TIMEZONE", "timezone")


def test_an_instant_without_a_zone_or_out_of_all_bounds_is_refused() -> None:
    rules = TimeRules("UTC", NIGHT)
    with pytest.raises(NaiveInstant):
        lawful_instant(datetime(2026, 6, 1), rules)  # noqa: DTZ001  (the point)
    for year in (1, 1969, 9999):
        with pytest.raises(OutreachError) as refused:
            lawful_instant(datetime(year, 6, 1, tzinfo=UTC), rules)
        assert refused.value.code == "INVALID_DATE"
