"""The dashboard behind the server that the product runs, as processes of its own. Asserts nothing about its pages."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx

from tests.engine.processes import until

_ROOT = Path(__file__).parent.parent.parent
_COMMAND = ("-m", "gunicorn", "--config", "python:dashboard.gunicorn_conf", "--workers", "1", "dashboard.wsgi:app")


def start_web(port: int, **env: str) -> subprocess.Popen[bytes]:
    """One gunicorn worker with its master on this port, in a process group of their own; back once it answers."""
    process = subprocess.Popen(
        [sys.executable, *_COMMAND], cwd=_ROOT, env={**os.environ, "PORT": str(port), **env}, start_new_session=True
    )
    try:
        until(lambda: process.poll() is not None or _answers(port), what="it answers")
        assert process.poll() is None
    except BaseException:
        kill_web(process)
        raise
    return process


def kill_web(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of all of it."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(10)


@contextmanager
def web_process(port: int, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The same, killed at the end."""
    process = start_web(port, **env)
    try:
        yield process
    finally:
        kill_web(process)


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
