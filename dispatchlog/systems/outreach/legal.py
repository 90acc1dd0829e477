"""Between which hours the law of a place lets messages arrive, and how many a day. Data with its sources; counsel confirms."""

from __future__ import annotations

from dataclasses import dataclass

from dispatchlog.systems.outreach.states import Channel
from dispatchlog.systems.outreach.times import Hours


@dataclass(frozen=True, slots=True)
class LegalRules:
    """`hours`: None: any; `per_day`, `per_week`: None: no limit; `name` for pages, with the source."""

    hours: Hours | None
    per_day: int | None
    per_week: int | None
    name: str


def legal_rules(channel: Channel, *, country: str, region: str, marketing: bool) -> LegalRules:
    """What holds for a channel at a place (ISO 3166-1 alpha-2, region as in ISO 3166-2 without its country). An unknown place
    has the strictest hours known, since nothing says which law holds."""
    raise NotImplementedError
