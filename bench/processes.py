"""Owns the measured worker processes: starts them, times them from their release to the last row, stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress

import psycopg2
import redis

from bench import gate
from bench.lane import TABLE
from bench.servers import Servers
from dispatchlog.engine.database import BY_INDEX
from dispatchlog.local.directory import log_tail
from dispatchlog.local.server import end_process
from dispatchlog.supervisor import spawn

START_SECONDS = 60.0
LONGEST_SECONDS = 600.0
# Both looks are one probe of an index that holds open rows only, so looking costs the measured nothing to speak of.
_OPEN = " OR ".join(f"EXISTS (SELECT FROM {TABLE} WHERE status = '{status}')" for status in ("PENDING", "QUEUED"))
_LOOK_SECONDS = 0.02


class MeasuringFailed(RuntimeError):
    """A measured process ended, hung or left rows wrong; the figure would be worth nothing."""


class Workers:
    """The processes of one repetition, all of one module."""

    def __init__(self, servers: Servers, url: str, module: str, env: Mapping[str, str]) -> None:
        self.children: list[subprocess.Popen[bytes]] = []
        self.log = servers.directory / f"{module}.log"
        self.line: redis.Redis = redis.Redis.from_url(servers.redis_url)
        self._url = url
        self._module = module
        self._env = {**worker_environment(servers, url), **env}

    def start(self, count: int) -> None:
        with self.log.open("ab") as output:
            for _ in range(count):
                argv = [sys.executable, "-m", self._module]
                self.children.append(spawn(argv, env=self._env, output=output))

    def wait_until_ready(self, count: int) -> None:
        """Come back when so many have said that they are ready.

        Raises:
            MeasuringFailed: one ended instead, or a minute was not enough.
        """
        ends = time.monotonic() + START_SECONDS
        while gate.ready_count(self.line) < count:
            self.check()
            if time.monotonic() > ends:
                raise MeasuringFailed(f"{self._module} was not ready in {START_SECONDS:.0f} s:\n{log_tail(self.log)}")
            time.sleep(0.02)

    def release(self) -> None:
        """Let all that wait at the gate go."""
        gate.release(self.line, gate.ready_count(self.line))

    def time_until_done(self, release: Callable[[], None]) -> float:
        """Seconds from `release` until the lane has no open row left.

        Raises:
            MeasuringFailed: a process ended or the rows were not done in ten minutes.
        """
        with closing(psycopg2.connect(self._url, options=_by_index())) as connection:
            connection.autocommit = True
            began = time.perf_counter()
            release()
            while _has_open_rows(connection):
                self.check()
                if time.perf_counter() - began > LONGEST_SECONDS:
                    raise MeasuringFailed(
                        f"{self._module} was not done in {LONGEST_SECONDS:.0f} s:\n{log_tail(self.log)}"
                    )
                time.sleep(_LOOK_SECONDS)
            return time.perf_counter() - began

    def check(self) -> None:
        """Raise MeasuringFailed if one has ended."""
        for child in self.children:
            if child.poll() is not None:
                raise MeasuringFailed(f"{self._module} ended with code {child.returncode}:\n{log_tail(self.log)}")

    def stop(self) -> None:
        for child in self.children:
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self.children:
            if child.poll() is None:
                end_process(child, signals=(signal.SIGTERM,), seconds_each=20.0)
            with suppress(ProcessLookupError):  # a peer that forks may have left children of its own behind
                os.killpg(child.pid, signal.SIGKILL)
        self.line.close()


def worker_environment(servers: Servers, url: str) -> dict[str, str]:
    """The environment of a process that works on this database with the run's Valkey."""
    return {**os.environ, "DATABASE_URL": url, "REDIS_URL": servers.redis_url, "DISPATCHLOG_LOG_LEVEL": "warning"}


@contextmanager
def started_workers(
    servers: Servers, url: str, module: str, *, count: int, env: Mapping[str, str], ready: int | None = None
) -> Iterator[Workers]:
    """`count` processes of the module, after `ready` (default: one each) have said so; ended at the end."""
    workers = Workers(servers, url, module, env)
    try:
        workers.start(count)
        workers.wait_until_ready(count if ready is None else ready)
        yield workers
    finally:
        workers.stop()


def time_workers(servers: Servers, url: str, module: str, *, count: int, env: Mapping[str, str]) -> float:
    """Seconds from the release of `count` processes of this module until the lane has no open row left.

    Raises:
        MeasuringFailed: a process ended or the rows were not done in ten minutes.
    """
    with started_workers(servers, url, module, count=count, env=env) as workers:
        return workers.time_until_done(workers.release)


def time_queue(
    servers: Servers, url: str, module: str, *, count: int, queue: str, env: Mapping[str, str], ready: int
) -> float:
    """The same for workers that already wait on an empty queue: they go when the filled one gets its name.

    Raises:
        MeasuringFailed: a process ended or the rows were not done in ten minutes.
    """
    with started_workers(servers, url, module, count=count, env=env, ready=ready) as workers:
        return workers.time_until_done(lambda: gate.let_go(workers.line, queue))


def _by_index() -> str:
    return " ".join(f"-c {setting}={value}" for setting, value in BY_INDEX.items())


def _has_open_rows(connection: psycopg2.extensions.connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_OPEN}")
        return bool(cursor.fetchone()[0])
