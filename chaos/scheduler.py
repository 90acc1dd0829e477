"""One scheduler process of the run: `python -m chaos.scheduler JSON`. The product's clock with the run's timetable."""

from __future__ import annotations

import json
import sys
from functools import partial

from chaos.lanes import SWEEP_SECONDS, WAITS_FOR_SWEEP, WAKE_SECONDS, Outside, chaos_lanes
from dispatchlog.broker import make_broker
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.sweep import sweep
from dispatchlog.engine.wakeup import Waker
from dispatchlog.settings import get_settings
from scheduler import WHO, Job, keep_time


def main() -> int:
    """Run until SIGTERM."""
    settings = get_settings()
    lanes = chaos_lanes(Outside(**json.loads(sys.argv[1])))
    waker = Waker(make_broker(settings.effective_broker_url), settings.effective_redis_url)
    released = lanes[WAITS_FOR_SWEEP.name]
    jobs = (
        Job(
            released.sweep_job,
            SWEEP_SECONDS,
            partial(sweep, released, waker, period_seconds=SWEEP_SECONDS, started_by=WHO),
            "releases what waits for its sweep",
        ),
        Job("wake-lanes", WAKE_SECONDS, partial(_wake, waker, lanes), "a lost wake-up costs little"),
    )
    return keep_time(settings, jobs)


def _wake(waker: Waker, lanes: dict[str, Lane]) -> None:
    for lane in lanes.values():
        waker.wake(lane)


if __name__ == "__main__":
    sys.exit(main())
