"""A release goes in while everything runs, and out again: nothing is refused, nothing lost, nothing sent twice."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_dicts
from dispatchlog.local.mailbox import list_messages
from dispatchlog.settings import get_settings
from tests.ports import free_port
from tests.scenarios.processes import mailbox, running, wait_for
from tests.scenarios.test_outreach import zone_at

ROOT = Path(__file__).parent.parent.parent
# The release before: it knows the schema up to 0025_outreach. Move it on with each release.
PINNED = "744c48bb3d23904fcd3af1634ec99a396dfd10ee"
CLINIC = str(uuid4())
LANES = ("kit_registrations", "health_information_dispatch_logs", "comm_jobs")


@dataclass
class Release:
    """The product as one commit has it, run from its own folder."""

    code: Path
    env: dict[str, str]
    log: Path
    port: int = field(default_factory=free_port)
    running: ExitStack = field(default_factory=ExitStack)

    def command(self, *arguments: str) -> str:
        """What a command of this release printed."""
        done = subprocess.run(
            [sys.executable, "-m", "dispatchlog.cli", *arguments],
            cwd=self.code,
            env={**os.environ, **self._env()},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> None:
        """Dashboard, clock and worker."""
        for kind in ("dashboard", "scheduler", "worker"):
            program = ("-m", "dispatchlog.cli", kind)
            self.running.enter_context(running(*program, env=self._env(), log=self.log, cwd=self.code))
        wait_for(self._answers)

    def stop(self) -> None:
        """As a deployment does: SIGTERM, and what is being sent is finished."""
        self.running.close()

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        return httpx.request(
            method,
            f"http://127.0.0.1:{self.port}/api/v1{path}",
            headers={"Authorization": f"Bearer {self.env['TOKEN']}"},
            timeout=60,
            **request,
        )

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        about = {"event_id": str(uuid4()), "kind": kind, "occurred_at": "2026-01-01T00:00:00+00:00", "data": data}
        told = self.call("POST", "/comm/events", json=about)
        assert told.status_code == 200, told.text

    def order_kits(self, number: str) -> None:
        """An order that has left, with two kits: two registrations and two forms."""
        order = {
            "orderNumber": number,
            "practitioner": {"id": str(uuid4()), "name": "Sample Practice", "email": f"{number}@example.org"},
            "status": "shipped",
            "kits": [{"kitId": f"{number}-A", "recipientEmail": f"{number}.a@example.com"}, {"kitId": f"{number}-B"}],
        }
        reported = self.call("PUT", f"/kit-orders/{uuid4()}", json=order)
        assert reported.status_code in (200, 201), reported.text

    def write_to_patient(self, number: str) -> None:
        """A new patient, and one mail that results are ready."""
        patient_id = str(uuid4())
        about = {"id": patient_id, "name": "Sample Patient", "organization_id": CLINIC, "language": "en"}
        about |= {"email": f"patient.{number}@example.org", "timezone": zone_at(13), "country": "US"}
        self.tell("patient.updated", about)
        wanted = {"patient_id": patient_id, "purpose": "lab_ready", "variables": {}}
        scheduled = self.call("POST", "/comm/schedule", json=wanted)
        assert scheduled.status_code == 200, scheduled.text

    def _env(self) -> dict[str, str]:
        # A folder before the installed package: so two releases share one environment here.
        return {**self.env, "PYTHONPATH": str(self.code), "PORT": str(self.port)}

    def _answers(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


@dataclass
class Upgrade:
    before: Release
    now: Release
    mail: Path
    database_url: str
    asked: int = 0

    def work(self, *releases: Release, rounds: int = 3) -> None:
        """Orders and messages by each of these releases."""
        for release in releases:
            for _ in range(rounds):
                release.order_kits(f"ORDER-{self.asked}")
                release.write_to_patient(str(self.asked))
                self.asked += 1

    def settle(self) -> None:
        """Return when everything asked for has left, each exactly once."""
        wait_for(lambda: len(self._rows()) == 5 * self.asked and self._open() == [])
        assert [row for row in self._rows() if row["status"] != "SENT"] == []
        arrived = [mail.envelope_to[0] for mail in list_messages(self.mail, limit=10_000)]
        assert len(arrived) == 3 * self.asked, "a form for each kit and a mail to each patient"
        assert len(set(arrived)) == len(arrived), "to each address one"

    def _rows(self) -> list[dict[str, Any]]:
        columns = "id, status, in_doubt, last_error_code"
        with connected():
            return fetch_dicts(" UNION ALL ".join(f"SELECT {columns} FROM {table}" for table in LANES))

    def _open(self) -> list[dict[str, Any]]:
        return [row for row in self._rows() if row["status"] in ("PENDING", "QUEUED")]


@pytest.fixture
def code_before(tmp_path: Path) -> Path:
    """The pinned commit's files."""
    archived = subprocess.run(["git", "archive", PINNED], cwd=ROOT, capture_output=True, check=False)
    assert archived.returncode == 0, f"the history of this checkout lacks {PINNED}: {archived.stderr.decode()}"
    with tarfile.open(fileobj=io.BytesIO(archived.stdout)) as files:
        files.extractall(tmp_path / "before", filter="data")
    return tmp_path / "before"


@pytest.fixture
def upgrade(
    empty_database_url: str, redis_url: str, code_before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Upgrade]:
    with ExitStack() as stack:
        port = stack.enter_context(mailbox(tmp_path / "mail", env={}, log=tmp_path / "log"))
        env = {
            "DATABASE_URL": empty_database_url,
            "REDIS_URL": redis_url,
            "DISPATCHLOG_SECRET_KEY": "a secret that both releases have",
            "DISPATCHLOG_SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none",
            "DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS": "1",
            "DISPATCHLOG_SWEEP_SECONDS": "1",
            "DISPATCHLOG_WORKER_PROCESSES": "1",
        }
        before = Release(code_before, env, tmp_path / "before.log")
        stack.callback(before.stop)
        before.command("migrate", "up")
        assert "0026" not in before.command("migrate", "status"), "it is the pinned commit that runs"
        printed = before.command("tokens", "add", "core", "--scope", "orders:write", "--scope", "comm:write")
        env["TOKEN"] = next(word for word in printed.split() if word.startswith("dlk_"))
        now = Release(ROOT, {**env, "DISPATCHLOG_SEAL_CONTENT": "0"}, tmp_path / "now.log")
        stack.callback(now.stop)
        for name in ("DATABASE_URL", "REDIS_URL", "DISPATCHLOG_SECRET_KEY"):
            monkeypatch.setenv(name, env[name])
        get_settings.cache_clear()
        configure(empty_database_url, role=get_settings().application_role, name="test")
        yield Upgrade(before, now, tmp_path / "mail", empty_database_url)
        database.close_all()
    get_settings.cache_clear()


def test_a_release_goes_in_and_out_again_while_everything_works(upgrade: Upgrade) -> None:
    """Schema first, then process by process; and back, with the schema left where it is."""
    before, now = upgrade.before, upgrade.now
    before.start()
    before.command("outreach", "templates")
    before.tell("organization.updated", {"id": CLINIC, "name": "Sample Clinic", "phone": "+12025550100"})
    upgrade.work(before)

    refused: list[BaseException] = []
    migrated = threading.Event()

    def keep_asking() -> None:
        try:
            while not migrated.is_set():
                upgrade.work(before, rounds=1)
        except BaseException as error:  # noqa: BLE001  a thread's failure is looked at below
            refused.append(error)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    applied = now.command("migrate", "up")
    migrated.set()
    asking.join()
    assert refused == []
    assert "applied 0026_outreach_growth" in applied
    upgrade.settle()

    upgrade.work(before)  # the release before, on the new schema
    upgrade.settle()
    now.start()
    upgrade.work(before, now)  # side by side
    upgrade.settle()
    upgrade.work(before)
    before.stop()  # with work under way
    upgrade.work(now)
    upgrade.settle()
    upgrade.work(now)
    now.stop()  # and back, with work under way
    before.start()
    upgrade.work(before)
    upgrade.settle()
    before.stop()  # in again, for good: nobody reads what is not sealed any more
    del now.env["DISPATCHLOG_SEAL_CONTENT"]
    now.start()
    upgrade.work(now)
    upgrade.settle()
    now.command("seal")
    with connected():
        assert fetch_all("SELECT DISTINCT outcome FROM dispatch_attempts") == [("ACCEPTED",)]
