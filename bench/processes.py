"""Owns the measured worker processes: starts them, times them from their release to the last row, stops them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import redis

from bench import gate
from bench.lane import TABLE
from bench.servers import Servers
from dispatchlog.engine.database import BY_INDEX
from dispatchlog.local.postgres import end_process, log_tail
from dispatchlog.supervisor import spawn

START_SECONDS = 60.0
LONGEST_SECONDS = 600.0
# Both looks are one probe of an index that holds open rows only, so looking costs the measured nothing to speak of.
_OPEN = " OR ".join(f"EXISTS (SELECT FROM {TABLE} WHERE status = '{status}')" for status in ("PENDING", "QUEUED"))
_LOOK_SECONDS = 0.02


class MeasuringFailed(RuntimeError):
    """A measured process ended, hung or left rows wrong; the figure would be worth nothing."""


@dataclass
class Workers:
    """The processes of one repetition."""

    children: list[subprocess.Popen[bytes]]
    log: Path

    def check(self) -> None:
        """Raise MeasuringFailed if one has ended."""
        for child in self.children:
            if child.poll() is not None:
                raise MeasuringFailed(f"a worker ended with code {child.returncode}:\n{log_tail(self.log)}")


def time_workers(servers: Servers, url: str, module: str, *, count: int, env: Mapping[str, str]) -> float:
    """Seconds from the release of `count` processes of this module until the lane has no open row left.

    Raises:
        MeasuringFailed: a process ended or the rows were not done in ten minutes.
    """
    with _started(servers, url, module, count=count, env=env) as workers, _line(servers) as line:
        _wait_until_ready(workers, line)
        with closing(psycopg2.connect(url, options=_by_index())) as connection:
            connection.autocommit = True
            began = time.perf_counter()
            gate.release(line, count)
            while _has_open_rows(connection):
                workers.check()
                if time.perf_counter() - began > LONGEST_SECONDS:
                    raise MeasuringFailed(f"{module} was not done in {LONGEST_SECONDS:.0f} s:\n{log_tail(workers.log)}")
                time.sleep(_LOOK_SECONDS)
            return time.perf_counter() - began


@contextmanager
def _started(servers: Servers, url: str, module: str, *, count: int, env: Mapping[str, str]) -> Iterator[Workers]:
    log = servers.directory / f"{module}.log"
    whole = {
        **os.environ,
        **env,
        "DATABASE_URL": url,
        "REDIS_URL": servers.redis_url,
        "DISPATCHLOG_LOG_LEVEL": "warning",
    }
    children: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("ab") as output:
            for _ in range(count):
                children.append(spawn([sys.executable, "-m", module], env=whole, output=output))
        yield Workers(children, log)
    finally:
        _stop(children)


def _stop(children: Sequence[subprocess.Popen[bytes]]) -> None:
    for child in children:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for child in children:
        if child.poll() is None:
            end_process(child, signals=(signal.SIGTERM,), seconds_each=20.0)


@contextmanager
def _line(servers: Servers) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(servers.redis_url) as client:
        yield client


def _wait_until_ready(workers: Workers, line: redis.Redis) -> None:
    ends = time.monotonic() + START_SECONDS
    while gate.ready_count(line) < len(workers.children):
        workers.check()
        if time.monotonic() > ends:
            raise MeasuringFailed(f"the workers were not ready in {START_SECONDS:.0f} s:\n{log_tail(workers.log)}")
        time.sleep(0.02)


def _by_index() -> str:
    return " ".join(f"-c {setting}={value}" for setting, value in BY_INDEX.items())


def _has_open_rows(connection: psycopg2.extensions.connection) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_OPEN}")
        return bool(cursor.fetchone()[0])
