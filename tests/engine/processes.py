"""Starts and ends the worker processes of these tests; each is ended by its own pid."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

# What usually takes a moment may take long on a busy machine.
PATIENCE_SECONDS = 60.0
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120


@dataclass
class WorkerProcess:
    """A running `tests.engine.worker`."""

    process: subprocess.Popen[str]
    worker_id: int = 0

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=PATIENCE_SECONDS)

    def pause(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def worker(*, ready: bool = True, crash_at: str = "", **order: Any) -> Iterator[WorkerProcess]:
    """A worker process, killed at the end whatever it does. With `ready` it is up; else it may have ended already."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.engine.worker", json.dumps(order)],
        cwd=ROOT,
        env={**os.environ, "DISPATCHLOG_CRASH_AT": crash_at},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    running = WorkerProcess(process)
    try:
        if ready:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            assert line.startswith("{"), process.stderr.read()
            running.worker_id = json.loads(line)["worker_id"]
        yield running
    finally:
        process.kill()
        process.wait(timeout=PATIENCE_SECONDS)
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def until(condition: Callable[[], object], *, seconds: float = PATIENCE_SECONDS, what: str = "") -> float:
    """Wait until it holds; the seconds that took come back. It looks often at first and then less."""
    started = time.monotonic()
    while not condition():
        waited = time.monotonic() - started
        if waited > seconds:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(min(0.05, max(0.005, waited / 20)))
    return time.monotonic() - started
