"""Owns every process of a run: servers, provider, proxy, workers, schedulers. Starts and kills; never decides when."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import redis

from chaos.gateways import PROVIDER_INDEXING_SECONDS
from chaos.lanes import Outside, create_statements
from chaos.places import HOST, Place, one_machine
from dispatchlog.local.directory import choose_port
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.server import end_process
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up
from dispatchlog.supervisor import spawn

START_SECONDS = 120.0
RESPAWN_SECONDS = 0.2
PROXIED = ("proxied_http", "proxied_smtp", "proxied_mllp")


@dataclass(slots=True)
class Slot:
    """Room for one process of a kind: the present one and, while it is paused, when it goes on."""

    module: str
    place: str
    process: subprocess.Popen[bytes] | None = None
    respawn_at: float = 0.0
    resume_at: float | None = None


@dataclass(slots=True)
class World:
    """All of it, in one directory. Used by one thread at a time.

    `place_of` says where each of `provider`, `worker-1`, `scheduler-1` and so on is. Without `proxied` the workers reach
    the provider directly, and only the run's own faults are between them.
    """

    directory: Path
    seed: int
    worker_count: int
    place_of: Callable[[str], Place] = one_machine
    proxied: bool = True
    postgres: LocalPostgres = field(init=False)
    valkey: LocalValkey = field(init=False)
    workers: list[Slot] = field(init=False)
    schedulers: list[Slot] = field(init=False)
    outside: Outside = field(init=False)
    database_url: str = ""
    _ports: dict[str, int] = field(default_factory=dict)
    _provider: subprocess.Popen[bytes] | None = None
    _exchange: subprocess.Popen[bytes] | None = None
    _proxy: subprocess.Popen[bytes] | None = None
    _spawned: int = 0

    def __post_init__(self) -> None:
        self.postgres = LocalPostgres(self.directory / "postgres")
        self.valkey = LocalValkey(self.directory / "valkey")
        self.workers = [Slot("chaos.worker", f"worker-{number + 1}") for number in range(self.worker_count)]
        # One leads, the other stands by.
        self.schedulers = [Slot("chaos.scheduler", f"scheduler-{number + 1}") for number in range(2)]
        for name in ("http", "smtp", "mllp", "exchange", *PROXIED):
            self._ports[name] = self._new_port(name)
        self.outside = self._outside(0)
        self.outside.bulk_ledgers.mkdir(parents=True)

    @property
    def redis_url(self) -> str:
        return self.valkey.url()

    @property
    def provider_ledger(self) -> Path:
        return self.directory / "provider.ledger"

    @property
    def exchange_ledger(self) -> Path:
        return self.directory / "exchange.ledger"

    def start(self) -> None:
        """Everything but the workers, on an empty database with the run's lanes."""
        self.postgres.start()
        self.valkey.start()
        self.postgres.ensure_database("chaos")
        self.database_url = self.postgres.url("chaos")
        migrate_up(self.database_url)
        with closing(psycopg2.connect(self.database_url)) as connection, connection, connection.cursor() as cursor:
            for statement in create_statements():
                cursor.execute(statement)
        self.start_provider()
        self.start_exchange()
        if self.proxied:
            self._start_proxy()

    def _start_proxy(self) -> None:
        routes = [f"{self._ports[name]}:{self._ports[name.removeprefix('proxied_')]}" for name in PROXIED]
        self._proxy = self._spawn("chaos.proxy", "--seed", str(self.seed), *(f"--route={route}" for route in routes))
        for name in PROXIED:
            wait_for_port(self._ports[name])

    def start_provider(self) -> None:
        """Start the provider unless it runs; it reads its ledger again."""
        if self._provider is not None and self._provider.poll() is None:
            return
        self._provider = self._spawn(
            "chaos.provider",
            f"--host={self._provider_address}",
            f"--http-port={self._ports['http']}",
            f"--smtp-port={self._ports['smtp']}",
            f"--ledger={self.provider_ledger}",
            f"--indexing-delay-seconds={PROVIDER_INDEXING_SECONDS}",
            place="provider",
        )
        wait_for_port(self._ports["http"], host=self._provider_address)

    def kill_provider(self) -> None:
        if self._provider is not None:
            self._provider.kill()
            self._provider.wait()

    def start_exchange(self) -> None:
        """Start the HL7 exchange unless it runs; it reads its ledger again."""
        if self._exchange is not None and self._exchange.poll() is None:
            return
        self._exchange = self._spawn(
            "dispatchlog.gateways.hl7_exchange",
            f"--host={self._provider_address}",
            f"--port={self._ports['mllp']}",
            f"--http-port={self._ports['exchange']}",
            f"--ledger={self.exchange_ledger}",
            place="provider",
        )
        wait_for_port(self._ports["mllp"], host=self._provider_address)

    def kill_exchange(self) -> None:
        if self._exchange is not None:
            self._exchange.kill()
            self._exchange.wait()

    def script(self, channel: str, plays: Sequence[Mapping[str, Any]], *, clear: bool = False) -> None:
        """What the channel's next requests get; nothing happens while the provider is down."""
        order = json.dumps({"channel": channel, "plays": list(plays), "clear": clear}).encode()
        url = f"http://{self._provider_address}:{self._ports['http']}/script"
        with suppress(OSError):
            urllib.request.urlopen(url, data=order, timeout=5).close()  # our own child  # nosec B310

    def tend(self, *, everything: bool = False) -> None:
        """Reap and replace workers and schedulers that ended, resume the paused ones whose time has come (or all)."""
        now = time.monotonic()
        for slot in self._slots:
            if slot.resume_at is not None and (everything or now >= slot.resume_at):
                self.resume(slot)
            if slot.process is not None and slot.process.poll() is not None:
                slot.process = None
                slot.respawn_at = now + RESPAWN_SECONDS
            if slot.process is None and (everything or now >= slot.respawn_at):
                self._spawned += 1
                slot.process = self._run_in(slot)

    def kill(self, slot: Slot) -> bool:
        """kill -9, and reaped at once: a zombie would still look like a process that may write."""
        if slot.process is None or slot.process.poll() is not None:
            return False
        slot.process.kill()
        slot.process.wait()
        slot.process, slot.resume_at = None, None
        slot.respawn_at = time.monotonic() + RESPAWN_SECONDS
        return True

    def pause(self, slot: Slot, *, seconds: float) -> bool:
        """SIGSTOP; `tend` lets it go on."""
        if slot.process is None or slot.process.poll() is not None or slot.resume_at is not None:
            return False
        slot.process.send_signal(signal.SIGSTOP)
        slot.resume_at = time.monotonic() + seconds
        return True

    def resume(self, slot: Slot) -> None:
        if slot.process is not None:
            slot.process.send_signal(signal.SIGCONT)
        slot.resume_at = None

    def kill_backend(self, pick: float) -> bool:
        """kill -9 one of PostgreSQL's backends (`pick`: which, from 0 to 1): the server then restarts all of them."""
        if self.postgres.pid is None:
            return False
        backends = [
            child
            for child in psutil.Process(self.postgres.pid).children()
            if "dispatchlog" in " ".join(child.cmdline())
        ]
        if not backends:
            return False
        with suppress(psutil.NoSuchProcess):
            backends[int(pick * len(backends))].kill()
        return True

    def flush(self) -> None:
        """FLUSHALL: every wake-up, rate and breaker is forgotten."""
        with suppress(redis.RedisError), redis.Redis.from_url(self.redis_url, socket_timeout=2) as client:
            client.flushall()

    def heal(self) -> None:
        """Everything runs, nothing misbehaves any more."""
        self.outside.healed.touch()
        if self._proxy is not None:
            self._proxy.send_signal(signal.SIGUSR1)
        self.postgres.start()
        self.valkey.start()
        self.start_provider()
        self.start_exchange()
        for channel in ("registrations", "messages", "messages.lookup", "smtp"):
            self.script(channel, (), clear=True)
        self.tend(everything=True)

    def stop_workers(self) -> None:
        """SIGTERM to all workers and schedulers, and wait until they have ended."""
        for slot in self._slots:
            self.resume(slot)
            if slot.process is not None and slot.process.poll() is None:
                slot.process.terminate()
        for slot in self._slots:
            if slot.process is not None:
                end_process(slot.process, signals=(signal.SIGTERM,), seconds_each=30.0)
            slot.process = None

    def stop(self) -> None:
        """Everything, however far it came."""
        self.stop_workers()
        for process in (self._proxy, self._provider, self._exchange):
            if process is not None:
                process.kill()
                process.wait()
        self.valkey.stop()
        self.postgres.stop()

    @property
    def _slots(self) -> list[Slot]:
        return [*self.workers, *self.schedulers]

    @property
    def _provider_address(self) -> str:
        return self.place_of("provider").address

    def _run_in(self, slot: Slot) -> subprocess.Popen[bytes]:
        """Start the slot's program."""
        return self._spawn(slot.module, self._outside(self._spawned).to_json(), place=slot.place)

    def _outside(self, number: int) -> Outside:
        by, host = ("proxied_", HOST) if self.proxied else ("", self._provider_address)
        return Outside(
            http_url=f"http://{host}:{self._ports[f'{by}http']}",
            smtp_url=f"smtp://{host}:{self._ports[f'{by}smtp']}?tls=none",
            directory=str(self.directory),
            seed=self.seed * 1_000_000 + number,
            mllp_host=host,
            mllp_port=self._ports[f"{by}mllp"],
        )

    def _new_port(self, name: str) -> int:
        while True:
            note = self.directory / f"{name}.port"
            port = choose_port(note)
            if port not in self._ports.values():
                return port
            note.unlink()

    def _spawn(self, module: str, *arguments: str, place: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", module, *arguments]
        with (self.directory / f"{place or module}.log").open("ab") as log, self.place_of(place).inside():
            return spawn(command, env=self._environment(place), output=log, death_signal=signal.SIGKILL)

    def _environment(self, place: str) -> dict[str, str]:  # noqa: ARG002  (alike everywhere)
        """What a program of the run finds in its environment."""
        return {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "BROKER_URL": "",
            "DISPATCHLOG_LOG_LEVEL": "warning",
        }


def wait_for_port(port: int, *, host: str = HOST) -> None:
    """Come back when somebody listens there.

    Raises:
        TimeoutError: nobody does.
    """
    ends = time.monotonic() + START_SECONDS
    while time.monotonic() < ends:
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        time.sleep(0.02)
    raise TimeoutError(f"nothing listens on {host}:{port}")
