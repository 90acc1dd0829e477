"""How often campaigns may write to one patient: which day is the next that has room for one more. Pure functions.

Days are those of the campaign's clock. What is planned for later counts as well, so nothing planned is pushed over a limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from dispatchlog.systems.outreach.campaigns.plans import Plan

_WEEK, _MONTH = timedelta(days=7), timedelta(days=30)
# The longest span that a limit looks back over.
LOOKS_BACK = timedelta(days=31)


def is_capped(plan: Plan) -> bool:
    """Whether it has any limit."""
    return any(limit is not None for limit in (plan.per_day, plan.per_week, plan.per_month))


def next_free_day(day: date, days: Sequence[date], plan: Plan) -> date:
    """The first day from `day` on which one more is within the limits, `days` being those of all the others."""
    while _is_full(day, days, plan):
        day += timedelta(days=1)
    return day


def _is_full(day: date, days: Sequence[date], plan: Plan) -> bool:
    counted = (
        (plan.per_day, sum(each == day for each in days)),
        (plan.per_week, sum(each > day - _WEEK for each in days)),
        (plan.per_month, sum(each > day - _MONTH for each in days)),
    )
    return any(limit is not None and number >= limit for limit, number in counted)
