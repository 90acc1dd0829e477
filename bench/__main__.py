"""Runs the benchmark: servers, scenarios in turn, report. Owns the order; every figure is a scenario's."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Sequence

from bench import machine, report
from bench.plan import Plan, read_plan
from bench.processes import MeasuringFailed
from bench.scenarios import SCENARIOS, Scenario
from bench.servers import Servers, started_servers
from dispatchlog.logs import speak_in_sentences


def main() -> int:
    """0, or 1 when a scenario failed, or 130 after Ctrl-C; servers and workers are gone in every case."""
    speak_in_sentences()
    plan = read_plan(sys.argv[1:], scenarios=[scenario.name for scenario in SCENARIOS])
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        with started_servers() as servers:
            return _run(servers, plan)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _run(servers: Servers, plan: Plan) -> int:
    facts = machine.facts(servers)
    for name, value in facts.items():
        print(f"{name:<16} {value}")
    print(
        f"{plan.rows:,} rows ({plan.message_rows:,} where each is a message), batches of {plan.batch},"
        f" {plan.processes} processes, {plan.slots} slots each, {plan.repetitions} repetitions\n",
        flush=True,
    )
    reasons = {scenario.name: reason for scenario in SCENARIOS if (reason := scenario.reason_to_leave_out(plan))}
    began = time.monotonic()
    samples, failed = _measure(servers, plan, [scenario for scenario in SCENARIOS if scenario.name not in reasons])
    facts |= {"load after": f"{os.getloadavg()[0]:.2f} (1 min)", "took": f"{time.monotonic() - began:.0f} s"}
    print(f"\n{report.rates(samples)}\n\n{report.figures(samples)}\n")
    print(report.json_line(samples, plan, facts, reasons=reasons | failed))
    return 1 if failed else 0


def _measure(servers: Servers, plan: Plan, chosen: Sequence[Scenario]) -> tuple[dict[str, list[float]], dict[str, str]]:
    """All scenarios once, then all again: what disturbs the machine for a while disturbs them alike.

    The samples by name come back, and why a scenario failed, by its name; one that failed once has no samples.
    """
    samples: dict[str, dict[str, list[float]]] = {scenario.name: {} for scenario in chosen}
    failed: dict[str, str] = {}
    for repetition in range(1, plan.repetitions + 1):
        for scenario in chosen:
            if scenario.name in failed or not (scenario.every_time or repetition == plan.repetitions):
                continue
            print(f"  {repetition}  {scenario.title:<50}", end="", flush=True)
            began = time.monotonic()
            try:
                taken = scenario.run(servers, plan)
            except MeasuringFailed as error:
                print(f"{'failed':>10}\n{error}", flush=True)
                failed[scenario.name] = f"failed: {str(error).splitlines()[0]}"
                continue
            rate = f"{taken[scenario.name][0]:>10,.0f} /s" if scenario.is_rate else f"{'done':>10}   "
            print(f"{rate}{time.monotonic() - began:>8.0f} s", flush=True)
            for name, values in taken.items():
                samples[scenario.name].setdefault(name, []).extend(values)
    whole = {name: values for owner, sets in samples.items() if owner not in failed for name, values in sets.items()}
    return whole, failed


if __name__ == "__main__":
    sys.exit(main())
