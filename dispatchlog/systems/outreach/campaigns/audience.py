"""Who a campaign is for: its segment's patients now, and who of them is in another one. Makes conditions, runs none.

Each is a condition about `patients p`, for whatever asks about many patients in one statement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.ledger import as_uuids
from dispatchlog.systems.outreach.campaigns import clock
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.segments import membership
from dispatchlog.systems.outreach.segments.compiling import Compiled

NOBODY = Compiled("false", ())


def meant(wanted: CampaignInput, segment: Mapping[str, Any]) -> Compiled:
    """Active patients that its segment has now, of its organisation where it has one. `segment`: the segment's row.

    Raises:
        OutreachError: as `membership.audience_of`.
    """
    owner = wanted.organization_id or segment["organization_id"]
    found = membership.audience_of(segment["rules"], organization_id=owner, but=segment["id"])
    return Compiled(f"(p.active AND ({found.where}))", found.params)


def elsewhere(wanted: CampaignInput, *, but: UUID | None = None) -> Compiled:
    """Patients with a line in a campaign that is active or paused and whose days meet this one's, or in the audience of one
    whose lines are not all written yet. `but` is the campaign itself, where it is stored.

    Raises:
        OutreachError: as `membership.audience_of`, of another campaign's segment.
    """
    others = others_of(wanted, but=but)
    begun = [row["id"] for row in others if row["audience_at"] is not None]
    conditions = [_in_lines(begun)] if begun else []
    conditions += [_in_segment(row) for row in others if row["audience_at"] is None]
    if not conditions:
        return NOBODY
    return Compiled(
        f"({' OR '.join(each.where for each in conditions)})",
        tuple(value for each in conditions for value in each.params),
    )


def without(one: Compiled, other: Compiled) -> Compiled:
    """Whoever the first has and the second has not."""
    return Compiled(f"({one.where} AND NOT {other.where})", (*one.params, *other.params))


def both(one: Compiled, other: Compiled) -> Compiled:
    """Whoever is in both."""
    return Compiled(f"({one.where} AND {other.where})", (*one.params, *other.params))


def others_of(wanted: CampaignInput, *, but: UUID | None = None) -> Sequence[Mapping[str, Any]]:
    """Campaigns that are active or paused and whose days meet this one's, with their segments' rules."""
    return fetch_dicts(
        "SELECT c.id, c.name, c.audience_at, c.organization_id, c.segment_id, s.rules,"
        " s.organization_id AS organization_of_segment"
        " FROM comm_campaigns c JOIN patient_segments s ON s.id = c.segment_id"
        " WHERE c.status IN ('active', 'paused') AND c.id IS DISTINCT FROM %s"
        " AND daterange(c.start_date, c.end_date, '[]') && daterange(%s, %s, '[]') ORDER BY c.created_at, c.id",
        (but, first_day(wanted), wanted.end_date),
    )


def first_day(wanted: CampaignInput) -> date:
    """The day on which it begins, or would if it began now, by the campaign's clock."""
    return wanted.start_date or clock.today(datetime.now(UTC), wanted.timezone)


def _in_lines(ids: Sequence[UUID]) -> Compiled:
    # Every patient of a campaign has a line of its first step, or still stands in its audience.
    return Compiled(
        "(p.id IN (SELECT l.patient_id FROM comm_campaigns c JOIN comm_campaign_sends l ON l.campaign_id = c.id"
        " AND l.step = c.steps -> 0 ->> 'key' WHERE c.id = ANY (%s::uuid[]))"
        " OR p.id IN (SELECT a.patient_id FROM comm_campaign_audience a WHERE a.campaign_id = ANY (%s::uuid[])))",
        (as_uuids(ids), as_uuids(ids)),
    )


def _in_segment(row: Mapping[str, Any]) -> Compiled:
    owner = row["organization_id"] or row["organization_of_segment"]
    found = membership.audience_of(row["rules"], organization_id=owner, but=row["segment_id"])
    return Compiled(f"({found.where})", found.params)
