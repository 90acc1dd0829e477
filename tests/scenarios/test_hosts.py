"""Several machines in network namespaces: nothing is sent twice, lost or left open while they lose each other.

Needs root and `ip`, as a machine of the checks has them; elsewhere it says what is missing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from chaos.hosts.monkey import DECK
from chaos.hosts.network import Network, why_not
from chaos.hosts.world import HostsWorld
from chaos.world import Slot, World
from dispatchlog.local.server import end_process

NOT_HERE = why_not()
pytestmark = pytest.mark.skipif(bool(NOT_HERE), reason=NOT_HERE)


def test_what_is_cut_one_way_is_lost_without_a_word_and_the_other_way_stays_open() -> None:
    with Network() as network:
        near, far = network.add("near"), network.add("far")
        with far.inside():
            assert socket.gethostname() == "far"
            listener = socket.create_server((far.address, 5000))
        with near.inside():
            client = socket.create_connection((far.address, 5000), timeout=10)
        server, _ = listener.accept()
        with listener, client, server:
            server.settimeout(0.5)
            client.settimeout(10)
            network.cut(near, far)
            client.send(b"lost")
            with pytest.raises(TimeoutError):
                server.recv(4)
            server.send(b"heard")
            assert client.recv(5) == b"heard"
            network.mend(near, far)
            server.settimeout(30)
            assert server.recv(4) == b"lost"  # TCP repeats it


def test_a_host_that_was_lost_comes_back_knowing_nothing() -> None:
    with Network() as network:
        near, far = network.add("near"), network.add("far")
        with far.inside():
            listener = socket.create_server((far.address, 5000))
        with near.inside():
            client = socket.create_connection((far.address, 5000), timeout=10)
        with listener, client:
            network.lose(far)
            network.boot(far)
            client.settimeout(30)
            client.send(b"are you there?")
            with pytest.raises(ConnectionResetError):
                client.recv(1)


_BUILDS = """
import sys
from chaos.hosts.monkey import DECK
from chaos.hosts.network import Network
with Network() as network:
    for name in ("one", "two"):
        host = network.add(name)
    print("built", flush=True)
    sys.stdin.read()
"""


def cards() -> list[str]:
    """The network cards of this machine itself."""
    return sorted(path.name for path in Path("/sys/class/net").iterdir())


def test_nothing_is_left_of_a_network_whose_process_was_killed() -> None:
    before = cards()
    with subprocess.Popen([sys.executable, "-c", _BUILDS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"built\n"
        held = {
            str(path.readlink()) for path in Path(f"/proc/{process.pid}/fd").iterdir() if "net:" in str(path.readlink())
        }
        assert len(held) == 3  # the switch and two hosts
        assert cards() == before
        process.send_signal(signal.SIGKILL)
    assert cards() == before
    assert not held & namespaces()


_SLOW_TO_STOP = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), sys.exit()))
print("runs", flush=True)
while True:
    time.sleep(60)
"""


def test_what_was_still_stopping_when_faults_were_over_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_in(self: HostsWorld, slot: Slot) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", _SLOW_TO_STOP], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"runs\n"
        started.callback(end_process, process, signals=(), seconds_each=0)
        return process

    monkeypatch.setattr(HostsWorld, "_run_in", run_in)
    monkeypatch.setattr(World, "heal", lambda world: world.tend(everything=True))  # its servers were never started
    with ExitStack() as started, Network() as network:
        world = HostsWorld(tmp_path, 1, 1, network, dashboards=1)
        world.tend(everything=True)
        (dashboard,) = world.dashboards
        before = dashboard.process
        world.roll(dashboard.place)
        world.heal()
        assert before is not None
        assert before.poll() is not None
        assert dashboard.process is not None
        assert dashboard.process is not before
        assert dashboard.process.poll() is None


def namespaces() -> set[str]:
    """The network namespaces of all processes that run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/ns/net"):
        with suppress(OSError):  # it has ended meanwhile
            found.add(str(path.readlink()))
    return found


def test_nothing_is_sent_twice_lost_or_left_open_while_hosts_lose_each_other() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "chaos.hosts", "--seconds=6", "--gap-seconds=0.25", "--workers=2", "--per-second=200"],
        check=False,
        env={**os.environ, "PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=540,
    )
    assert ended.returncode == 0, (ended.stdout + ended.stderr)[-20_000:]
    figures = json.loads(ended.stdout.splitlines()[-1])
    offences = ("accepted_twice", "lost", "unsettled", "transitions_mismatch", "body_mismatch", "out_of_order")
    assert {name: figures[name] for name in offences} == dict.fromkeys(offences, 0)
    assert set(figures["faults"]) == set(DECK), "the run was too short for one whole deck"
    assert figures["acts_of_the_leader_that_was_cut_off"] == 0
    assert figures["held_by_the_worker_that_was_lost"] > 0
    assert figures["dashboards_ready"] == 2
    assert figures["sent"] > 500
