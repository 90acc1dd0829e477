"""What a campaign is to do, as plain values. Reads and checks nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.states import Channel, Purpose

CONDITIONS = (
    *("sent", "not_sent", "delivered", "not_delivered", "opened", "not_opened"),
    *("clicked", "not_clicked", "answered", "not_answered", "confirmed", "not_confirmed"),
)
EXITS = ("answered", "confirmed", "clicked", "opted_out", "left_segment", "booked")
GOALS = ("answered", "clicked", "confirmed")
OVERLAPS = ("refuse", "exclude", "allow")
MOST_STEPS = 20


@dataclass(frozen=True, slots=True)
class Condition:
    """That an earlier step's message has, or has not, been sent, delivered, opened, clicked, answered or confirmed."""

    step: str
    holds: str


@dataclass(frozen=True, slots=True)
class Step:
    """One message of a campaign; `after` None: the first."""

    key: str
    name: str
    after: str | None
    offset: timedelta
    purpose: Purpose
    family: str = ""
    channel: Channel | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    conditions: Sequence[Condition] = ()


@dataclass(frozen=True, slots=True)
class Variants:
    """Texts that are tried side by side: (key, weight) each, judged by `goal` once each has `minimum` patients."""

    shares: Sequence[tuple[str, int]] = ()
    goal: str = "answered"
    minimum: int = 200


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign's steps in the order in which they can come, and its rules."""

    steps: Sequence[Step]
    variants: Variants
    per_day: int | None = None
    per_week: int | None = None
    per_month: int | None = None
    exits: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CampaignInput:
    """What is written of a campaign, as its columns."""

    name: str
    segment_id: UUID
    steps: Sequence[Mapping[str, Any]]
    description: str = ""
    ab_variants: Mapping[str, Any] = field(default_factory=dict)
    frequency: Mapping[str, Any] = field(default_factory=dict)
    exit_rules: Sequence[str] = ()
    overlap: str = "refuse"
    language_fallback: bool = False
    control_percent: int = 0
    timezone: str = "America/New_York"
    organization_id: UUID | None = None
    start_date: date | None = None
    end_date: date | None = None
