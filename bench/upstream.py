"""Owns enqueuing as an upstream service does it: a row in a transaction, and the wake-up after its commit. Times that."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dispatchlog.broker import make_broker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import after_commit, configure, connected, database, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.wakeup import Waker
from dispatchlog.settings import get_settings


@dataclass(frozen=True, slots=True)
class Upstream:
    """One upstream service with its open connection."""

    lane: Lane
    waker: Waker

    def enqueue(self, *rows: dict[str, Any]) -> tuple[list[str], float]:
        """The new dispatches' idempotency keys, and when their commit came back, in seconds of `time.monotonic`."""
        committed: list[float] = []
        with transaction("bench"):
            after_commit("bench:committed", lambda: committed.append(time.monotonic()))
            ids = ledger.enqueue(self.lane, rows)
            self.waker.after_commit(self.lane)
        return [f"{row_id}-1" for row_id in ids], committed[0]


@contextmanager
def connected_upstream(url: str, redis_url: str, lane: Lane) -> Iterator[Upstream]:
    """An upstream service on this database and this Valkey; this process's pool is its own meanwhile."""
    configure(url, role=get_settings().application_role, name="bench upstream")
    try:
        with connected():
            yield Upstream(lane, Waker(make_broker(redis_url), redis_url))
    finally:
        database.close_all()
