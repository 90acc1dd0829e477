"""One worker process of a scenario: `python -m tests.scenarios.faults.worker JSON DEADLINE [LANE]`. The worker of the long
run, but each of its lanes has room for every fault at once; a single LANE sends one at a time.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from chaos.lanes import Outside
from chaos.worker import work
from tests.scenarios.faults.clocks import obey_jumps
from tests.scenarios.faults.lanes import fault_lanes

THREADS = 2
# Nearly every send fails here, which is what a breaker is for; it must not make a scenario wait.
BREAKER_PAUSE_SECONDS = 0.05


def main() -> None:
    """Run until SIGTERM."""
    obey_jumps()
    outside, deadline_seconds, *only = sys.argv[1:]
    lanes = fault_lanes(Outside(**json.loads(outside)), deadline_seconds=float(deadline_seconds))
    if only:
        lanes = {name: replace(lanes[name], slots=1) for name in only}
    work(lanes, threads=THREADS, breaker_pause_seconds=BREAKER_PAUSE_SECONDS)


if __name__ == "__main__":
    main()
