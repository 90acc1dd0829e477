"""Owns how figures are shown: a table for people, one line of JSON for programs. Measures nothing."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.plan import Plan
from bench.scenarios import ENGINE, PEERS, SCENARIOS, Figure

Samples = Mapping[str, Sequence[float]]


def table(samples: Samples) -> str:
    """One line per measured scenario: median, slowest and fastest repetition."""
    lines = [f"{'':<42}{'median/s':>10}{'slowest':>10}{'fastest':>10}"]
    for scenario in SCENARIOS:
        rates = samples.get(scenario.name)
        if rates:
            figures = (statistics.median(rates), min(rates), max(rates))
            lines.append(f"{scenario.title:<42}" + "".join(f"{figure:>10,.0f}" for figure in figures))
    return "\n".join(lines)


def ratios(samples: Samples) -> str:
    """The engine's median divided by each peer's."""
    figures = summary(samples)
    return "\n".join(
        f"{'engine / ' + peer.name:<42}{figures[f'ratio_{peer.name}']:>10.2f}"
        for peer in PEERS
        if f"ratio_{peer.name}" in figures
    )


def summary(samples: Samples) -> dict[str, float]:
    """`<figure>_per_s` and `ratio_<peer>`, for what was measured."""
    figures: dict[str, float] = {}
    engine = _best_median(ENGINE, samples)
    if engine:
        figures["engine_per_s"] = round(engine, 1)
    for peer in PEERS:
        rate = _best_median(peer, samples)
        if rate:
            figures[f"{peer.name}_per_s"] = round(rate, 1)
        if rate and engine:
            figures[f"ratio_{peer.name}"] = round(engine / rate, 3)
    return figures


def json_line(samples: Samples, plan: Plan, facts: Mapping[str, str]) -> str:
    """Everything, on one line."""
    whole: dict[str, Any] = {
        **summary(samples),
        "rows": plan.rows,
        "message_rows": plan.message_rows,
        "batch": plan.batch,
        "slots": plan.slots,
        "processes": plan.processes,
        "repetitions": plan.repetitions,
        "samples": {name: [round(rate, 1) for rate in rates] for name, rates in samples.items()},
        "machine": dict(facts),
    }
    return json.dumps(whole)


def _best_median(figure: Figure, samples: Samples) -> float:
    return max((statistics.median(samples[name]) for name in figure.scenarios if samples.get(name)), default=0.0)
