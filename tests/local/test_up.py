"""`dispatchlog up` as somebody at a terminal meets it, also in a second terminal and when its servers are killed."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from dispatchlog.settings import get_settings
from dispatchlog.supervisor import spawn
from tests.engine.processes import until
from tests.ports import free_port

_COMMAND = [sys.executable, "-m", "dispatchlog.cli"]


class Running:
    """A `dispatchlog up` in a folder of its own, and what it printed up to now."""

    def __init__(self, folder: Path, port: int, *, sample: bool = False) -> None:
        self.folder = folder
        self.port = port
        self.greeting: list[str] = []
        command = [*_COMMAND, "up", "--sample" if sample else "--no-sample"]
        self.process = spawn(command, env=environment(port), cwd=folder, output=subprocess.PIPE)

    @property
    def pid_of_postgres(self) -> int:
        return int((self.folder / "var/postgres/data/postmaster.pid").read_text().split()[0])

    @property
    def pid_of_valkey(self) -> int:
        [pid] = [child.pid for child in psutil.Process(self.process.pid).children() if child.name() == "valkey-server"]
        return pid

    def read_until(self, text: str) -> list[str]:
        """Lines up to the first with this text; the test's own timeout ends a wait that is in vain."""
        lines: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            lines.append(line.decode().rstrip())
            if text in lines[-1]:
                return lines
        raise AssertionError(f"the output ended without {text!r}: {lines}")

    def stop(self) -> list[str]:
        self.process.send_signal(signal.SIGINT)
        output, _ = self.process.communicate(timeout=120)
        return output.decode().splitlines()


def environment(port: int) -> dict[str, str]:
    """Only what makes this machine's other settings and servers invisible."""
    names = ("DATABASE_URL", "DATABASE_OWNER_URL", "REDIS_URL", "BROKER_URL")
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHLOG_")}
    own = {name: value for name, value in clean.items() if name not in names}
    return {**own, "PORT": str(port), "DISPATCHLOG_SOCKET_PORT": str(free_port())}


def dispatchlog(
    *arguments: str, folder: Path, port: int = 1, more: Sequence[tuple[str, str]] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_COMMAND, *arguments],
        cwd=folder,
        env={**environment(port), **dict(more)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("up"), free_port())
    try:
        running.greeting = running.read_until("Stop      Ctrl-C")
        yield running
        assert running.stop()[-1] == "everything has stopped"
        assert running.process.returncode == 0
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()


def test_the_dashboard_answers_where_the_greeting_says(up: Running) -> None:
    with closing(http.client.HTTPConnection("127.0.0.1", up.port, timeout=120)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def test_the_sockets_answer_where_the_greeting_says(up: Running) -> None:
    [said] = [line for line in up.greeting if line.startswith("  Sockets   127.0.0.1:")]
    port = int(said.split()[1].partition(":")[2])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200


def test_the_texts_that_go_out_are_shown_where_the_greeting_says(up: Running) -> None:
    [said] = [line for line in up.greeting if line.startswith("  Texts     http://127.0.0.1:")]
    port = int(said.partition("127.0.0.1:")[2].partition("/")[0])
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
        connection.request("GET", "/messages")
        assert b"Nothing has gone out yet" in connection.getresponse().read()


def test_a_second_one_in_the_same_folder_says_so_in_one_line(up: Running) -> None:
    run = dispatchlog("up", folder=up.folder, port=free_port())
    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert "RUNS_ALREADY" in line
    assert f"with the data in {up.folder / 'var'}; stop it with Ctrl-C" in line
    assert run.stdout == ""


def test_a_taken_port_is_named_before_anything_is_started(up: Running, tmp_path: Path) -> None:
    run = dispatchlog("up", folder=tmp_path, port=up.port)
    assert run.returncode == 1
    [line] = run.stderr.splitlines()
    assert f"another program listens on 127.0.0.1:{up.port}; take another port: PORT={up.port + 1} make run" in line
    assert run.stdout == ""
    assert not (tmp_path / "var" / "postgres").exists()


def test_a_command_in_a_second_terminal_has_the_same_settings(up: Running) -> None:
    def doctor() -> dict[str, Any]:
        run = dispatchlog("doctor", "--json", folder=up.folder)
        return {check["name"]: check for check in json.loads(run.stdout)}

    until(lambda: "none seen" not in str(doctor()), what="worker and scheduler have been seen")
    checks = doctor()
    assert checks["settings"]["what"] == "development, sweep every 10 s"
    assert {name: check["what"] for name, check in checks.items() if check["state"] != "ok"} == {}
    [told] = up.folder.glob("var/running.json")
    assert told.stat().st_mode & 0o077 == 0
    assert json.loads(told.read_text())["settings"]["DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS"] == "20"


def test_a_command_that_names_its_own_database_is_left_alone(up: Running) -> None:
    own = [("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")]
    run = dispatchlog("doctor", "--json", folder=up.folder, more=own)
    checks = {check["name"]: check for check in json.loads(run.stdout)}
    assert checks["settings"]["what"] == "development, sweep every 3600 s"
    assert checks["database"]["next"].startswith("check DATABASE_URL")


@pytest.mark.parametrize("name", ["PostgreSQL", "Valkey"])
def test_a_killed_server_runs_again_and_everything_goes_on(up: Running, name: str) -> None:
    dispatchlog("users", "add", f"{name}@example.org", folder=up.folder)
    pid = up.pid_of_postgres if name == "PostgreSQL" else up.pid_of_valkey
    os.kill(pid, signal.SIGKILL)
    lines = up.read_until(f"{name:<12} runs again")
    assert any(line.startswith(f"{name:<12} was killed by SIGKILL; starting it again") for line in lines)
    assert f"{name.lower()}@example.org" in dispatchlog("users", "list", folder=up.folder).stdout.lower()
    assert (up.pid_of_postgres if name == "PostgreSQL" else up.pid_of_valkey) != pid


def test_within_a_minute_messages_of_the_sample_s_schools_leave_and_a_driver_has_its_first_order(
    tmp_path: Path,
) -> None:
    running = Running(tmp_path, free_port(), sample=True)
    try:
        lines = running.read_until("DISPATCH_SENT")
        while not any("ENDPOINT_REFUSED_CREDENTIALS" in line for line in lines):
            lines += running.read_until("DISPATCH_AGAIN")
        while not any("RX-1001  ASSIGNED" in line for line in lines):
            lines += running.read_until("RX-1001  ASSIGNED")
        run = dispatchlog("hl7", "send-now", "--pending", folder=tmp_path)
        assert "WEST  PENDING  The school's endpoint is switched off." in run.stdout
        assert running.stop()[-1] == "everything has stopped"
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
    assert json.loads((tmp_path / "var/exchange.json").read_text())["rules"]
    assert json.loads((tmp_path / "var/courier.json").read_text())["orders"]


def test_the_sockets_take_another_port_and_keep_it_where_the_usual_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dispatchlog.local import up as module

    for name in [name for name in os.environ if name.startswith("DISPATCHLOG_")]:
        monkeypatch.delenv(name)
    chosen = []
    with ExitStack() as stack:
        with suppress(OSError):  # somebody else has it already
            stack.enter_context(closing(socket.create_server(("127.0.0.1", 8001))))
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(os, "environ", dict(os.environ))
                module._complete_environment(tmp_path)
                chosen.append(os.environ["DISPATCHLOG_SOCKET_PORT"])
    get_settings.cache_clear()
    assert chosen[0] == chosen[1] != "8001"


def test_ctrl_c_beside_a_dead_server_stops_everything(tmp_path: Path) -> None:
    running = Running(tmp_path, free_port())
    running.read_until("Stop      Ctrl-C")
    children = psutil.Process(running.process.pid).children(recursive=True)
    os.kill(running.pid_of_postgres, signal.SIGKILL)
    lines = running.stop()
    assert lines[-1] == "everything has stopped"
    assert not any("did not stop in time" in line for line in lines)
    assert running.process.returncode == 0
    assert psutil.wait_procs(children, timeout=120)[1] == []


def test_after_it_has_stopped_its_settings_are_nobodys(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    told = {"settings": {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}, "keeps": ["DATABASE_URL"]}
    (tmp_path / "var" / "running.json").write_text(json.dumps(told))  # as kill -9 leaves it
    run = dispatchlog("users", "list", folder=tmp_path)
    assert "no dispatchlog up runs in this folder" in run.stderr


def test_while_its_server_is_down_nobody_is_sent_to_look_at_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dispatchlog.local.running import announce, only_one_here

    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    with only_one_here(tmp_path / "var"):
        announce(tmp_path / "var", keeps=["DATABASE_URL"])
        run = dispatchlog("users", "list", folder=tmp_path)
    assert run.returncode == 1
    assert "DATABASE_UNAVAILABLE" in run.stderr
    assert "dispatchlog up starts it again in a moment" in run.stderr
    assert "check DATABASE_URL" not in run.stderr
