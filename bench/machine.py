"""Owns what has to be known of the machine to read the figures: cores, versions, disk. Never says where anything lies."""

from __future__ import annotations

import os
import platform
import statistics
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import redis

from bench.servers import Servers

_DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
_FLUSHES = 200


def facts(servers: Servers) -> dict[str, str]:
    """Names and values, in the order in which they are printed."""
    with redis.Redis.from_url(servers.redis_url) as client:
        info = client.info("server")
    settings = ", ".join(f"{name} {servers.admin(f'SHOW {name}')[0][0]}" for name in _DURABLE)
    return {
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "CPU": _cpu_model(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5, 15 min, before the run)",
        "flush": f"{flush_seconds(servers.directory) * 1000:.2f} ms (fdatasync of 8 KiB, median of {_FLUSHES})",
        "PostgreSQL": f"{servers.admin('SHOW server_version')[0][0]} ({settings})",
        "Valkey": str(info.get("valkey_version") or info["redis_version"]),
        "Python": platform.python_version(),
        **_versions("dramatiq", "redis", "psycopg2-binary", "peewee", "celery", "procrastinate", "psycopg", "rq"),
    }


def flush_seconds(directory: Path) -> float:
    """How long the disk under `directory` takes to keep one page: the price of a durable commit."""
    took = []
    path = directory / "flush"
    with path.open("wb", buffering=0) as file:
        file.write(b"\0" * 8192 * _FLUSHES)
        os.fsync(file.fileno())
        for number in range(_FLUSHES):
            file.seek(8192 * number)
            file.write(os.urandom(8192))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(took)


def _versions(*names: str) -> dict[str, str]:
    """Those of the packages that are installed."""
    found: dict[str, str] = {}
    for name in names:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
