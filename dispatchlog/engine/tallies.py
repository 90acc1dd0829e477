"""Small counts that all processes keep together in Redis, for metrics. Owns one hash there; losing it does no harm.

Names and labels come from code and configuration, never from a request. A count is written within a second, many at once,
by a thread of its own, so that whoever counts never waits; without Redis it is dropped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import redis

KEY = "dispatchlog:tallies"
WRITTEN_AFTER_SECONDS = 1.0
_APART = "|"

Kept = Mapping[str, Mapping[tuple[str, ...], float]]
"""What is kept, by name and labels."""


class Tallies:
    """Thread-safe. Until `configure` names a Redis and a kind of process nothing is kept."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._client: Any = None
        self._added: dict[str, float] = {}
        self._put: dict[str, float] = {}
        self._timer: threading.Timer | None = None
        self.process = ""

    def configure(self, redis_url: str, *, process: str) -> None:
        """Keep counts there, for this kind of process (worker, scheduler, dashboard); once, at the start of a process."""
        client = redis.Redis.from_url(
            redis_url, socket_timeout=2.0, socket_connect_timeout=2.0, decode_responses=True, encoding_errors="replace"
        )
        with self._guard:
            self._client, self.process = client, process
            self._timer = None  # that of a parent process does not run here

    def add(self, name: str, *labels: str, by: float = 1.0) -> None:
        """Count so many more of it."""
        self._note(name, labels, by, more=True)

    def put(self, name: str, *labels: str, value: float) -> None:
        """It is now so much."""
        self._note(name, labels, value, more=False)

    def read(self) -> Kept:
        """By name and labels; empty where Redis does not answer."""
        found: dict[str, dict[tuple[str, ...], float]] = {}
        if self._client is None:
            return found
        self.flush()
        try:
            kept = self._client.hgetall(KEY)
        except redis.RedisError:
            return found
        for field, value in kept.items():
            name, *labels = field.split(_APART)
            found.setdefault(name, {})[tuple(labels)] = float(value)
        return found

    def flush(self) -> None:
        """Write what was counted."""
        with self._guard:
            client, self._timer = self._client, None
            added, self._added = self._added, {}
            put, self._put = self._put, {}
        if client is None or not (added or put):
            return
        try:
            with client.pipeline(transaction=False) as pipe:
                for field, value in added.items():
                    pipe.hincrbyfloat(KEY, field, value)
                if put:
                    pipe.hset(KEY, mapping=put)
                pipe.execute()
        except redis.RedisError:
            return

    def _note(self, name: str, labels: tuple[str, ...], value: float, *, more: bool) -> None:
        field = _APART.join((name, *labels))
        with self._guard:
            if self._client is None:
                return
            where = self._added if more else self._put
            where[field] = where.get(field, 0.0) + value if more else value
            if self._timer is None:
                self._timer = threading.Timer(WRITTEN_AFTER_SECONDS, self.flush)
                self._timer.daemon = True
                self._timer.start()


tallies = Tallies()


class Clocked:
    """How long something took and when it ended: `with Clocked("job", name):`; an error is counted and passes through."""

    def __init__(self, name: str, label: str) -> None:
        self._name = name
        self._label = label
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            tallies.add(f"{self._name}_failures", self._label)
            return
        tallies.put(f"{self._name}_seconds", self._label, value=time.monotonic() - self._began)
        tallies.put(f"{self._name}_last_run", self._label, value=time.time())
