"""How far a campaign is, in numbers that its pages show. Computes; reads no table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dashboard.campaign_charts import FUNNEL, funnel_chart
from dashboard.campaign_words import (
    GROUP_WORDS,
    channel_word,
    condition_words,
    reason_words,
    text_words,
    when_words,
)
from dashboard.charts import Chart
from dispatchlog.systems.outreach.campaigns.report import Report
from dispatchlog.systems.outreach.campaigns.store import Campaign

_EMPTY: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Progress:
    """A campaign in a list: how many messages were sent and answered, and how much of the first step was sent."""

    sent: int
    answered: int
    reached: int
    meant: int

    @property
    def per_cent(self) -> int:
        return min(100, round(100 * self.reached / self.meant)) if self.meant else 0


@dataclass(frozen=True, slots=True)
class StepShown:
    """One step of the plan with what became of it."""

    key: str
    name: str
    when: str
    text: str
    channel: str
    conditions: Sequence[str]
    waiting: int
    made: int
    skipped: int
    reasons: Sequence[tuple[str, int]]
    counts: Mapping[str, int]
    by_variant: Mapping[str, Mapping[str, int]]
    by_channel: Mapping[str, Mapping[str, int]]
    chart: Chart


@dataclass(frozen=True, slots=True)
class Share:
    """So many of `of`; none of anything where that is 0."""

    number: int
    of: int


@dataclass(frozen=True, slots=True)
class Expansion:
    """How many of the audience have their line."""

    done: int
    of: int


def progress_of(one: Campaign, by_step: Mapping[str, Mapping[str, int]]) -> Progress:
    """What was counted of it."""
    first = one.plan.steps[0].key if one.plan.steps else ""
    meant = one.audience - one.audience * one.control_percent // 100
    return Progress(
        sum(counts["sent"] for counts in by_step.values()),
        sum(counts["replied"] for counts in by_step.values()),
        by_step.get(first, _EMPTY).get("sent", 0),
        meant,
    )


def expansion_of(one: Campaign, found: Report) -> Expansion | None:
    """How far its lines are written; None where they are not being written."""
    if one.status == "draft" or one.expanded_at is not None or not found.steps:
        return None
    return Expansion(min(sum(found.steps[0].states.values()), one.audience), one.audience)


def group_lines(found: Report) -> list[tuple[str, Share, Share]]:
    """Those who were written to beside the control group, line by line."""
    return [(words, _share(found.treated, name), _share(found.control, name)) for name, words in GROUP_WORDS.items()]


def _share(group: Mapping[str, int], name: str) -> Share:
    return Share(group.get(name, 0), group.get("patients", 0) if name != "patients" else 0)


def steps_shown(one: Campaign, found: Report) -> list[StepShown]:
    """The plan's steps in their order."""
    reported = {each.step: each for each in found.steps}
    names = {step.key: step.name or step.key for step in one.plan.steps}
    most = max((each.counts.get(FUNNEL[0][0], 0) for each in found.steps), default=0)
    shown: list[StepShown] = []
    for step in one.plan.steps:
        each = reported.get(step.key)
        states, counts = (each.states, each.counts) if each else (_EMPTY, _EMPTY)
        reasons = sorted((each.reasons if each else _EMPTY).items(), key=lambda line: (-line[1], line[0]))
        shown.append(
            StepShown(
                step.key,
                names[step.key],
                when_words(step, names),
                text_words(step),
                channel_word(step),
                [condition_words(condition, names) for condition in step.conditions],
                states.get("WAITING", 0),
                states.get("MADE", 0),
                states.get("SKIPPED", 0),
                [(reason_words(code), number) for code, number in reasons if code != "CONTROL"],
                counts,
                each.by_variant if each else {},
                each.by_channel if each else {},
                funnel_chart(counts, most=most),
            )
        )
    return shown
