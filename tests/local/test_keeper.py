"""A local server that dies comes back on the same port, and one that keeps dying is given up."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import redis

from dispatchlog.local.keeper import MAX_DEATHS, Keeper
from dispatchlog.local.valkey import LocalValkey


class Kept:
    """A running Valkey, its keeper and what that said."""

    def __init__(self, server: LocalValkey) -> None:
        self.server = server
        self.said: list[str] = []
        self.keeper = Keeper([server], self.said.append)

    def kill(self) -> None:
        assert self.server.pid is not None
        psutil.Process(self.server.pid).send_signal(signal.SIGKILL)
        while self.server.pid is not None:  # the thread that waits for the process may learn of its end a moment later
            time.sleep(0.005)

    def check_until(self, text: str) -> int | None:
        """Check until something with this text was said or the keeper gives up; its last answer comes back."""
        while not any(text in line for line in self.said):
            code = self.keeper.check()
            if code is not None:
                return code
            time.sleep(0.005)
        return None


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    with LocalValkey(tmp_path / "valkey") as server:
        kept = Kept(server)
        with kept.keeper:
            yield kept


def test_a_server_that_runs_is_left_alone(kept: Kept) -> None:
    pid = kept.server.pid
    assert [kept.keeper.check() for _ in range(3)] == [None, None, None]
    assert kept.server.pid == pid
    assert kept.said == []


def test_a_killed_server_is_named_and_runs_again_where_it_was(kept: Kept) -> None:
    url, pid = kept.server.url(), kept.server.pid
    kept.kill()
    assert kept.check_until("runs again") is None
    assert kept.server.url() == url
    assert kept.server.pid not in (None, pid)
    with closing(redis.Redis.from_url(url)) as client:
        assert client.ping()
    assert kept.said[0].startswith("Valkey       was killed by SIGKILL")


def test_a_server_that_dies_again_and_again_is_given_up(kept: Kept) -> None:
    for _ in range(MAX_DEATHS - 1):
        kept.kill()
        assert kept.check_until("runs again") is None
        kept.said.clear()
    kept.kill()
    assert kept.check_until("runs again") == 1
    assert kept.keeper.check() == 1
    [line] = kept.said
    assert "died 5 times in a row and is given up; see /" in line


def test_a_server_whose_port_was_taken_says_so_and_is_tried_again(kept: Kept) -> None:
    kept.server.kill()
    with closing(socket.create_server(("127.0.0.1", kept.server.port))):
        assert kept.check_until("could not be started again") is None
    assert kept.check_until("runs again") is None


def test_nothing_is_started_once_everything_stops(kept: Kept) -> None:
    kept.kill()
    kept.check_until("runs again")
    kept.kill()
    assert kept.keeper.check() is None  # the second death in a row: it waits before it starts the server
    kept.keeper.close()
    assert kept.server.pid is None
    assert sum("runs again" in line for line in kept.said) == 1
