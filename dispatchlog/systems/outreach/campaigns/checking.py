"""Whether a campaign may begin: everything that speaks against it, each with its place. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.campaigns import audience, clock, people
from dispatchlog.systems.outreach.campaigns.people import People
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput, Plan
from dispatchlog.systems.outreach.campaigns.texts import missing_texts, texts_of, unfit_texts
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.segments import membership

# A statement about a million patients takes a second or two where the machine has time for it.
SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class LookedAt:
    """What was found of a plan: `audience` patients that it would reach out to, in groups; `overlapping` of the segment's
    patients are in another campaign, and are left out of `audience` where the plan says so."""

    people: Sequence[People]
    audience: int
    overlapping: int
    problems: Sequence[OutreachError]
    sample: Sequence[UUID] = ()


def look_at(
    wanted: CampaignInput, plan: Plan, segment: Mapping[str, Any], *, campaign_id: UUID | None, sample: int = 0
) -> LookedAt:
    """Look at everything, in one transaction. `segment`: its segment's row; `sample`: a few patients more are named.

    Raises:
        OutreachError: SEGMENT_TOO_SLOW; as `membership.audience_of`, where the segment's rules cannot be asked any more.
    """
    with membership.whole_tables(seconds=SECONDS):
        meant = audience.meant(wanted, segment)
        taken = audience.elsewhere(wanted, but=campaign_id)
        overlapping = people.count(audience.both(meant, taken)) if taken is not audience.NOBODY else 0
        if wanted.overlap == "exclude" and overlapping:
            meant = audience.without(meant, taken)
        groups = people.people_of(meant, plan)
        drawn = people.sample(meant, sample) if sample else ()
    number = sum(group.number for group in groups)
    problems = [
        *_without_anybody(number, overlapping),
        *_too_late(wanted),
        *(_overlap(wanted, overlapping, campaign_id) if wanted.overlap == "refuse" and overlapping else ()),
        *_of_texts(wanted, plan, groups),
    ]
    return LookedAt(groups, number, overlapping, problems, drawn)


def require_time_left(wanted: CampaignInput) -> None:
    """That its last day is not over, by its clock. Raises OutreachError: END_DATE_PASSED."""
    for problem in _too_late(wanted):
        raise problem


def _too_late(wanted: CampaignInput) -> Iterator[OutreachError]:
    if wanted.end_date is not None and wanted.end_date < clock.today(datetime.now(UTC), wanted.timezone):
        yield OutreachError("the last day of the campaign is over", code="END_DATE_PASSED", field="end_date")


def _without_anybody(number: int, overlapping: int) -> Iterator[OutreachError]:
    if not number:
        words = "every patient of the segment is in another campaign" if overlapping else "nobody is in the segment now"
        yield OutreachError(words, code="EMPTY_AUDIENCE", field="segment_id")


def _overlap(wanted: CampaignInput, number: int, campaign_id: UUID | None) -> Iterator[OutreachError]:
    others = [{"id": str(row["id"]), "name": row["name"]} for row in audience.others_of(wanted, but=campaign_id)]
    yield OutreachError(
        f"{number:,} of the patients are in another campaign at the same time",
        code="CAMPAIGN_OVERLAP",
        field="overlap",
        present={"patients": number, "campaigns": others},
    )


def _of_texts(wanted: CampaignInput, plan: Plan, groups: Sequence[People]) -> Iterator[OutreachError]:
    texts = texts_of(plan, wanted.organization_id)
    yield from missing_texts(plan, texts)
    with_texts = {f"steps[{n}].family" for n, mine in enumerate(texts) if mine}
    if not wanted.language_fallback:
        yield from (each for each in people.missing_languages(plan, groups) if each.field in with_texts)
    yield from unfit_texts(plan, texts, timezone=wanted.timezone)
