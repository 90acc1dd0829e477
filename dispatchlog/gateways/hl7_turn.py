"""Owns that one endpoint gets one message at a time; sends nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Health, Transient


@contextmanager
def my_turn(turn: threading.Lock, deadline: Deadline, *, where: str) -> Iterator[None]:
    """Hold `turn`. Raises Transient: ENDPOINT_BUSY, the deadline passed first."""
    if not turn.acquire(timeout=deadline.remaining_seconds()):
        raise Transient(
            f"{where} was busy with other messages; nothing was sent.",
            code="ENDPOINT_BUSY",
            evidence={"endpoint": where},
            health=Health.BUSY,
        )
    try:
        yield
    finally:
        turn.release()
