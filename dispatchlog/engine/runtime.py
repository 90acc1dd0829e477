"""What one worker process shares between its threads: its presence, the claims in work, the lanes' slots. No queries."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID, uuid4

from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.contact import Contact
from dispatchlog.engine.holds import HoldsInForce
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.rates import Rates
from dispatchlog.engine.wakeup import Waker


class Runtime:
    """One per worker process. Thread-safe."""

    def __init__(
        self,
        presence: Presence,
        waker: Waker,
        breaker: Breaker,
        rates: Rates | None = None,
        holds: HoldsInForce | None = None,
    ) -> None:
        self.presence = presence
        self.waker = waker
        self.breaker = breaker
        self.rates = rates or Rates(waker.redis_url)
        self.holds = holds or HoldsInForce()
        self.keys = Contact("KEYS", meanwhile="this process claims nothing that is sealed; others go on")
        self.stopping = threading.Event()
        self._guard = threading.Lock()
        self._live: set[UUID] = set()
        self._busy: dict[str, int] = {}
        self._again: set[str] = set()
        self._seconds_per_row: dict[str, float] = {}
        self._last_key: dict[str, str] = {}

    @contextmanager
    def claim_token(self) -> Iterator[UUID]:
        """A fresh token, known as live from before its claim until its outcomes are recorded."""
        token = uuid4()
        with self._guard:
            self._live.add(token)
        try:
            yield token
        finally:
            with self._guard:
                self._live.discard(token)

    def live_tokens(self) -> frozenset[UUID]:
        with self._guard:
            return frozenset(self._live)

    def enter(self, lane: Lane) -> bool:
        """Take one of the lane's slots; False when all are taken, and then a drain in work will look once more."""
        with self._guard:
            if self._busy.get(lane.name, 0) >= lane.slots:
                self._again.add(lane.name)
                return False
            self._busy[lane.name] = self._busy.get(lane.name, 0) + 1
            return True

    def leave(self, lane: Lane) -> bool:
        """Give the slot back; False, and the slot is kept, when somebody asked for the lane in the meantime."""
        with self._guard:
            if lane.name in self._again and not self.stopping.is_set():
                self._again.discard(lane.name)
                return False
            self._busy[lane.name] -= 1
            return True

    def abandon(self, lane: Lane) -> None:
        """Give the slot back whatever was asked for: the drain failed, and the next wake-up or sweep goes on."""
        with self._guard:
            self._busy[lane.name] -= 1

    def batch_limit(self, lane: Lane, *, seconds: float) -> int:
        """How many rows fit into `seconds` at the pace seen lately; at least one, at most the lane's batch."""
        pace = self._seconds_per_row.get(lane.gateway.name, 0.0)
        return max(1, min(lane.batch, int(seconds / pace))) if pace else lane.batch

    def last_key(self, lane: Lane) -> str:
        """The ordering key, or the route, after which the lane's next look begins, so that none is always served last."""
        return self._last_key.get(lane.name, "")

    def claimed_key(self, lane: Lane, key: str) -> None:
        self._last_key[lane.name] = key

    def saw_pace(self, lane: Lane, seconds_per_row: float) -> None:
        """Remember how long one row took; a plain race between threads only blurs the average."""
        known = self._seconds_per_row.get(lane.gateway.name, seconds_per_row)
        self._seconds_per_row[lane.gateway.name] = 0.7 * known + 0.3 * seconds_per_row
