"""One total deadline per send, on a clock that also runs while the machine is suspended."""

from __future__ import annotations

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boottime() -> float:
    """Seconds since boot, suspended time included; only differences mean anything."""
    return time.clock_gettime(_CLOCK)


class Deadline:
    """An instant after which a send must have given up. A socket time-out bounds one read; this bounds all of them."""

    __slots__ = ("_ends",)

    def __init__(self, seconds: float) -> None:
        self._ends = boottime() + seconds

    def remaining_seconds(self) -> float:
        """Seconds left, never below zero."""
        return max(0.0, self._ends - boottime())

    @property
    def passed(self) -> bool:
        return boottime() >= self._ends
