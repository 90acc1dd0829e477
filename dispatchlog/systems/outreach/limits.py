"""How many texts a patient gets in a day and in a week, by the calendar where the patient is. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

from dispatchlog.systems.outreach.legal import LegalRules
from dispatchlog.systems.outreach.times import Moment, TimeRules, lawful_instant, zone

WEEK_DAYS = 7
# Whoever lets it leave wants eleven minutes until the next span that forbids; one more is left for getting there.
MARGIN_SECONDS = 720.0
# With any number of texts planned, some day of so many is free or nobody would read what comes.
_MOST_DAYS = 366


def first_within_limits(wanted: datetime, rules: TimeRules, law: LegalRules, texts_at: Sequence[datetime]) -> Moment:
    """The first lawful instant from `wanted` on whose day, and each week of seven days around it, has room for one more.

    Raises:
        OutreachError: as `lawful_instant`.
    """
    place = zone(rules.zone)
    days = Counter(at.astimezone(place).date() for at in texts_at)
    moment = lawful_instant(wanted, rules, margin_seconds=MARGIN_SECONDS)
    reasons = list(moment.reasons)
    for _ in range(_MOST_DAYS):
        day = moment.at.astimezone(place).date()
        full = _full(day, days, law)
        if not full:
            break
        reasons.append(full)
        tomorrow = datetime.combine(day + timedelta(days=1), time.min, place)
        moment = lawful_instant(tomorrow, rules, margin_seconds=MARGIN_SECONDS)
    return Moment(moment.at, tuple(dict.fromkeys(reasons)))


def _full(day: date, days: Counter[date], law: LegalRules) -> str:
    if law.per_day is not None and days[day] >= law.per_day:
        return "DAILY_LIMIT"
    if law.per_week is None or not days:
        return ""
    first_days = (day - timedelta(days=back) for back in range(WEEK_DAYS))
    weeks = (sum(days[first + timedelta(days=n)] for n in range(WEEK_DAYS)) for first in first_days)
    return "WEEKLY_LIMIT" if max(weeks) >= law.per_week else ""
