"""One scheduler process of a scenario: `python -m tests.scenarios.faults.scheduler FILE`. The product's clock with one job.

Each run of the job appends this process's pid to the file.
"""

from __future__ import annotations

import os
import sys

import scheduler
from dispatchlog.settings import get_settings
from scheduler import Job, keep_time
from tests.scenarios.faults.clocks import obey_jumps

JOB = "tick"
PERIOD_SECONDS = 1
# As long as a test can wait for a leader that is stopped; a leader that works looks at its lock once a second, but for
# a busy machine.
LEADER_SILENT_SECONDS = 12


def main() -> int:
    """Run until SIGTERM."""
    obey_jumps()
    scheduler.LEADER_SILENT_SECONDS = LEADER_SILENT_SECONDS
    runs = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    job = Job(JOB, PERIOD_SECONDS, lambda: os.write(runs, f"{os.getpid()}\n".encode()), "shows who keeps the time")
    return keep_time(get_settings(), (job,))


if __name__ == "__main__":
    sys.exit(main())
