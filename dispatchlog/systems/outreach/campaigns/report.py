"""What became of a campaign: by step and variant, the test of its variants, and the control group. Reads only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.systems.outreach.campaigns import report_counts
from dispatchlog.systems.outreach.campaigns.report_counts import Counted
from dispatchlog.systems.outreach.experiments.sequential import Arm, Interval, Verdict, difference, judge
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.stats.reading import COUNTS, campaign_counts

EXIT = "EXIT_"


@dataclass(frozen=True, slots=True)
class StepReport:
    """One step: lines by state and reason, and what its messages came to ({"sent": n, "delivered": n, ...})."""

    step: str
    states: Mapping[str, int]
    reasons: Mapping[str, int]
    counts: Mapping[str, int]
    by_variant: Mapping[str, Mapping[str, int]]
    by_channel: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class VariantReport:
    """One variant: patients who were sent something of it, how many of them reached the goal, and their share with its
    95 % interval, which holds however often one looks."""

    key: str
    patients: int
    reached: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class TestReport:
    """`verdict`: "too_few", "undecided", "winner"; `difference` of the two best with its interval, in parts of one."""

    goal: str
    minimum: int
    variants: Sequence[VariantReport]
    verdict: str
    winner: str | None
    difference: tuple[float, float, float] | None
    words: str


@dataclass(frozen=True, slots=True)
class Report:
    """A campaign's report. `control` and `treated`: patients, and how many of each booked, kept or missed an appointment
    that was made since the audience was settled. `exits`: patients by the rule that ended it for them. `extra`:
    "taken_at", when lines and patients were counted (None: not yet; what messages came to is of now), and "booked", the
    share of the treated who booked less that of the control group, with bounds that hold at every look, or None."""

    campaign_id: UUID
    audience: int
    steps: Sequence[StepReport]
    test: TestReport | None
    control: Mapping[str, int]
    treated: Mapping[str, int]
    exits: Mapping[str, int]
    extra: Mapping[str, Any]


def report(campaign_id: UUID, *, now: bool = False) -> Report:
    """Small campaigns are counted at once, of large ones comes what the clock counted last; `now`: count in any case.

    Raises OutreachError: CAMPAIGN_NOT_FOUND.
    """
    with connected():
        found = fetch_dicts("SELECT * FROM comm_campaigns WHERE id = %s", (campaign_id,))
        if not found:
            raise OutreachError("There is no such campaign.", code="CAMPAIGN_NOT_FOUND")
        campaign = found[0]
        counted = _counted(campaign, now=now)
        messages = campaign_counts(campaign_id)
    return Report(
        campaign_id,
        campaign["audience"],
        [_step(step["key"], counted, messages) for step in campaign["steps"]],
        _test(campaign["ab_variants"], counted),
        counted.control,
        counted.treated,
        _sums((reason.removeprefix(EXIT).lower(), n) for *_, reason, n in counted.lines if reason.startswith(EXIT)),
        {"taken_at": counted.taken_at, "booked": _booked(counted)},
    )


def _counted(campaign: Mapping[str, Any], *, now: bool) -> Counted:
    if campaign["audience_at"] is None:
        return report_counts.NOT_YET
    if now or campaign["audience"] <= report_counts.COUNTED_AT_ONCE:
        return report_counts.count(campaign)
    return report_counts.kept(campaign["id"])


def _step(key: str, counted: Counted, messages: Sequence[Mapping[str, Any]]) -> StepReport:
    lines = [line for line in counted.lines if line[0] == key]
    own = [row for row in messages if row["step"] == key]
    return StepReport(
        key,
        _sums((state, n) for _, _, state, _, n in lines),
        _sums((reason, n) for *_, reason, n in lines if reason),
        _totals(own),
        {name: _totals([row for row in own if row["variant"] == name]) for name in _names(own, "variant")},
        {name: _totals([row for row in own if row["channel"] == name]) for name in _names(own, "channel")},
    )


def _sums(pairs: Any) -> dict[str, int]:
    found: Counter[str] = Counter()
    for name, number in pairs:
        found[name] += number
    return dict(found)


def _names(rows: Sequence[Mapping[str, Any]], column: str) -> list[str]:
    return sorted({str(row[column]) for row in rows if row[column]})


def _totals(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    return {name: sum(int(row[name]) for row in rows) for name in COUNTS}


def _test(variants: Mapping[str, Any], counted: Counted) -> TestReport | None:
    keys = [each["key"] for each in variants.get("variants", ())]
    if not keys:
        return None
    goal, minimum = variants.get("goal", "answered"), int(variants.get("minimum", 200))
    arms = {key: Arm(*counted.variants.get(key, (0, 0))) for key in keys}
    verdict = judge(arms, minimum=minimum)
    return TestReport(
        goal,
        minimum,
        [_variant(key, arm, verdict.shares[key]) for key, arm in arms.items()],
        verdict.verdict,
        verdict.winner,
        _bounds(verdict.difference),
        _words(arms, verdict, minimum),
    )


def _variant(key: str, arm: Arm, share: Interval) -> VariantReport:
    if not arm.tries:
        return VariantReport(key, 0, 0, None, None, None)
    return VariantReport(key, arm.tries, arm.wins, share.estimate, share.low, share.high)


def _bounds(found: Interval | None) -> tuple[float, float, float] | None:
    return (found.estimate, found.low, found.high) if found else None


def _words(arms: Mapping[str, Arm], verdict: Verdict, minimum: int) -> str:
    if verdict.verdict == "too_few":
        fewest = min(arms, key=lambda key: arms[key].tries)
        return f"Too few patients yet: each text needs {minimum:,}, {fewest} has {arms[fewest].tries:,}."
    apart = verdict.difference
    if apart is None:
        return "It cannot be said which text is better."
    best = max(arms, key=lambda key: arms[key].share)
    points = f"{100 * apart.estimate:.1f} percentage points ({100 * apart.low:.1f} to {100 * apart.high:.1f})"
    if verdict.winner is None:
        return f"It cannot be said yet which text is better: {best} is ahead of the next by {points}."
    return f"{best} is better than the next by {points}. This holds however often one looks."


def _booked(counted: Counted) -> tuple[float, float, float] | None:
    groups = [Arm(group["patients"], group["booked"]) for group in (counted.treated, counted.control)]
    return _bounds(difference(*groups)) if all(group.tries for group in groups) else None
