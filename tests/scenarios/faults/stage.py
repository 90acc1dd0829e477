"""Owns one scenario's provider, proxy and workers, and what its rows and its ledger say. Decides no fault."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from chaos.gateways import PROVIDER_INDEXING_SECONDS
from chaos.lanes import Outside, create_statements
from chaos.ledgers import accepted_by_provider
from chaos.oracle import Oracle, report
from chaos.places import HOST
from chaos.world import wait_for_port
from dispatchlog.broker import make_broker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.sweep import sweep_now
from dispatchlog.engine.wakeup import Waker
from dispatchlog.local.directory import choose_port
from dispatchlog.supervisor import spawn
from tests.engine.lane import APPLICATION_ROLE, owner
from tests.engine.processes import until
from tests.scenarios.faults.lanes import DEADLINE_SECONDS, KINDS, fault_lanes
from tests.scenarios.faults.proxy import FaultProxy, Protocol

PATIENCE_SECONDS = 120
WORKER = "tests.scenarios.faults.worker"
Found = dict[str, Any]


@dataclass(frozen=True)
class Ending:
    """What became of one dispatch.

    Attributes:
        said: the code of its first attempt, as its sender saw it.
        sends: how often its request, or its mail up to the final dot, came to the proxy.
        accepted: how often the provider accepted it.
    """

    status: str
    in_doubt: bool
    said: str | None
    sends: int
    accepted: int


@dataclass
class Stage:
    """Everything of one scenario but its servers; this process's pool is on its database."""

    directory: Path
    database_url: str
    redis_url: str
    lanes: dict[GatewayKind, Lane] = field(init=False)
    proxy: FaultProxy = field(init=False)
    waker: Waker = field(init=False)
    outside: Outside = field(init=False)
    _parts: ExitStack = field(default_factory=ExitStack)

    def start(self, *, listening: bool = True) -> None:
        """Tables, provider and proxy; workers come by `start_worker`."""
        self.use_pool()
        self._parts.callback(close_pool)
        with owner(self.database_url) as cursor:
            for statement in create_statements():
                cursor.execute(statement)
        ports: dict[Protocol, int] = {name: choose_port(self.directory / f"{name}.port") for name in ("http", "smtp")}
        self.start_process(
            "chaos.provider",
            f"--http-port={ports['http']}",
            f"--smtp-port={ports['smtp']}",
            f"--ledger={self.ledger}",
            f"--indexing-delay-seconds={PROVIDER_INDEXING_SECONDS}",
        )
        self.proxy = FaultProxy(self.directory, ports)
        self.proxy.start()
        self._parts.callback(self.proxy.stop)
        if listening:
            self.proxy.listen()
        self.outside = Outside(
            http_url=f"http://{HOST}:{self.proxy.ports['http']}",
            smtp_url=f"smtp://{HOST}:{self.proxy.ports['smtp']}?tls=none",
            directory=str(self.directory),
            seed=0,
        )
        lanes = fault_lanes(self.outside)
        self.lanes = {kind: lanes[known.name] for kind, known in KINDS.items()}
        self.waker = Waker(make_broker(self.redis_url), self.redis_url)
        for port in ports.values():
            wait_for_port(port)

    def stop(self) -> None:
        """Everything, however far it came; processes by kill -9, for nobody looks at them any more."""
        self._parts.close()

    @property
    def ledger(self) -> Path:
        return self.directory / "provider.ledger"

    def use_pool(self) -> None:
        configure(self.database_url, role=APPLICATION_ROLE, name="test", max_connections=12)

    def start_process(self, module: str, *arguments: str, **more: str) -> subprocess.Popen[bytes]:
        """A process that lasts as long as the stage at the most; what it says goes to `log(module)`."""
        env = {
            **os.environ,
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.redis_url,
            "BROKER_URL": "",
            "DISPATCHLOG_LOG_LEVEL": "info",
            "PYTHONUNBUFFERED": "1",
            **more,
        }
        with self.log(module).open("ab") as log:
            command = [sys.executable, "-m", module, *arguments]
            process = spawn(command, env=env, output=log, death_signal=signal.SIGKILL)
        self._parts.callback(end, process)
        return process

    def log(self, module: str) -> Path:
        return self.directory / f"{module}.log"

    def start_worker(
        self, *, deadline_seconds: float = DEADLINE_SECONDS, only: GatewayKind | None = None, **more: str
    ) -> subprocess.Popen[bytes]:
        """A worker whose sends may last so long; with `only` it has one lane, and one dispatch of it at a time."""
        lanes = [self.lanes[only].name] if only else []
        return self.start_process(WORKER, self.outside.to_json(), str(deadline_seconds), *lanes, **more)

    def enqueue(self, kind: GatewayKind, names: Iterable[str], **columns: Any) -> None:
        """One dispatch per name, due at once unless told, each with its own wake-up; committed before this returns."""
        lane = self.lanes[kind]
        for name in names:
            self.waker.clear(lane)
            with transaction("test"):
                ledger.enqueue(lane, [{"recipient": f"{name}@example.org", "note": f"for {name}", **columns}])
                self.waker.after_commit(lane)
            if lane.waits_for_sweep:
                sweep_now(lane, self.waker, started_by="test")

    def rows(self, kind: GatewayKind) -> dict[str, Found]:
        """The lane's dispatches by name."""
        with connected():
            rows = fetch_dicts(f"SELECT * FROM {self.lanes[kind].table} ORDER BY seq")
        return {row["recipient"].partition("@")[0]: row for row in rows}

    def statuses(self) -> set[str]:
        """Those that occur in any lane."""
        return {row["status"] for kind in GatewayKind for row in self.rows(kind).values()}

    def attempts(self, row: Found) -> list[Found]:
        with connected():
            return fetch_dicts("SELECT * FROM dispatch_attempts WHERE dispatch_id = %s ORDER BY id", (row["id"],))

    def moves(self, row: Found) -> list[Found]:
        with connected():
            return fetch_dicts("SELECT * FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id", (row["id"],))

    def said(self, row: Found) -> tuple[str | None, str | None]:
        """Code and message of the row's first attempt as its sender saw it, whatever the provider said later."""
        first = self.attempts(row)[0]
        before = first["evidence"].get("before_the_proof", first)
        return before["code"], before["message"]

    def endings(self, kind: GatewayKind) -> dict[str, Ending]:
        """What has become of the lane's dispatches by name."""
        accepted = self.accepted()
        return {
            name: Ending(
                row["status"], row["in_doubt"], self.said(row)[0], self.proxy.sends[name], accepted[str(row["id"])]
            )
            for name, row in self.rows(kind).items()
        }

    def doubtful(self, kind: GatewayKind) -> set[str]:
        """The names of those whose acceptance nobody here knows."""
        return {name for name, row in self.rows(kind).items() if row["in_doubt"]}

    def accepted(self) -> Counter[str]:
        """How often the provider accepted a dispatch, by id; a key that it knows is not accepted again."""
        return Counter(acceptance.dispatch_id for acceptance in accepted_by_provider(self.ledger))

    def settle(self, *kinds: GatewayKind) -> None:
        """Wait until nothing is open any more and no doubt is left that a look-up settles."""
        until(lambda: self._is_settled(kinds), seconds=PATIENCE_SECONDS, what="everything is settled")

    def _is_settled(self, kinds: Sequence[GatewayKind]) -> bool:
        rows = [(kind, row) for kind in kinds for row in self.rows(kind).values()]
        return not any(
            row["status"] in ("PENDING", "QUEUED") or (kind is GatewayKind.LOOKUP and row["in_doubt"])
            for kind, row in rows
        )

    def disagreements(self) -> list[str]:
        """What the judge of the random run finds wrong with this log beside this ledger, with each history."""
        with owner(self.database_url) as cursor:
            cursor.execute("DROP TABLE IF EXISTS chaos_ledger, chaos_log")
        oracle = Oracle(self.database_url)
        oracle.load(accepted_by_provider(self.ledger))
        there = {kind.name: len(self.rows(kind.kind)) for kind in KINDS.values()}
        return list(report(oracle, oracle.judge(there)))


def end(process: subprocess.Popen[bytes]) -> None:
    """kill -9, and reaped: a zombie would still look like a process that may write."""
    process.kill()
    process.wait()


def database_now() -> datetime:
    """By the clock of the database."""
    with connected():
        now: datetime = fetch_all("SELECT clock_timestamp()")[0][0]
    return now


def close_pool() -> None:
    """Forget this process's connections, for example because their server was killed."""
    if not database.is_closed():
        database.close()
    database.close_all()
