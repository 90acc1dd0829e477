"""Which of the twelve hours of a message's day are open to it, and the first instant of each. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, time

from dispatchlog.systems.outreach.legal import LegalRules
from dispatchlog.systems.outreach.limits import first_within_limits
from dispatchlog.systems.outreach.optimiser.learning import HOUR_ARMS
from dispatchlog.systems.outreach.times import Moment, TimeRules, zone


def arm_at(at: datetime, place: str) -> str:
    """The arm in which an instant lies, by the clock there."""
    return HOUR_ARMS[at.astimezone(zone(place)).hour // 2]


def open_hours(
    usual: Moment,
    earliest: datetime,
    rules: TimeRules,
    law: LegalRules,
    texts_at: Sequence[datetime],
    *,
    before: datetime | None = None,
) -> Mapping[str, Moment]:
    """The arms of the local day of the usual instant in which the message may leave from `earliest` until `before`, by the
    rules and limits, each with its first instant; the usual one's arm with the usual instant."""
    place = zone(rules.zone)
    day = usual.at.astimezone(place).date()
    found: dict[str, Moment] = {}
    for number, arm in enumerate(HOUR_ARMS):
        if arm == arm_at(usual.at, rules.zone):
            found[arm] = usual
            continue
        begins = datetime.combine(day, time(2 * number), place)
        moment = first_within_limits(max(begins, earliest), rules, law, texts_at)
        there = moment.at.astimezone(place)
        if there.date() == day and there.hour // 2 == number and (before is None or moment.at < before):
            found[arm] = moment
    return found
