"""Bounds on how long something takes that hold on a busy machine too: its own lateness is measured beside and forgiven."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_TICK_SECONDS = 0.01
_USUAL_SECONDS = 0.002  # of lateness at each tick, on a machine that has time


@contextmanager
def within(most_seconds: float, *, least_seconds: float = 0.0) -> Iterator[None]:
    """What is done here takes so long at the most, beside what a thread that only sleeps was late in the meantime."""
    over = threading.Event()
    late: list[float] = []

    def sleep() -> None:
        before = time.monotonic()
        while not over.wait(_TICK_SECONDS):
            now = time.monotonic()
            late.append(max(0.0, now - before - _TICK_SECONDS - _USUAL_SECONDS))
            before = now

    sleeper = threading.Thread(target=sleep)
    sleeper.start()
    begun = time.monotonic()
    try:
        yield
        took = time.monotonic() - begun
    finally:
        over.set()
        sleeper.join()
    assert least_seconds <= took < most_seconds + sum(late), f"took {took:.2f} s, {sum(late):.2f} s late"
