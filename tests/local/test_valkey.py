"""The local Valkey starts, stops and comes back, always empty."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from dispatchlog.local.directory import LocalServerError
from dispatchlog.local.server import gone, processes_in
from dispatchlog.local.valkey import LocalValkey

_HOLDER = """
import sys, time
from pathlib import Path
from dispatchlog.local.valkey import LocalValkey
server = LocalValkey(Path(sys.argv[1]))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalValkey]:
    server = LocalValkey(tmp_path / "valkey")
    yield server
    server.stop()


def set_and_get(server: LocalValkey) -> object:
    with redis.Redis.from_url(server.url(), decode_responses=True) as client:
        client.set("key", "value")
        return client.get("key")


def test_a_started_server_answers_and_a_stopped_one_is_gone(server: LocalValkey) -> None:
    server.start()
    pid = server.pid
    assert pid is not None
    assert set_and_get(server) == "value"
    server.stop()
    assert server.pid is None
    assert not psutil.pid_exists(pid)


def test_a_restart_keeps_the_url_and_forgets_the_data(server: LocalValkey) -> None:
    server.start()
    url = server.url()
    set_and_get(server)
    server.stop()
    server.start()
    assert server.url() == url
    with redis.Redis.from_url(url) as client:
        assert client.dbsize() == 0


def test_a_killed_server_can_be_started_again(server: LocalValkey) -> None:
    server.start()
    server.kill()
    assert server.pid is None
    server.start()
    assert set_and_get(server) == "value"


def test_nothing_is_written_to_disk(server: LocalValkey, tmp_path: Path) -> None:
    server.start()
    set_and_get(server)
    server.stop()
    names = {path.name for path in (tmp_path / "valkey").iterdir()}
    assert names == {"lock", "log", "password", "port", "valkey.conf"}


def test_the_password_is_needed_and_readable_by_its_owner_alone(server: LocalValkey, tmp_path: Path) -> None:
    server.start()
    for name in ("password", "valkey.conf"):
        assert stat.S_IMODE((tmp_path / "valkey" / name).stat().st_mode) == 0o600
    password = (tmp_path / "valkey" / "password").read_text()
    assert server.pid is not None
    assert not any(password in part for part in psutil.Process(server.pid).cmdline())
    stranger = redis.Redis.from_url(server.url().replace(password, "wrong"))
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()


def test_settings_override_the_defaults(tmp_path: Path) -> None:
    with (
        LocalValkey(tmp_path / "valkey", settings={"databases": "512"}) as server,
        redis.Redis.from_url(server.url(511)) as client,
    ):
        assert client.ping()


def test_a_second_process_cannot_take_a_server_that_is_in_use(server: LocalValkey, tmp_path: Path) -> None:
    server.start()
    with pytest.raises(LocalServerError, match="another process runs the server"):
        LocalValkey(tmp_path / "valkey").start()
    assert set_and_get(server) == "value"


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(LocalServerError, match="no-such-setting"):
        LocalValkey(tmp_path / "valkey", settings={"no-such-setting": "1"}).start()


def test_the_server_stops_when_its_supervisor_is_killed_and_can_be_started_again(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _HOLDER, str(tmp_path / "valkey")]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    with holder.stdout:
        pid = int(holder.stdout.readline())
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    if sys.platform == "linux":
        assert gone(processes_in(tmp_path / "valkey", name="valkey-server"), within_seconds=60)
    with LocalValkey(tmp_path / "valkey") as server:
        assert server.pid != pid
        assert set_and_get(server) == "value"
