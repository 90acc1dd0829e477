"""Owns one run from empty directory to verdict: starts all, lets it rage, heals, waits, compares. Decides no fault."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.desk import Desk
from chaos.feeder import Feeder
from chaos.lanes import KINDS, chaos_lanes
from chaos.ledgers import ProviderLedger, accepted_by_provider, accepted_by_workers
from chaos.monkey import Monkey
from chaos.oracle import Oracle, Verdict, report
from chaos.settle import settle
from chaos.world import World
from dispatchlog.broker import make_broker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.wakeup import Waker
from dispatchlog.logs import configure_logs
from dispatchlog.settings import get_settings

PROGRESS_SECONDS = 10.0
SETTLE_SECONDS = 180.0
# A short run on a busy machine goes on until it has met every fault, but not for ever.
MOST_TIMES_LONGER = 5
LEAST_PATIENCE_SECONDS = 240.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What the command line asked for.

    Attributes:
        seconds: how long faults happen; starting, settling and comparing come on top.
        gap_seconds: from one fault to the next, on average.
        per_second: the most that is enqueued.
    """

    seconds: float = 60.0
    seed: int = 1
    workers: int = 3
    gap_seconds: float = 1.0
    per_second: float = 1500.0
    keep: bool = False


@dataclass(slots=True)
class Run:
    """The parts of one run while it lasts."""

    plan: Plan
    directory: Path
    world: World
    result: dict[str, Any] = field(default_factory=dict)

    def go(self) -> Verdict:
        """The verdict; `result` then holds every figure."""
        configure_logs("error")
        self.world.start()
        lanes = chaos_lanes(self.world.outside)
        configure(
            self.world.database_url,
            role=get_settings().application_role,
            name="dispatchlog chaos",
            max_connections=8,
            by_index=True,
        )
        redis_url = self.world.redis_url
        waker = Waker(make_broker(redis_url), redis_url)
        seed = self.plan.seed
        feeder = Feeder(lanes, waker, seed=seed, per_second=self.plan.per_second)
        desk = Desk(lanes, ProviderLedger(self.world.provider_ledger), seed=seed + 1)
        monkey = self.make_monkey(seed + 2)
        for part in (feeder, desk):
            part.start()
        self.before_faults()
        monkey.start()
        raged = self._rage(feeder, monkey)
        monkey.stop()
        say("faults over; healing")
        self.world.heal()
        feeder.stop()
        desk.stop()
        seconds = settle(lanes, desk, self.world.tend, seconds=SETTLE_SECONDS)
        say(f"settled in {seconds:.1f} s; comparing")
        self.after_faults()
        self.world.stop_workers()
        database.close_all()
        began = time.monotonic()
        oracle = Oracle(self.world.database_url)
        oracle.load(
            itertools.chain(
                accepted_by_workers(self.world.outside.bulk_ledgers),
                accepted_by_provider(self.world.provider_ledger),
                accepted_by_provider(self.world.exchange_ledger),
            )
        )
        verdict = oracle.judge(feeder.acknowledged)
        say(f"compared in {time.monotonic() - began:.1f} s")
        for line in report(oracle, verdict):
            say(line)
        self.result |= self._figures(feeder, desk, monkey, verdict, raged=raged, settled_in=seconds)
        return verdict

    def make_monkey(self, seed: int) -> Monkey:
        """Who breaks what."""
        return Monkey(self.world, seed=seed, gap_seconds=self.plan.gap_seconds)

    def before_faults(self) -> None:
        """What happens first, while dispatches come in."""

    def after_faults(self) -> None:
        """What is looked at once all has settled and everything still runs."""

    def holds(self, verdict: Verdict) -> bool:
        """Whether all is as it has to be."""
        return verdict.holds

    def _rage(self, feeder: Feeder, monkey: Monkey) -> float:
        """Seconds of faults."""
        began = told = time.monotonic()
        before = 0
        most = max(MOST_TIMES_LONGER * self.plan.seconds, LEAST_PATIENCE_SECONDS)
        while monkey.error is None:
            raged = time.monotonic() - began
            if raged >= self.plan.seconds and (monkey.dealt_all or raged >= most):
                return raged
            time.sleep(0.2)
            if time.monotonic() - told >= PROGRESS_SECONDS:
                put_in = feeder.acknowledged.total()
                pace = (put_in - before) / (time.monotonic() - told)
                told, before = time.monotonic(), put_in
                say(
                    f"{told - began:6.0f} s  dispatches {put_in:,} ({pace:,.0f}/s)  kills {monkey.kills.total()}"
                    f"  faults {monkey.faults.total()}  waiting {'/'.join(map(str, feeder.waiting.values()))}"
                )
        return time.monotonic() - began

    def _figures(
        self, feeder: Feeder, desk: Desk, monkey: Monkey, verdict: Verdict, *, raged: float, settled_in: float
    ) -> dict[str, Any]:
        status = verdict.counts["status"]
        dispatches = feeder.acknowledged.total()
        return {
            "seed": self.plan.seed,
            "seconds": round(raged, 1),
            "dispatches": dispatches,
            "kills": monkey.kills.total(),
            **verdict.summary,
            "sent": status.get("SENT", 0),
            "cancelled": status.get("CANCELLED", 0),
            "failed": status.get("FAILED", 0),
            "dispatches_per_second": round(dispatches / raged, 1),
            "settled_in_seconds": round(settled_in, 1),
            "broken": {name: len(ids) for name, ids in verdict.offenders.items() if ids},
            "acknowledged_but_missing": verdict.acknowledged_but_missing,
            "commits_repeated": feeder.commits_repeated,
            "kinds": {kind.name: str(kind.kind) for kind in KINDS},
            **verdict.counts,
            "kills_by_target": dict(monkey.kills),
            "faults": dict(monkey.faults),
            "person": dict(desk.done),
        }


def one_machine(plan: Plan, directory: Path) -> Run:
    """A run whose processes are all on this machine."""
    return Run(plan, directory, World(directory, plan.seed, plan.workers))


def run(plan: Plan, make: Callable[[Plan, Path], Run] = one_machine) -> tuple[bool, dict[str, Any]]:
    """Whether everything held, and every figure. The directory is kept where something did not hold."""
    directory = Path(tempfile.mkdtemp(prefix="dispatchlog-chaos-"))
    for variable in ("DATABASE_URL", "REDIS_URL", "BROKER_URL"):
        os.environ.pop(variable, None)
    get_settings.cache_clear()
    this = make(plan, directory)
    keep = True
    try:
        verdict = this.go()
        holds = this.holds(verdict)
        keep = plan.keep or not holds
        return holds, this.result
    finally:
        this.world.stop()
        if keep:
            say(f"kept: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)


def say(line: str) -> None:
    """One line of progress."""
    print(line, flush=True)
