"""Owns one run over several hosts: its world, the change of the leader, random faults, what must hold. Breaks nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaos.desk import Desk
from chaos.feeder import Feeder
from chaos.hosts.door import Door, ready
from chaos.hosts.leader import TakeOver
from chaos.hosts.lost import LostWorker
from chaos.hosts.monkey import HostsMonkey
from chaos.hosts.network import Network
from chaos.hosts.world import HostsWorld
from chaos.monkey import Monkey
from chaos.oracle import Verdict
from chaos.run import Plan, Run, run, say


class HostsRun(Run):
    """A run whose processes are on hosts of their own."""

    def __init__(self, plan: Plan, directory: Path, world: HostsWorld) -> None:
        super().__init__(plan, directory, world)
        self._hosts = world
        self._door = Door(world.dashboard_urls)
        self._take_over = TakeOver(world)
        self._lost = LostWorker(world, world.workers[0].place)

    def before_faults(self) -> None:
        self._door.start()
        self._lost.begin()
        self._take_over.happen()
        self._lost.wait()
        say(f"the leading scheduler was cut off; the other one led after {self._take_over.seconds} s")
        say(f"{self._lost.place} was lost; its {len(self._lost.held)} were taken over after {self._lost.seconds} s")
        self._hosts.boot(self._lost.place)

    def make_monkey(self, seed: int) -> Monkey:
        return HostsMonkey(self._hosts, seed=seed, gap_seconds=self.plan.gap_seconds)

    def after_faults(self) -> None:
        self._door.stop()
        self.result["dashboards_ready"] = ready(self._hosts.dashboard_urls)

    def holds(self, verdict: Verdict) -> bool:
        """Besides what every run has to hold, both dashboards are back and one scheduler led at a time."""
        every_dashboard = self.result["dashboards_ready"] == len(self._hosts.dashboards)
        return verdict.holds and every_dashboard and self._take_over.late_acts == 0

    def _figures(
        self, feeder: Feeder, desk: Desk, monkey: Monkey, verdict: Verdict, *, raged: float, settled_in: float
    ) -> dict[str, Any]:
        return {
            **super()._figures(feeder, desk, monkey, verdict, raged=raged, settled_in=settled_in),
            "hosts": len(self._hosts.network.hosts),
            "leader_taken_over_in_seconds": self._take_over.seconds,
            "acts_of_the_leader_that_was_cut_off": self._take_over.late_acts,
            "held_by_the_worker_that_was_lost": len(self._lost.held),
            "taken_over_from_it_in_seconds": self._lost.seconds,
            "dashboards_answered": dict(sorted(self._door.seen.items())),
            "dashboards_slowest_seconds": dict(sorted(self._door.slowest.items())),
        }


def run_over_hosts(plan: Plan) -> tuple[bool, dict[str, Any]]:
    """Whether everything held, and every figure; this process stays on the host `desk` from then on."""
    with Network() as network:
        network.add("desk").enter()

        def make(plan: Plan, directory: Path) -> HostsRun:
            return HostsRun(plan, directory, HostsWorld(directory, plan.seed, plan.workers, network))

        return run(plan, make)
