"""Real processes of the product for scenario tests: worker, clock, mailbox. Asserts nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from dispatchlog.local.mailbox import list_messages
from tests.ports import free_port

PATIENCE_SECONDS = 240


@contextmanager
def running(
    *arguments: str, env: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A child that is ended with everything it started, however the test ends."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, **env},
            cwd=cwd,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                for child in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
                    child.kill()
                process.wait()


@contextmanager
def mailbox(directory: Path, *, env: Mapping[str, str], log: Path) -> Iterator[int]:
    """A mail server on a free port; the port comes back once it answers."""
    port = free_port()
    with running("-m", "dispatchlog.local.mailbox", "--port", str(port), "--dir", str(directory), env=env, log=log):
        wait_for(lambda: _answers(port))
        yield port


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS, every: float = 0.1) -> None:
    """Return when `condition` holds; fail after `seconds`, by default more than even a busy machine can need."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, f"not within {seconds} s"
        time.sleep(every)


def worker_pids(supervisor: subprocess.Popen[bytes]) -> list[int]:
    """The processes in which actors and drains run: the grandchildren of `dispatchlog worker`."""
    children = psutil.Process(supervisor.pid).children()
    return [grandchild.pid for child in children for grandchild in child.children()]


def mails_per_dispatch(directory: Path) -> Counter[str]:
    """How many mails arrived for each dispatch, by the Message-ID, which holds the dispatch's id and generation."""
    return Counter(
        mail.message_id.strip("<>").partition("@")[0][:36] for mail in list_messages(directory, limit=100_000)
    )
