"""The JSON documents in which segments and campaigns are written and moved. Owns their shape; what rules and steps may say
belongs to `dispatchlog.systems.outreach.segments` and `campaigns`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import Field

from dispatchlog.comm_documents import SnakeDocument, Text
from dispatchlog.order_documents import ONE_LINE, Id
from dispatchlog.systems.outreach.campaigns.plans import CampaignInput
from dispatchlog.systems.outreach.segments.store import SegmentInput

Rules = Annotated[dict[str, Any], Field(description="as react-querybuilder writes it: combinator, not, rules")]
BasedOn = Annotated[int, Field(ge=1, description="the version that was looked at")]


class SegmentDocument(SnakeDocument):
    """A segment; to change one, with the version that is changed."""

    name: Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
    rules: Rules
    description: Annotated[str, Field(max_length=5_000)] = ""
    organization_id: Annotated[Id | None, Field(description="only its patients; everybody's unless told")] = None
    based_on: Annotated[int | None, Field(ge=1, description="of a change: the version that it changes")] = None

    def to_input(self) -> SegmentInput:
        return SegmentInput(self.name, self.rules, self.description, self.organization_id)


class RulesDocument(SnakeDocument):
    """Rules to try."""

    rules: Rules
    organization_id: Id | None = None


class CampaignDocument(SnakeDocument):
    """A campaign; to change a draft, with the version that is changed."""

    name: Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
    segment_id: Id
    steps: Annotated[list[dict[str, Any]], Field(max_length=100)]
    description: Annotated[str, Field(max_length=5_000)] = ""
    ab_variants: Annotated[dict[str, Any], Field(default_factory=dict)]
    frequency: Annotated[dict[str, Any], Field(default_factory=dict)]
    exit_rules: Annotated[list[Text], Field(default_factory=list, max_length=20)]
    overlap: Annotated[str, Field(max_length=16, description="refuse, exclude, allow")] = "refuse"
    language_fallback: Annotated[bool, Field(description="English for a language that has no text")] = False
    control_percent: Annotated[int, Field(ge=0, le=50, description="how many of a hundred get nothing")] = 0
    timezone: Annotated[str, Field(max_length=50), ONE_LINE] = "America/New_York"
    organization_id: Id | None = None
    start_date: date | None = None
    end_date: date | None = None
    based_on: Annotated[int | None, Field(ge=1, description="of a change: the version that it changes")] = None

    def to_input(self) -> CampaignInput:
        said = {name: getattr(self, name) for name in CampaignInput.__dataclass_fields__}
        return CampaignInput(**said)


class StartDocument(SnakeDocument):
    """Begin a campaign as it was looked at."""

    based_on: BasedOn


class CopyDocument(SnakeDocument):
    """The copy's name."""

    name: Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]


class WinnerDocument(SnakeDocument):
    """Which variant the rest of the patients get."""

    variant: Annotated[str, Field(min_length=1, max_length=50), ONE_LINE]
