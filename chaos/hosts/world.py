"""Owns the run's processes on hosts of their own, and losing and restarting whole hosts. Decides no fault.

`database`, `broker` and `provider` are hosts; so are `worker-1`, `scheduler-1`, `dashboard-1` and so on. The run itself
(who enqueues, the desk, whoever asks the dashboards) is on the host `desk`, which nothing happens to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

from chaos.hosts.network import Host, Network
from chaos.hosts.servers import HostPostgres, HostValkey
from chaos.places import Place
from chaos.world import Slot, World

DASHBOARD_PORT = 8000
# The longest that a program takes to end once it was asked to.
ROLLED_SECONDS = 60.0
_SECRET = "a key of this run alone, and of nobody else"  # noqa: S105  protects nothing


class HostsWorld(World):
    """A world of hosts on `network`. One thread at a time, as every world."""

    def __init__(self, directory: Path, seed: int, worker_hosts: int, network: Network, *, dashboards: int = 2) -> None:
        self.network = network
        places = [f"worker-{n + 1}" for n in range(worker_hosts)] + ["scheduler-1", "scheduler-2"]
        desks = [f"dashboard-{n + 1}" for n in range(dashboards)]
        for name in ("database", "broker", "provider", *places, *desks):
            network.add(name)
        super().__init__(directory, seed, worker_hosts, place_of=self._place_of, proxied=False)
        self.postgres = HostPostgres(directory / "postgres", self.host("database"))
        self.valkey = HostValkey(directory / "valkey", self.host("broker"))
        self.dashboards = [Slot("dispatchlog.cli", name) for name in desks]
        self._later: list[tuple[float, Callable[[], None]]] = []
        self._rolling: list[subprocess.Popen[bytes]] = []

    def host(self, name: str) -> Host:
        return self.network.hosts[name]

    @property
    def dashboard_urls(self) -> list[str]:
        return [f"http://{self.host(slot.place).address}:{DASHBOARD_PORT}" for slot in self.dashboards]

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Let `tend` do it when so many seconds have passed, or `heal` before."""
        self._later.append((time.monotonic() + seconds, what))

    def tend(self, *, everything: bool = False) -> None:
        now = time.monotonic()
        due = [each for each in self._later if everything or each[0] <= now]
        self._later = [each for each in self._later if each not in due]
        for _, what in due:
            what()
        super().tend(everything=everything)

    def heal(self) -> None:
        """Every host is there and reaches every other; every program runs."""
        self._later.clear()
        self.network.mend_all()
        super().heal()
        for process in self._rolling:  # who was asked to stop may still be about it
            with suppress(subprocess.TimeoutExpired):
                process.wait(ROLLED_SECONDS)
        self._rolling.clear()
        self.tend(everything=True)

    def kill(self, slot: Slot) -> bool:
        """kill -9 of the program and of those it started."""
        if slot.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(slot.process.pid, signal.SIGKILL)
        return super().kill(slot)

    def lose(self, name: str) -> bool:
        """A host's power is cut: nothing that runs on it says goodbye. False where it is lost already."""
        if name in self.network.lost:
            return False
        self.network.lose(self.host(name))
        for slot in self._on(name):
            self.kill(slot)
            slot.respawn_at = inf
        if name == "database":
            self.postgres.kill()
        if name == "broker":
            self.valkey.kill()
        if name == "provider":
            self.kill_provider()
            self.kill_exchange()
        return True

    def boot(self, name: str) -> None:
        """The lost host is there again, and what runs on it starts."""
        if name not in self.network.lost:
            return
        self.network.boot(self.host(name))
        for slot in self._on(name):
            slot.respawn_at = 0.0
        if name == "database":
            self.postgres.start()
        if name == "broker":
            self.valkey.start()
        if name == "provider":
            self.start_provider()
            self.start_exchange()

    def roll(self, name: str) -> None:
        """Ask what runs on a host to stop, as before an upgrade; `tend` starts it again once it has."""
        for slot in self._on(name):
            if slot.process is not None and slot.process.poll() is None:
                slot.process.terminate()
                self._rolling.append(slot.process)

    def _on(self, name: str) -> list[Slot]:
        return [slot for slot in self._slots if slot.place == name]

    @property
    def _slots(self) -> list[Slot]:
        return [*self.workers, *self.schedulers, *self.dashboards]

    def _place_of(self, name: str) -> Place:
        if not name:
            return Place()
        host = self.host(name)
        return Place(host.address, host.inside)

    def _run_in(self, slot: Slot) -> subprocess.Popen[bytes]:
        if slot in self.dashboards:
            return self._spawn(slot.module, "dashboard", place=slot.place)
        return super()._run_in(slot)

    def _environment(self, place: str) -> dict[str, str]:
        environment = super()._environment(place)
        if place.startswith("dashboard"):
            environment |= {
                "DISPATCHLOG_BIND_HOST": self.host(place).address,
                "PORT": str(DASHBOARD_PORT),
                "DISPATCHLOG_SECRET_KEY": _SECRET,
                "DISPATCHLOG_LIVE_STREAMS": "0",
            }
        return environment
