"""Owns what breaks between hosts, and when: a deck dealt as the seed says. Judges nothing.

A cut is silent: no end of a connection is announced, packets are lost from now on, in one direction or in both.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from chaos.hosts.world import HostsWorld
from chaos.monkey import Monkey

DECK: dict[str, int] = {
    "cut_worker_from_database": 4,
    "cut_worker_from_broker": 2,
    "cut_worker_from_provider": 3,
    "cut_dashboard_from_database": 1,
    "cut_scheduler_from_database": 1,
    "unplug_database": 1,
    "unplug_broker": 1,
    "unplug_provider": 2,
    "flap_worker": 2,
    "lose_worker": 2,
    "lose_dashboard": 1,
    "lose_scheduler": 1,
    "lose_database": 1,
    "lose_broker": 1,
    "lose_provider": 1,
    "roll_everything": 1,
}
# Some are over before anybody's time-out, some outlast all of them.
SHORT_SECONDS = (0.5, 4.0)
LONG_SECONDS = (10.0, 40.0)
UNPLUGGED_SECONDS = (0.5, 6.0)
ROLL_SECONDS = 1.5
FLAPS = 5
FLAP_SECONDS = 0.4


class HostsMonkey(Monkey):
    """A monkey that breaks hosts and cables."""

    deck: ClassVar[dict[str, int]] = DECK

    def __init__(self, world: HostsWorld, *, seed: int, gap_seconds: float) -> None:
        super().__init__(world, seed=seed, gap_seconds=gap_seconds)
        self._hosts = world

    def _cut_worker_from_database(self) -> None:
        self._cut("worker", "database")

    def _cut_worker_from_broker(self) -> None:
        self._cut("worker", "broker")

    def _cut_worker_from_provider(self) -> None:
        self._cut("worker", "provider")

    def _cut_dashboard_from_database(self) -> None:
        self._cut("dashboard", "database")

    def _cut_scheduler_from_database(self) -> None:
        self._cut("scheduler", "database")

    def _cut(self, kind: str, server: str) -> None:
        """Lose packets between one of these and a server, to it, from it or both."""
        network = self._hosts.network
        name = self._one_of(kind)
        seconds = self._random.uniform(*self._random.choice((SHORT_SECONDS, LONG_SECONDS)))
        ends = (self._hosts.host(name), self._hosts.host(server))
        ways = self._random.choice(((ends,), (ends[::-1],), (ends, ends[::-1])))
        if {name, server} & network.lost:
            return
        for sender, receiver in ways:
            network.cut(sender, receiver)
            self._hosts.later(seconds, partial(network.mend, sender, receiver))

    def _unplug_database(self) -> None:
        self._unplug("database", self._random.uniform(*UNPLUGGED_SECONDS))

    def _unplug_broker(self) -> None:
        self._unplug("broker", self._random.uniform(*UNPLUGGED_SECONDS))

    def _unplug_provider(self) -> None:
        self._unplug("provider", self._random.uniform(*UNPLUGGED_SECONDS))

    def _flap_worker(self) -> None:
        """A cable with a loose contact."""
        name = self._one_of("worker")
        for number in range(FLAPS):
            self._hosts.later(number * FLAP_SECONDS, partial(self._unplug, name, FLAP_SECONDS / 2))

    def _unplug(self, name: str, seconds: float) -> None:
        network, host = self._hosts.network, self._hosts.host(name)
        if name not in network.lost:
            network.pull(host)
            self._hosts.later(seconds, partial(self._plug, name))

    def _plug(self, name: str) -> None:
        if name not in self._hosts.network.lost:
            self._hosts.network.push(self._hosts.host(name))

    def _lose_worker(self) -> None:
        self._lose(self._one_of("worker"), self._random.uniform(*LONG_SECONDS))

    def _lose_dashboard(self) -> None:
        self._lose(self._one_of("dashboard"), self._random.uniform(*LONG_SECONDS))

    def _lose_scheduler(self) -> None:
        self._lose(self._one_of("scheduler"), self._random.uniform(*LONG_SECONDS))

    def _lose_database(self) -> None:
        self._lose("database", self._random.uniform(*SHORT_SECONDS))

    def _lose_broker(self) -> None:
        self._lose("broker", self._random.uniform(*SHORT_SECONDS))

    def _lose_provider(self) -> None:
        self._lose("provider", self._random.uniform(*SHORT_SECONDS))

    def _lose(self, name: str, seconds: float) -> None:
        if self._hosts.lose(name):
            self.kills[name.partition("-")[0]] += 1
            self._hosts.later(seconds, partial(self._hosts.boot, name))

    def _roll_everything(self) -> None:
        """One host after another, schedulers and dashboards first, as before an upgrade."""
        names = [slot.place for slot in (*self._hosts.schedulers, *self._hosts.dashboards, *self._hosts.workers)]
        for number, name in enumerate(names):
            roll: Callable[[], None] = partial(self._hosts.roll, name)
            self._hosts.later(number * ROLL_SECONDS, roll)

    def _one_of(self, kind: str) -> str:
        slots = {
            "worker": self._hosts.workers,
            "scheduler": self._hosts.schedulers,
            "dashboard": self._hosts.dashboards,
        }
        return self._random.choice(slots[kind]).place
