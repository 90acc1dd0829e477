"""Owns the wall clock of one process of a scenario: a signal sets it an hour ahead or back, for everything that runs in it.

Python's clock is set, not the machine's: `time.time`, `datetime.now` and CLOCK_REALTIME jump, the clocks that count from
the machine's start go on, and PostgreSQL and all other processes notice nothing.
"""

from __future__ import annotations

import signal
from datetime import UTC, datetime, timedelta

import time_machine

AN_HOUR = timedelta(hours=1)
JUMPS = {signal.SIGUSR1: AN_HOUR, signal.SIGUSR2: -AN_HOUR}


def obey_jumps() -> None:
    """From now on SIGUSR1 sets this process an hour ahead of the true time and SIGUSR2 an hour back; it says so then."""
    travels: list[time_machine.travel] = []

    def jump(number: int, _frame: object) -> None:
        while travels:
            travels.pop().stop()
        travel = time_machine.travel(datetime.now(UTC) + JUMPS[signal.Signals(number)], tick=True)
        travel.start()
        travels.append(travel)
        print(f"the clock jumped on {signal.Signals(number).name}", flush=True)

    for number in JUMPS:
        signal.signal(number, jump)
