"""What a campaign would do, before it begins: to whom, when, at which cost. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import transaction
from dispatchlog.systems.outreach.campaigns import clock, people
from dispatchlog.systems.outreach.campaigns.checking import LookedAt, look_at
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput, Plan, Step, plan_of
from dispatchlog.systems.outreach.campaigns.store import require_organization, require_segment
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.stats import outcomes
from dispatchlog.systems.outreach.times import zone

# What is due before or after these hours of the campaign's clock waits for most patients' morning.
DAY_BEGINS, DAY_ENDS = time(8), time(22)
_SAMPLE = 5


@dataclass(frozen=True, slots=True)
class Day:
    """How many messages of a step are planned for a day (by the campaign's clock), none of them skipped."""

    date: date
    step: str
    number: int


@dataclass(frozen=True, slots=True)
class Preview:
    """`audience` patients are in the segment, about `control` of them get nothing, `overlapping` are in another campaign.

    `reachable`: how many could be reached now by which channel (somebody by several), and {"none": n}; `languages`: how
    many read which; `messages`: at most; `cost`: at most, in `currency` (None: no rates are set), a text message being one.
    `problems`: what `start` would refuse, each with "code", "field", "message" and "present". `sample`: a few ids. `notes`:
    what is to be known besides, as sentences.
    """

    audience: int
    control: int
    overlapping: int
    reachable: Mapping[str, int]
    languages: Mapping[str, int]
    calendar: Sequence[Day]
    messages: int
    cost: Decimal | None
    currency: str
    problems: Sequence[Mapping[str, Any]]
    sample: Sequence[UUID] = ()
    notes: Sequence[str] = ()


def preview(wanted: CampaignInput, *, campaign_id: UUID | None = None) -> Preview:
    """Look at a plan, stored (then `campaign_id`, which does not overlap with itself) or not.

    Raises:
        OutreachError: as `store.create`, but that a step without a text is among `problems`, as is all that only the
            beginning would refuse; as `membership.audience_of`.
    """
    plan = plan_of(wanted)
    with transaction("service:outreach"):
        require_organization(wanted.organization_id)
        found = look_at(wanted, plan, require_segment(wanted), campaign_id=campaign_id, sample=_SAMPLE)
        rates = outcomes.rates(wanted.organization_id)
    control = round(found.audience * wanted.control_percent / 100)
    planned = found.audience - control
    due = _due(wanted, plan)
    return Preview(
        audience=found.audience,
        control=control,
        overlapping=found.overlapping,
        reachable=_reachable(plan, found),
        languages=_languages(found),
        calendar=[Day(at.date(), step.key, planned) for step, at in due],
        messages=planned * len(plan.steps),
        cost=_cost(plan, found, rates, treated=(100 - wanted.control_percent)) if rates else None,
        currency=rates.currency if rates else "",
        problems=[_problem(each) for each in found.problems],
        sample=found.sample,
        notes=[_note(wanted, step, at) for step, at in due if _is_late(wanted, at) or not _is_by_day(at)],
    )


def _due(wanted: CampaignInput, plan: Plan) -> list[tuple[Step, datetime]]:
    """When each step is due at the earliest, by the campaign's clock."""
    place = zone(wanted.timezone)
    now = datetime.now(place)
    due: dict[str, datetime] = {}
    for step in plan.steps:
        if step.after is None:
            due[step.key] = clock.first_due(now, wanted.start_date, step.offset, wanted.timezone)
        else:
            due[step.key] = clock.later(due[step.after], step.offset, wanted.timezone)
    return [(step, due[step.key].astimezone(place)) for step in plan.steps]


def _reachable(plan: Plan, found: LookedAt) -> dict[str, int]:
    reached: Counter[str] = Counter()
    for group in found.people:
        ways = frozenset(way for step in plan.steps for way in people.ways_of(step, group))
        for way in ways or ("none",):
            reached[str(way)] += group.number
    return dict(reached.most_common())


def _languages(found: LookedAt) -> dict[str, int]:
    read: Counter[str] = Counter()
    for group in found.people:
        read[group.language] += group.number
    return dict(read.most_common())


def _cost(plan: Plan, found: LookedAt, rates: outcomes.Rates, *, treated: int) -> Decimal:
    """What the dearest way to each patient costs, for each step."""
    prices = {"email": rates.email_cost, "sms": rates.sms_cost, "whatsapp": rates.whatsapp_cost}
    whole = sum(
        (
            max((prices[way] for way in people.ways_of(step, group)), default=Decimal(0)) * group.number
            for step in plan.steps
            for group in found.people
        ),
        Decimal(0),
    )
    return (whole * treated / 100).quantize(Decimal("0.01"))


def _problem(error: OutreachError) -> dict[str, Any]:
    return {"code": error.code, "field": error.field, "message": error.message, "present": dict(error.present)}


def _note(wanted: CampaignInput, step: Step, at: datetime) -> str:
    if _is_late(wanted, at):
        return f"{step.name} is due on {at:%d %B %Y}, after the last day: it is never sent."
    return f"{step.name} is due at {at:%H:%M}, when most patients are not to be disturbed: it leaves in the morning."


def _is_late(wanted: CampaignInput, at: datetime) -> bool:
    return wanted.end_date is not None and at.date() > wanted.end_date


def _is_by_day(at: datetime) -> bool:
    return DAY_BEGINS <= at.time() < DAY_ENDS
