"""When to try again: back-off with jitter, one policy per lane. Owns the delays; counts nothing itself."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential back-off: `first_delay_seconds * factor ** (failures - 1)`, at most `longest_delay_seconds`, +- jitter.

    `max_attempts` counts failed attempts: at the last of them the dispatch becomes FAILED.
    """

    max_attempts: int = 5
    first_delay_seconds: float = 30.0
    factor: float = 2.0
    longest_delay_seconds: float = 3600.0
    jitter: float = 0.2

    def delay_seconds(self, failures: int, *, retry_after_seconds: float | None = None) -> float:
        """Seconds until the next attempt after `failures` failed ones; never earlier than the provider asked for."""
        steps = min(max(0, failures - 1), 60)  # far beyond any longest delay, and no overflow
        delay = min(self.first_delay_seconds * self.factor**steps, self.longest_delay_seconds)
        # Jitter keeps a thousand rows that failed together from coming back together; no secret depends on it.
        delay *= 1 + random.uniform(-self.jitter, self.jitter)  # noqa: S311
        return max(delay, retry_after_seconds or 0.0)
