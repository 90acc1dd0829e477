"""Owns how figures are shown: tables for people, one line of JSON for programs. Measures nothing."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from bench.figures import FIGURES, PEERS, goals, left_out, summary
from bench.plan import Plan
from bench.scenarios import SCENARIOS, Samples

_WIDTH = 50


def rates(samples: Samples) -> str:
    """One line per scenario that gives a rate: median, slowest and fastest repetition."""
    lines = [f"{'dispatches per second':<{_WIDTH}}{'median':>10}{'slowest':>10}{'fastest':>10}"]
    for scenario in SCENARIOS:
        if taken := samples.get(scenario.name) if scenario.is_rate else None:
            figures = (statistics.median(taken), min(taken), max(taken))
            lines.append(f"{scenario.title:<{_WIDTH}}" + "".join(f"{figure:>10,.0f}" for figure in figures))
    return "\n".join(lines)


def figures(samples: Samples) -> str:
    """One line per figure that was measured, beside what it should be."""
    titles = {f"ratio_{peer.name}": f"engine / {peer.name}" for peer in PEERS}
    titles |= {figure.name: figure.title for figure in FIGURES}
    wanted = goals()
    lines = []
    for name, value in summary(samples).items():
        if name not in titles or value is None:
            continue
        goal = wanted.get(name)
        verdict = f"   {goal}: {'met' if goal.is_met_by(value) else 'MISSED'}" if goal else ""
        lines.append(f"{titles[name]:<{_WIDTH}}{value:>10,.4g}{verdict}")
    return "\n".join(lines)


def json_line(samples: Samples, plan: Plan, facts: Mapping[str, str], *, reasons: Mapping[str, str]) -> str:
    """Everything, on one line. What was not measured is null; `left_out` says why."""
    made = summary(samples)
    whole: dict[str, Any] = {
        **made,
        "left_out": left_out(made, reasons),
        "goals": {name: {"goal": str(goal), "met": _met(goal, made[name])} for name, goal in goals().items()},
        "plan": asdict(plan),
        "provider_concurrency": plan.provider_concurrency,
        "samples": {name: [float(f"{value:.4g}") for value in values] for name, values in samples.items()},
        "machine": dict(facts),
    }
    return json.dumps(whole)


def _met(goal: Any, value: float | None) -> bool | None:
    return None if value is None else goal.is_met_by(value)
