"""Owns when and what is broken: a deck of faults, shuffled and dealt as the seed says. Judges nothing."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from chaos.world import World

TICK_SECONDS = 0.03
# Each deck holds every fault at least once, so even a short run meets all of them.
DECK: dict[str, int] = {
    "kill_worker": 6,
    "kill_all_workers": 1,
    "kill_scheduler": 2,
    "pause_scheduler": 1,
    "pause_worker": 2,
    "pause_past_every_timeout": 1,
    "kill_postgres": 1,
    "kill_backend": 1,
    "kill_postgres_while_paused": 1,
    "flush_valkey": 2,
    "kill_valkey": 1,
    "kill_provider": 2,
    "kill_exchange": 1,
    "script": 4,
}
# Longer than the heartbeat's patience, every deadline and the look-up's delay.
LONG_PAUSE_SECONDS = (8.0, 14.0)

PLAYS: dict[str, list[dict[str, Any]]] = {
    "registrations": [
        {"do": "status", "status": 503, "headers": {"Retry-After": "1"}},
        {"do": "status", "status": 429, "headers": {"Retry-After": "1"}},
        {"do": "status", "status": 500},
        {"do": "status", "status": 502, "accept": True},
        {"do": "status", "status": 409, "accept": True},
        {"do": "status", "status": 422},
        {"do": "garbage", "accept": True},
        {"do": "drop", "accept": True},
        {"do": "accept", "delay_seconds": 0.5},
    ],
    "messages": [
        {"do": "status", "status": 503},
        {"do": "status", "status": 429, "headers": {"Retry-After": "1"}},
        {"do": "status", "status": 500},
        {"do": "status", "status": 502, "accept": True},
        {"do": "status", "status": 400},
        {"do": "truncate", "accept": True},
        {"do": "drop", "accept": True},
        {"do": "drop"},
        {"do": "hang", "accept": True},
    ],
    "messages.lookup": [{"do": "status", "status": 500}, {"do": "drop"}, {"do": "garbage"}],
    "smtp": [
        {"do": "status", "status": 451},
        {"do": "status", "status": 554},
        {"do": "drop", "accept": True},
        {"do": "drop"},
        {"do": "garbage", "accept": True},
        {"do": "truncate", "accept": True},
    ],
}


class Monkey:
    """One thread, the only one that touches the world while it runs. `kills` counts each kill -9, `faults` each card."""

    deck: ClassVar[dict[str, int]] = DECK

    def __init__(self, world: World, *, seed: int, gap_seconds: float) -> None:
        self.kills: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._world = world
        self._gap_seconds = gap_seconds
        self._random = random.Random(seed)  # noqa: S311  faults must be repeatable, not secret
        self._cards: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="monkey", daemon=True)
        self.error: Exception | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def dealt_all(self) -> bool:
        """Whether every fault has happened."""
        return set(self.faults) == set(self.deck)

    def stop(self) -> None:
        """Come back when the fault in hand is over.

        Raises:
            Exception: the monkey itself failed; the run proves nothing.
        """
        self._stop.set()
        self._thread.join()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            next_at = time.monotonic() + self._gap_seconds
            while not self._stop.wait(TICK_SECONDS):
                self._world.tend()
                if time.monotonic() >= next_at:
                    self._deal()
                    next_at = time.monotonic() + self._random.uniform(0.5, 1.5) * self._gap_seconds
        except Exception as error:  # noqa: BLE001  handed to whoever stops the monkey
            self.error = error

    def _deal(self) -> None:
        if not self._cards:
            self._cards = [name for name, count in self.deck.items() for _ in range(count)]
            self._random.shuffle(self._cards)
        card = self._cards.pop()
        self.faults[card] += 1
        deal: Callable[[], None] = getattr(self, f"_{card}")
        deal()

    def _kill_worker(self) -> None:
        self.kills["worker"] += self._world.kill(self._random.choice(self._world.workers))

    def _kill_all_workers(self) -> None:
        self.kills["worker"] += sum(self._world.kill(worker) for worker in self._world.workers)

    def _kill_scheduler(self) -> None:
        self.kills["scheduler"] += self._world.kill(self._random.choice(self._world.schedulers))

    def _pause_scheduler(self) -> None:
        self._world.pause(
            self._random.choice(self._world.schedulers), seconds=self._random.uniform(*LONG_PAUSE_SECONDS)
        )

    def _pause_worker(self) -> None:
        self._world.pause(self._random.choice(self._world.workers), seconds=self._random.uniform(0.1, 3))

    def _pause_past_every_timeout(self) -> None:
        self._world.pause(self._random.choice(self._world.workers), seconds=self._random.uniform(*LONG_PAUSE_SECONDS))

    def _kill_postgres(self) -> None:
        self._world.postgres.kill()
        self.kills["postgres"] += 1
        self._rest()
        self._world.postgres.start()

    def _kill_postgres_while_paused(self) -> None:
        """The paused worker's lock is freed although it lives, and everybody else goes on."""
        self._pause_past_every_timeout()
        self._kill_postgres()

    def _kill_backend(self) -> None:
        self.kills["backend"] += self._world.kill_backend(self._random.random())

    def _flush_valkey(self) -> None:
        self._world.flush()

    def _kill_valkey(self) -> None:
        self._world.valkey.kill()
        self.kills["valkey"] += 1
        self._rest()
        self._world.valkey.start()

    def _kill_provider(self) -> None:
        self._world.kill_provider()
        self.kills["provider"] += 1
        self._rest()
        self._world.start_provider()

    def _kill_exchange(self) -> None:
        self._world.kill_exchange()
        self.kills["exchange"] += 1
        self._rest()
        self._world.start_exchange()

    def _script(self) -> None:
        channel = self._random.choice(list(PLAYS))
        self._world.script(channel, self._random.choices(PLAYS[channel], k=self._random.randint(1, 8)))

    def _rest(self) -> None:
        """How long something stays dead."""
        self._stop.wait(self._random.choice((0.0, 0.2, 1.0)))
