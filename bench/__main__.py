"""Runs the benchmark: servers, scenarios in turn, report. Owns the order; every figure is a scenario's."""

from __future__ import annotations

import signal
import sys

from bench import machine, report
from bench.plan import Plan, read_plan
from bench.processes import MeasuringFailed
from bench.scenarios import SCENARIOS
from bench.servers import Servers, started_servers


def main() -> int:
    """0, or 1 when a scenario failed, or 130 after Ctrl-C; servers and workers are gone in every case."""
    plan = read_plan(sys.argv[1:], scenarios=[scenario.name for scenario in SCENARIOS])
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with started_servers() as servers:
            _run(servers, plan)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except MeasuringFailed as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def _run(servers: Servers, plan: Plan) -> None:
    facts = machine.facts(servers)
    for name, value in facts.items():
        print(f"{name:<16} {value}")
    print(
        f"{plan.rows:,} rows ({plan.message_rows:,} where each is a message), batches of {plan.batch},"
        f" {plan.processes} processes, {plan.slots} slots each, {plan.repetitions} repetitions\n",
        flush=True,
    )
    samples = _measure(servers, plan)
    print(f"\n{report.table(samples)}\n\n{report.ratios(samples)}\n")
    print(report.json_line(samples, plan, facts))


def _measure(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """All scenarios once, then all again: what disturbs the machine for a while disturbs them alike."""
    chosen = [scenario for scenario in SCENARIOS if not plan.only or scenario.name in plan.only]
    samples: dict[str, list[float]] = {scenario.name: [] for scenario in chosen}
    for repetition in range(1, plan.repetitions + 1):
        for scenario in chosen:
            rate = scenario.run(servers, plan)
            samples[scenario.name].append(rate)
            print(f"  {repetition}  {scenario.title:<42}{rate:>10,.0f} /s", flush=True)
    return samples


if __name__ == "__main__":
    sys.exit(main())
