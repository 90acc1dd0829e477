"""Telling workers that events wait to be applied. Owns the hint; losing it costs the time until a worker's next tick.

The hint is sent by a thread of its own: who stores an event never waits for the broker, and many events cause one hint.
"""

from __future__ import annotations

import os
import threading
import time

import structlog

from dispatchlog.broker import get_waker

log = structlog.get_logger(__name__)

# One name for the nudge, the queue and the actor.
EVENTS = "courier_events"
POLLS = "courier_polls"
# Between two hints, so that hundreds of webhooks a second do not mean hundreds of hints.
PAUSE_SECONDS = 0.01


class _Hinting:
    """One per process: a thread that sends a hint whenever one was asked for since the last."""

    def __init__(self) -> None:
        self.wanted = threading.Event()
        self.pid = os.getpid()
        threading.Thread(target=self._run, name="courier-events-hint", daemon=True).start()

    def _run(self) -> None:
        while True:
            self.wanted.wait()
            self.wanted.clear()
            try:
                get_waker().hint(EVENTS, queue=EVENTS, actor=EVENTS)
            except Exception:
                log.exception("COURIER_HINT_FAILED")  # without this thread nobody would be woken any more
            time.sleep(PAUSE_SECONDS)


_guard = threading.Lock()
_hinting: _Hinting | None = None


def wake() -> None:
    """Have workers apply what is stored; comes back at once, whatever the broker does."""
    global _hinting  # noqa: PLW0603  (one thread per process, also after a fork)
    with _guard:
        if _hinting is None or _hinting.pid != os.getpid():
            _hinting = _Hinting()
    _hinting.wanted.set()


def taken_up() -> None:
    """Forget that a hint is on its way; before looking, or one sent in between would be lost."""
    get_waker().clear_hint(EVENTS)
