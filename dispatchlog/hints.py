"""Telling workers that something waits to be taken up, by a thread of its own. Owns the hint's way out, never the work.

Whoever stores something never waits for the broker, and many stored things cause one hint. Losing one costs the time until
a worker's next tick.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import structlog

from dispatchlog.broker import get_waker

log = structlog.get_logger(__name__)

# Between two hints, so that hundreds of webhooks a second do not mean hundreds of hints.
PAUSE_SECONDS = 0.01


class Hint:
    """One per process and name; the name is that of the nudge, the actor and, unless told, the queue."""

    def __init__(self, name: str, *, queue: str = "") -> None:
        self._name = name
        self._queue = queue or name
        self._guard = threading.Lock()
        self._wanted = threading.Event()
        self._pid = 0
        self._asked, self._busy = threading.Event(), threading.Lock()

    def send(self) -> None:
        """Have workers take up what is stored; comes back at once, whatever the broker does."""
        with self._guard:
            if self._pid != os.getpid():  # threads do not survive a fork
                self._wanted = threading.Event()
                self._pid = os.getpid()
                threading.Thread(target=self._run, args=(self._wanted,), name=f"{self._name}-hint", daemon=True).start()
        self._wanted.set()

    def taken_up(self) -> None:
        """Forget that a hint is on its way; before looking, or one sent in between would be lost."""
        get_waker().clear_hint(self._name)

    def take_up(self, work: Callable[[], object]) -> None:
        """Do what waits, for workers: one thread of a process at a time, which looks once more if asked to meanwhile."""
        self._asked.set()
        while self._asked.is_set() and self._busy.acquire(blocking=False):
            try:
                self._asked.clear()
                self.taken_up()
                work()
            finally:
                self._busy.release()

    def _run(self, wanted: threading.Event) -> None:
        while True:
            wanted.wait()
            wanted.clear()
            try:
                get_waker().hint(self._name, queue=self._queue, actor=self._name)
            except Exception:
                log.exception("HINT_FAILED", hint=self._name)  # without this thread nobody would be woken any more
            time.sleep(PAUSE_SECONDS)
