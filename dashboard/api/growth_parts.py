"""What the API answers about segments, campaigns and figures, with the names of the outreach specification. No patient is
named in it, and a column that is not listed here never leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import ConfigDict

from dashboard.api.comm_parts import SnakePart
from dispatchlog.systems.outreach.campaigns.preview import Preview
from dispatchlog.systems.outreach.campaigns.report import Report
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.segments.store import Segment
from dispatchlog.systems.outreach.stats.outcomes import Outcomes


class StoredPart(SnakePart):
    """A part that is read from what is kept, by its names."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


class SegmentPart(StoredPart):
    """A segment; `patient_count` is how many it meant at `last_evaluated`."""

    id: UUID
    name: str
    description: str
    rules: dict[str, Any]
    organization_id: UUID | None
    created_by: str
    is_active: bool
    last_evaluated: datetime | None
    patient_count: int
    version: int
    created_at: datetime
    updated_at: datetime


class SegmentAnswer(SnakePart):
    """One segment."""

    segment: SegmentPart

    @classmethod
    def of(cls, segment: Segment) -> SegmentAnswer:
        return cls(segment=SegmentPart.model_validate(segment))


class SegmentListAnswer(SnakePart):
    """Segments by name."""

    segments: list[SegmentPart]


class CountAnswer(SnakePart):
    """How many patients rules mean now, and how long counting took."""

    patient_count: int
    milliseconds: int


class CatalogueAnswer(SnakePart):
    """What rules may ask, for a builder."""

    fields: list[dict[str, Any]]
    operators: dict[str, Any]


class CampaignPart(StoredPart):
    """A campaign; `audience` is how many patients are in it once it is begun."""

    id: UUID
    name: str
    description: str
    segment_id: UUID
    steps: list[dict[str, Any]]
    ab_variants: dict[str, Any]
    frequency: dict[str, Any]
    exit_rules: list[str]
    overlap: str
    language_fallback: bool
    control_percent: int
    timezone: str
    organization_id: UUID | None
    created_by: str
    status: str
    start_date: date | None
    end_date: date | None
    started_at: datetime | None
    ended_at: datetime | None
    ended_reason: str
    audience: int
    winner: str | None
    version: int
    created_at: datetime
    updated_at: datetime


class CampaignAnswer(SnakePart):
    """One campaign."""

    campaign: CampaignPart

    @classmethod
    def of(cls, campaign: Campaign) -> CampaignAnswer:
        return cls(campaign=CampaignPart.model_validate(campaign))


class CampaignListAnswer(SnakePart):
    """Campaigns, latest first."""

    campaigns: list[CampaignPart]
    next_cursor: str | None


class PausedAnswer(SnakePart):
    """Which campaigns were paused."""

    campaigns: list[UUID]


class CampaignPreviewAnswer(SnakePart):
    """What a campaign would do; `problems` is what beginning it would refuse."""

    audience: int
    control: int
    overlapping: int
    reachable: dict[str, int]
    languages: dict[str, int]
    calendar: list[dict[str, Any]]
    messages: int
    cost: Decimal | None
    currency: str
    problems: list[dict[str, Any]]

    @classmethod
    def of(cls, found: Preview) -> CampaignPreviewAnswer:
        return cls.model_validate(asdict(found))


class ReportAnswer(SnakePart):
    """What became of a campaign."""

    campaign_id: UUID
    audience: int
    steps: list[dict[str, Any]]
    test: dict[str, Any] | None
    control: dict[str, int]
    treated: dict[str, int]
    exits: dict[str, int]

    @classmethod
    def of(cls, found: Report) -> ReportAnswer:
        return cls.model_validate(asdict(found))


class StatsAnswer(SnakePart):
    """Figures by the columns that were asked for. A message counts on the day (UTC) on which it was sent."""

    rows: list[dict[str, Any]]

    @classmethod
    def of(cls, rows: list[Mapping[str, object]]) -> StatsAnswer:
        return cls(rows=[dict(row) for row in rows])


class OutcomesAnswer(SnakePart):
    """Missed appointments with and without a reminder, and what came back for what was spent."""

    reminded: dict[str, Any]
    confirmed: dict[str, Any]
    not_reminded: dict[str, Any]
    baseline: float | None
    baseline_from: str
    saved: float | None
    worth: Decimal | None
    cost: Decimal | None
    cost_by_channel: dict[str, Decimal]
    roi: float | None
    currency: str

    @classmethod
    def of(cls, found: Outcomes) -> OutcomesAnswer:
        return cls.model_validate(asdict(found))
