"""The guides' own commands, run one after the other: a backup, mails that leave after it, a disaster, and the way back."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_one
from dispatchlog.local.mailbox import list_messages
from dispatchlog.local.postgres import _binaries
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.kit_orders import (
    KitInput,
    OrderInput,
    PractitionerInput,
    ShipmentInput,
    put_order,
    report_shipment,
)
from tests.scenarios.processes import mailbox, mails_per_dispatch, running, wait_for

BLOCK = re.compile(r"^ *```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
LANE = "health_information"


def blocks(page: str) -> list[str]:
    """The commands of a guide, block by block."""
    return BLOCK.findall(Path(page).read_text())


class Place:
    """A shell as the guide's reader has it: the tools, the product, and the environment that the guide names."""

    def __init__(self, directory: Path, env: dict[str, str]) -> None:
        self.directory = directory
        self.env = {**os.environ, **env, "PATH": f"{_binaries()}:{os.environ['PATH']}"}

    def run(self, commands: str, *, expect: int = 0) -> str:
        script = f'set -e\ndispatchlog() {{ "{sys.executable}" -m dispatchlog.cli "$@"; }}\n{commands}'
        ended = subprocess.run(
            ["bash", "-c", script],
            env={**self.env, "PYTHONPATH": str(Path.cwd())},
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert ended.returncode == expect, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr


@pytest.fixture
def place(settings_env: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Place, Path]]:
    """Settings of one machine whose mail server keeps a ledger: the folder of the mails."""
    with ExitStack() as stack:
        mail = tmp_path / "mail"
        port = stack.enter_context(mailbox(mail, env={}, log=tmp_path / "log"))
        env = {
            "DISPATCHLOG_SMTP_URL": f"smtp://127.0.0.1:{port}?tls=none",
            "DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS": "1",
            "DISPATCHLOG_SWEEP_SECONDS": "1",
            "DATABASE_URL": settings_env.database_url,
            "DATABASE_OWNER_URL": settings_env.database_url,
            "REDIS_URL": settings_env.redis_url,
            "SERVER_URL": urlunsplit(urlsplit(settings_env.database_url)._replace(path="/postgres")),
        }
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        registry.forget()
        open_log(settings_env.database_url)
        yield Place(tmp_path, env), mail
        database.close_all()
    registry.forget()


def open_log(url: str) -> None:
    configure(url, role="dispatchlog_app", name="test", max_connections=8)


def work(place: Place, *, until: object) -> None:
    """A worker and a clock, until that many forms have been sent or stand in doubt."""
    log = place.directory / "log"
    with (
        running("-m", "dispatchlog.cli", "scheduler", env=place.env, log=log),
        running("-m", "dispatchlog.cli", "worker", "--processes", "1", env=place.env, log=log),
    ):
        wait_for(lambda: statuses() == until)


def statuses() -> dict[str, int]:
    with connected():
        return dict(
            fetch_all(
                "SELECT CASE WHEN in_doubt THEN 'IN_DOUBT' ELSE status END, count(*)"
                " FROM health_information_dispatch_logs GROUP BY 1"
            )
        )


def order(*kits: str) -> UUID:
    order_id = uuid4()
    practitioner = PractitionerInput(uuid4(), "Dr. Example", "practice@example.org")
    inputs = tuple(KitInput(kit, f"{kit.lower()}@example.com") for kit in kits)
    put_order(OrderInput(order_id, f"ORD-{kits[0]}", practitioner, kits=inputs), source="orders")
    report_shipment(order_id, ShipmentInput(tracking_number="T-1"), source="orders")
    return order_id


def test_after_the_guide_s_restore_nothing_is_sent_twice_and_what_was_lost_is_named(place: tuple[Place, Path]) -> None:
    here, mail = place
    backup, restore, take_over, moved, compare = blocks("docs/backup.md")
    order("KIT-1")
    work(here, until={"SENT": 1})
    # The mails of these two are on their way when the backup is taken; of the third, not even the order is in it.
    here.run(f'dispatchlog pause {LANE} --reason "so that they wait"')
    order("KIT-2", "KIT-3")
    work(here, until={"SENT": 1, "PENDING": 2})
    here.run(backup)
    here.run(f'dispatchlog resume {LANE} --reason "they may go"')
    order("KIT-4")
    work(here, until={"SENT": 4})
    assert sorted(mails_per_dispatch(mail).values()) == [1, 1, 1, 1]

    lost = urlsplit(here.env["DATABASE_URL"]).path[1:]
    database.close_all()
    here.run(f'dropdb --maintenance-db="$SERVER_URL" --force {lost}')
    name = f"{lost}_restored"
    restored = urlunsplit(urlsplit(here.env["DATABASE_URL"])._replace(path=f"/{name}"))
    here.env |= {"RESTORED_URL": restored}
    try:
        here.run(restore.replace("dispatchlog_restored", name))
        here.env |= {"DATABASE_URL": restored, "DATABASE_OWNER_URL": restored}
        open_log(restored)
        assert "LOG_ELSEWHERE" in here.run("dispatchlog hl7 send-now --pending", expect=1)

        assert "in doubt" in here.run(take_over)
        assert statuses() == {"SENT": 1, "IN_DOUBT": 2}
        here.run(f'dispatchlog resume {LANE} --reason "held from before the backup"')
        # The reader has a list of the mail server; of the two in doubt it names one.
        ids = [message.message_id for message in list_messages(mail, limit=100)]
        with connected():
            doubtful = {
                str(row[0]) for row in fetch_all("SELECT id FROM health_information_dispatch_logs WHERE in_doubt")
            }
        silent = sorted(doubtful)[0]
        (here.directory / "maillog.txt").write_text("\n".join(each for each in ids if silent not in each))
        assert "1 agree, 1 proved as sent, 1 lost" in here.run(compare)
        assert "was known here already" in here.run(moved)

        work(here, until={"SENT": 2, "IN_DOUBT": 1})
        assert sorted(mails_per_dispatch(mail).values()) == [1, 1, 1, 1]
        with connected():
            assert str(fetch_one("SELECT id FROM health_information_dispatch_logs WHERE in_doubt")[0]) == silent
            lost_ids = {str(row[0]) for row in fetch_all("SELECT dispatch_id FROM log_losses")}
        assert lost_ids < set(mails_per_dispatch(mail))
    finally:
        database.close_all()
        here.run(f'dropdb --maintenance-db="$SERVER_URL" --force --if-exists {name}')


def test_the_guide_s_commands_for_holds_exports_and_erasures_work_as_told(place: tuple[Place, Path]) -> None:
    here, _ = place
    hold, patient = blocks("docs/data-life.md")
    order("JO")
    work(here, until={"SENT": 1})
    hold, patient = (block.replace("jo@example.org", "jo@example.com") for block in (hold, patient))
    lines = hold.splitlines()
    here.run(lines[0])
    assert "LEGAL_HOLD" in here.run(patient.splitlines()[2], expect=1)
    assert "dispute 81" in here.run(lines[1])
    here.run(lines[2])
    told = here.run(patient)
    assert "would be: " in told
    assert (here.directory / "jo.zip").stat().st_mode & 0o777 == 0o600
    with connected():
        assert fetch_all("SELECT recipient_email FROM health_information_dispatch_logs") == [(None,)]
    assert "nothing was found" in here.run("dispatchlog patient traces jo@example.com")
    assert "comm_job" in here.run("dispatchlog retention show")
    here.run('dispatchlog retention set "comm_job texts" 180 --reason "policy of 2026"')
    here.run("dispatchlog retention run --dry-run; dispatchlog retention run")
