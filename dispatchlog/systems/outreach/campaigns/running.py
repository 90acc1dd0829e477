"""A worker's turn at campaigns: written out, released and settled, a little of each at a time, until nothing is due.

Owns how long a turn lasts: whoever shuts a worker down waits for it, so what is left is handed on instead.
"""

from __future__ import annotations

import time

from dispatchlog.systems.outreach import waking
from dispatchlog.systems.outreach.campaigns import expansion, intake, release, settling

TURN_SECONDS = 2.0


def run() -> None:
    """Go on with every campaign that has something to do; for workers, at every hint and tick. Cheap where none has."""
    ends = time.monotonic() + TURN_SECONDS
    while _go_on():
        if time.monotonic() >= ends:
            waking.wake(waking.CAMPAIGNS)
            return


def _go_on() -> int:
    """Some of everything, so that nothing waits for all of something else; how much there was."""
    return (
        expansion.expand_all(batches=1)
        + intake.empty()
        + release.release()
        + settling.complete_what_is_over()
        + settling.end_what_waits()
    )
