"""A campaign's report as lines of a file, one figure each; nothing in it is of a single patient. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dispatchlog.systems.outreach.campaigns.report import Report, StepReport
from dispatchlog.systems.outreach.campaigns.store import Campaign

HEAD = ("campaign", "step", "step_name", "about", "key", "figure", "value")
_OF_VARIANT = ("patients", "reached", "share", "low", "high")

Line = Sequence[Any]


def report_lines(one: Campaign, found: Report) -> list[Line]:
    """All figures of the report."""
    names = {step.key: step.name for step in one.plan.steps}
    lines: list[Line] = [(one.name, "", "", "campaign", "", "audience", found.audience)]
    for group, counts in (("control", found.control), ("treated", found.treated)):
        lines += _figures((one.name, "", "", group, ""), counts)
    for step in found.steps:
        lines += _of_step(step, (one.name, step.step, names.get(step.step, "")))
    for each in found.test.variants if found.test else ():
        values = {name: getattr(each, name) for name in _OF_VARIANT}
        lines += _figures((one.name, "", "", "test", each.key), values)
    return lines


def _of_step(step: StepReport, place: Line) -> Iterator[Line]:
    for about, counts in (("lines", step.states), ("skipped", step.reasons), ("messages", step.counts)):
        yield from _figures((*place, about, ""), counts)
    for about, groups in (("variant", step.by_variant), ("channel", step.by_channel)):
        for key, counts in groups.items():
            yield from _figures((*place, about, key), counts)


def _figures(place: Line, counts: Mapping[str, Any]) -> Iterator[Line]:
    return ((*place, name, number) for name, number in counts.items())
