"""The figures that are made of the scenarios' samples, and what they should be. Measures nothing."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.plan import SIZE_NAMES
from bench.scenarios import Samples


def p99(values: Sequence[float]) -> float:
    """The least value that 99 % of all do not exceed; with fewer than a hundred that is the largest."""
    ordered = sorted(values)
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure should be: `limit` or more, or, where `at_most`, `limit` or less."""

    limit: float
    at_most: bool = False

    def is_met_by(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit

    def __str__(self) -> str:
        return f"{'at most' if self.at_most else 'at least'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Peer:
    """One that the engine is compared with: its figure is the best median among these scenarios."""

    name: str
    scenarios: tuple[str, ...]
    goal: Goal | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure that is no comparison: what `reduce` makes of the set of samples `of` that `scenario` takes."""

    name: str
    title: str
    scenario: str
    of: str
    reduce: Callable[[Sequence[float]], float] = statistics.median
    goal: Goal | None = None


ENGINE = "engine"

PEERS = (
    Peer("pgbench", ("pgbench_1", "pgbench_2"), Goal(0.5)),
    Peer("dramatiq", ("dramatiq",), Goal(10)),
    Peer("celery", ("celery_2", "celery_4", "celery_8"), Goal(25)),
    Peer("procrastinate", ("procrastinate_2x8", "procrastinate_4x2"), Goal(10)),
    Peer("rq", ("rq_2", "rq_4", "rq_forking")),
)


def _growth_figures() -> tuple[Figure, ...]:
    least, *larger = SIZE_NAMES.values()
    titles = {
        "claim": "one claim with its commit",
        "list_first": "list of dispatches, first page",
        "list_deep": "list of dispatches, a page half-way",
        "list_counts": "the counts beside its states",
    }
    return (
        *(
            Figure(
                f"claim_growth_{size}_over_{least}",
                f"claim at {size} rows / at {least}",
                "growth",
                f"claim_growth_{size}_over_{least}",
                goal=Goal(1.5, at_most=True),
            )
            for size in larger
        ),
        *(
            Figure(f"{what}_ms_{size}", f"{title}, {size} rows, ms", "growth", f"{what}_{size}")
            for what, title in titles.items()
            for size in SIZE_NAMES.values()
        ),
    )


FIGURES = (
    Figure(
        "provider20ms_efficiency",
        "20 ms provider: rate / (concurrency / latency)",
        "http",
        "http_efficiency",
        goal=Goal(0.9),
    ),
    Figure(
        "latency_idle_p50_ms",
        "urgent, commit to provider, idle, p50, ms",
        "latency_idle",
        "latency_idle",
        goal=Goal(50, at_most=True),
    ),
    Figure("latency_idle_p99_ms", "urgent, commit to provider, idle, p99, ms", "latency_idle", "latency_idle", p99),
    Figure("latency_loaded_p50_ms", "the same beside a backlog, p50, ms", "latency_loaded", "latency_loaded"),
    Figure("latency_loaded_p99_ms", "the same beside a backlog, p99, ms", "latency_loaded", "latency_loaded", p99),
    Figure("recovery_p50_s", "kill -9 to all of its rows sent, p50, s", "recovery", "recovery"),
    Figure(
        "recovery_p99_s",
        "kill -9 to all of its rows sent, p99, s",
        "recovery",
        "recovery",
        p99,
        Goal(2, at_most=True),
    ),
    Figure("recovery_held_rows", "rows in the killed worker's hands", "recovery", "recovery_held"),
    Figure("worker_rss_mb", "memory of a worker process, resident, MB", "memory", "rss", max, Goal(120, at_most=True)),
    Figure("worker_pss_mb", "the same, shared pages divided, MB", "memory", "pss", max),
    Figure("worker_peak_mb", "the same, the most that was resident, MB", "memory", "peak", max),
    Figure("sweep_ms", "sweep of waiting rows, ms", "sweep", "sweep"),
    Figure("sweep_first_claim_ms", "the first claim after it, ms", "sweep", "sweep_first_claim"),
    Figure("unswept_look_ms", "a worker's look while they wait, ms", "sweep", "unswept_look"),
    Figure("unswept_claim_ms", "a claim in vain while they wait, ms", "sweep", "unswept_claim"),
    *_growth_figures(),
)


def goals() -> dict[str, Goal]:
    """The goals by the names of their figures."""
    compared = {f"ratio_{peer.name}": peer.goal for peer in PEERS}
    measured = {figure.name: figure.goal for figure in FIGURES}
    return {name: goal for name, goal in (compared | measured).items() if goal is not None}


def summary(samples: Samples) -> dict[str, float | None]:
    """Every figure by name: `<peer>_per_s`, `ratio_<peer>` and the others. None: not measured."""
    figures: dict[str, float | None] = {}
    engine = _best_median(samples, (ENGINE,))
    figures["engine_per_s"] = _rounded(engine)
    for peer in PEERS:
        figures[f"{peer.name}_per_s"] = _rounded(_best_median(samples, peer.scenarios))
    for peer in PEERS:
        rate = _best_median(samples, peer.scenarios)
        figures[f"ratio_{peer.name}"] = None if rate is None or engine is None else _rounded(engine / rate)
    for figure in FIGURES:
        values = samples.get(figure.of)
        figures[figure.name] = _rounded(figure.reduce(values)) if values else None
    return figures


def left_out(figures: Mapping[str, float | None], reasons: Mapping[str, str]) -> list[str]:
    """What was not measured and why, by the `reasons` of the scenarios that were not run."""
    unmade = [f"{name}: {reason}" for name, reason in reasons.items()]
    unmade += [
        f"{figure.name}: needs --growth {figure.name.partition('_over')[0].rpartition('_')[2]}"
        for figure in FIGURES
        if figures[figure.name] is None and figure.scenario == "growth" and "growth" not in reasons
    ]
    return unmade


def _best_median(samples: Samples, scenarios: Sequence[str]) -> float | None:
    return max((statistics.median(samples[name]) for name in scenarios if samples.get(name)), default=None)


def _rounded(value: float | None) -> float | None:
    """Four figures are more than any of them is good for."""
    if value is None or value == 0:
        return value
    return round(value, 3 - math.floor(math.log10(abs(value)))) if abs(value) < 1000 else round(value, 1)
