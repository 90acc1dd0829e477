"""Owns the event streams of a measurement: the dashboard's server, who is signed in, and when each stream heard of what."""

from __future__ import annotations

import json
import re
import signal
import socket
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from bench.processes import MeasuringFailed
from dashboard.live_hub import MOST_PER_SESSION
from dispatchlog.local.directory import log_tail
from dispatchlog.local.server import end_process
from dispatchlog.supervisor import spawn

# How far a dispatch is; an event names only where it is by then.
_FAR = {"PENDING": 0, "QUEUED": 1, "SENT": 2}
_START_SECONDS = 60.0


class Listener(threading.Thread):
    """One stream: what it heard, and when, in seconds since the epoch."""

    def __init__(self, lines: Iterator[str]) -> None:
        super().__init__(daemon=True)
        self._lines = lines
        self._of: dict[str, list[tuple[float, int]]] = defaultdict(list)
        self._whole: list[tuple[float, int]] = []
        self.greeted = threading.Event()
        self.events = 0

    def run(self) -> None:
        name, position = "", -1
        try:
            for line in self._lines:
                now = time.time()
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "id":
                    position = int(value)
                elif field == "data":
                    self._hear(now, name, json.loads(value), position)
                elif not line:
                    position = -1
        except httpx.HTTPError:
            return  # the server was ended

    def _hear(self, now: float, name: str, data: Mapping[str, object], position: int) -> None:
        self.events += 1
        dispatches = data.get("dispatches")
        if name == "hello":
            self.greeted.set()
        elif name == "all" or data.get("more"):
            self._whole.append((now, position))
        elif isinstance(dispatches, dict):
            for dispatch_id, status in dispatches.items():
                self._of[dispatch_id].append((now, _FAR[status]))

    def heard_of(self, number: int, dispatch_id: str, status: str) -> float | None:
        """When it was told of this transition, by name or among all of them; None: never."""
        named = (at for at, far in self._of.get(dispatch_id, ()) if far >= _FAR[status])
        among_all = (at for at, position in self._whole if position >= number)
        return min((at for at in (next(named, None), next(among_all, None)) if at is not None), default=None)


@contextmanager
def served_dashboard(env: Mapping[str, str], log: Path) -> Iterator[str]:
    """`dispatchlog dashboard`'s server as processes of its own; its address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "gunicorn", "--config", "python:dashboard.gunicorn_conf", "dashboard.wsgi:app"]
    with log.open("ab") as output:
        process = spawn(argv, env={**env, "PORT": str(port)}, output=output)
    try:
        url, ends = f"http://127.0.0.1:{port}", time.monotonic() + _START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > ends:
                raise MeasuringFailed(f"the dashboard did not start:\n{log_tail(log)}")
            time.sleep(0.1)
        yield url
    finally:
        end_process(process, signals=(signal.SIGTERM,), seconds_each=20.0)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


@contextmanager
def opened_streams(url: str, count: int, *, email: str, password: str) -> Iterator[list[Listener]]:
    """So many streams that have said hello, each session having as many as one may have."""
    with ExitStack() as stack:
        listeners = []
        for first in range(0, count, MOST_PER_SESSION):
            client = stack.enter_context(httpx.Client(base_url=url, timeout=60))
            _sign_in(client, email, password)
            for _ in range(min(MOST_PER_SESSION, count - first)):
                answer = stack.enter_context(client.stream("GET", "/live"))
                if answer.status_code != 200:
                    raise MeasuringFailed(f"/live answered {answer.status_code}")
                listeners.append(Listener(answer.iter_lines()))
                listeners[-1].start()
        _wait_for_hello(listeners)
        yield listeners


def _sign_in(client: httpx.Client, email: str, password: str) -> None:
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/sign-in").text)
    fields = {"csrf_token": token[1] if token else "", "email": email, "password": password}
    if client.post("/sign-in", data=fields).status_code != 302:
        raise MeasuringFailed("signing in failed")


def _wait_for_hello(listeners: Iterable[Listener]) -> None:
    if not all(listener.greeted.wait(_START_SECONDS) for listener in listeners):
        raise MeasuringFailed("a stream said nothing")
