"""The exchange dies, the worker dies, the exchange falls silent: every message takes effect once, a student's in order.

Worker and exchange are processes of their own; the exchange's ledger is on the disk before it answers.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from chaos.places import HOST
from chaos.world import wait_for_port
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, connected, fetch_dicts
from dispatchlog.engine.tables import new_id
from dispatchlog.gateways.fake_ledger import Entry
from dispatchlog.row_content import HL7_MESSAGES
from dispatchlog.settings import Settings
from dispatchlog.supervisor import spawn
from dispatchlog.systems.hl7 import schools
from dispatchlog.systems.hl7.visits import record_visit
from tests.engine.lane import APPLICATION_ROLE
from tests.engine.processes import until
from tests.ports import free_port
from tests.scenarios.faults.stage import PATIENCE_SECONDS, close_pool, end
from tests.systems.hl7.visits import VISIT

STUDENTS = [f"S-{number}" for number in range(12)]
SCHOOL, GATEWAY = "SCH-01", "hl7:SCH-01"
# Retries so soon and so many that only what no retry cures fails.
ENDPOINT = {
    "enabled": True,
    "host": HOST,
    "tls": False,
    "rate_per_second": None,
    "deadline_seconds": 30,
    "first_retry_seconds": 0.1,
    "max_retries": 100,
}


@dataclass
class Clinic:
    """One school, its exchange and its worker."""

    directory: Path
    ports: tuple[int, int]
    parts: ExitStack
    exchange: subprocess.Popen[bytes] = field(init=False)
    worker: subprocess.Popen[bytes] = field(init=False)

    @property
    def ledger_path(self) -> Path:
        return self.directory / "exchange.ledger"

    def start_exchange(self) -> None:
        """As it was: the same ports, and the ledger read again."""
        ports = [f"--port={self.ports[0]}", f"--http-port={self.ports[1]}", f"--ledger={self.ledger_path}"]
        self.exchange = self._start("dispatchlog.gateways.hl7_exchange", *ports)
        for port in self.ports:
            wait_for_port(port)

    def start_worker(self) -> None:
        self.worker = self._start("tests.scenarios.faults.hl7_worker")

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        with (self.directory / f"{module}.log").open("ab") as log:
            process = spawn(
                [sys.executable, "-m", module, *arguments], env=env, output=log, death_signal=signal.SIGKILL
            )
        self.parts.callback(end, process)
        return process

    def script(self, *first: dict[str, Any], **standing: Any) -> None:
        """What the exchange does with the next messages, and then with every one."""
        body = json.dumps({"answers": first, "standing": standing}).encode()
        urllib.request.urlopen(f"http://{HOST}:{self.ports[1]}/script", body, timeout=120).close()

    def report(self, rounds: int) -> None:
        """So many visits of each student, by turns."""
        for _ in range(rounds):
            for student in STUDENTS:
                visit = replace(VISIT, id=new_id(), student=replace(VISIT.student, id=student))
                record_visit(SCHOOL, visit, source="test")

    def rows(self) -> list[dict[str, Any]]:
        with connected():
            found = [HL7_MESSAGES.opened(row) for row in fetch_dicts("SELECT * FROM hl7_messages ORDER BY seq")]
        return [{**row, "sha256": sha256(row["body"]).hexdigest()} for row in found]

    def effects(self) -> list[Entry]:
        """The ledger's whole lines."""
        whole = self.ledger_path.read_bytes().rpartition(b"\n")[0] if self.ledger_path.exists() else b""
        return [Entry(**json.loads(line)) for line in whole.splitlines()]

    def received(self) -> list[tuple[str, str]]:
        """Control id and sha256 of all that came, also again, from what the exchange said of each."""
        log = (self.directory / "dispatchlog.gateways.hl7_exchange.log").read_text().splitlines()
        told = [json.loads(line) for line in log if line.startswith("{") and line.endswith("}")]
        return [(one["control_id"], one["sha256"]) for one in told if "control_id" in one]

    def settle(self) -> None:
        until(
            lambda: {row["status"] for row in self.rows()} == {"SENT"},
            seconds=PATIENCE_SECONDS,
            what="everything is sent",
        )

    def check(self) -> None:
        """Each message took effect once and as it was stored, and those of each student in their order."""
        rows, effects = self.rows(), self.effects()
        assert Counter(entry.key for entry in effects) == Counter(row["control_id"] for row in rows)
        for student in STUDENTS:
            expected = [(row["control_id"], row["sha256"]) for row in rows if row["student_number"] == student]
            assert [(entry.key, entry.sha256) for entry in effects if entry.recipient == student] == expected
        assert set(self.received()) <= {(row["control_id"], row["sha256"]) for row in rows}


@pytest.fixture
def clinic(tmp_path: Path, settings_env: Settings) -> Iterator[Clinic]:
    """The exchange takes all; no worker yet."""
    configure(settings_env.database_url, role=APPLICATION_ROLE, name="test", max_connections=8)
    with ExitStack() as parts:
        parts.callback(close_pool)
        clinic = Clinic(tmp_path, (free_port(), free_port()), parts)
        clinic.start_exchange()
        schools.add_school(SCHOOL, "First school", actor="test")
        schools.change_endpoint(SCHOOL, {**ENDPOINT, "port": clinic.ports[0]}, actor="test")
        yield clinic


def test_an_exchange_that_dies_in_a_burst_and_comes_back_has_everything_once(clinic: Clinic) -> None:
    clinic.script({}, {}, {}, {}, way="mute")
    clinic.start_worker()
    clinic.report(rounds=3)
    until(lambda: len(clinic.effects()) == 5, seconds=PATIENCE_SECONDS, what="the burst has begun")
    end(clinic.exchange)
    assert len(clinic.effects()) < len(clinic.rows())
    until(lambda: any(row["attempts"] for row in clinic.rows()), seconds=PATIENCE_SECONDS, what="an attempt in vain")
    clinic.start_exchange()
    clinic.settle()
    clinic.check()


def test_what_a_killed_worker_had_sent_and_not_recorded_is_sent_again_byte_for_byte(clinic: Clinic) -> None:
    clinic.script({}, {}, {}, way="mute")
    clinic.report(rounds=2)
    clinic.start_worker()
    until(lambda: len(clinic.effects()) == 4, seconds=PATIENCE_SECONDS, what="it is in the middle of a run")
    end(clinic.worker)
    clinic.script()
    sent = [row for row in clinic.rows() if row["status"] == "SENT"]
    assert len(sent) < len(clinic.effects())
    clinic.start_worker()
    clinic.settle()
    clinic.check()
    assert max(Counter(clinic.received()).values()) == 2


def test_a_silent_exchange_is_left_alone_until_it_speaks_again(clinic: Clinic, settings_env: Settings) -> None:
    breaker = Breaker(settings_env.effective_redis_url)
    schools.change_endpoint(SCHOOL, {"deadline_seconds": 0.5}, actor="test")
    clinic.script(way="mute", accept=True)
    clinic.report(rounds=2)
    clinic.start_worker()
    until(lambda: breaker.state(GATEWAY).state == "open", seconds=PATIENCE_SECONDS, what="the breaker opens")
    assert {row["status"] for row in clinic.rows()} <= {"PENDING", "QUEUED"}
    clinic.script()
    clinic.settle()
    until(lambda: breaker.state(GATEWAY).state == "closed", seconds=PATIENCE_SECONDS, what="the breaker closes")
    clinic.check()
    assert max(Counter(clinic.received()).values()) > 1
