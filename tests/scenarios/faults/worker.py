"""One worker process of a scenario: `python -m tests.scenarios.faults.worker JSON DEADLINE [LANE]`. Owns its start and
stop, as in the run of random faults, but each of its lanes has room for every fault at once; a single LANE sends one at a
time.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from dataclasses import replace

import dramatiq
from dramatiq import Worker

from chaos.lanes import Outside
from dispatchlog.broker import make_broker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.wakeup import Waker
from dispatchlog.settings import get_settings
from dispatchlog.worker import WorkerProcess
from tests.scenarios.faults.clocks import obey_jumps
from tests.scenarios.faults.lanes import fault_lanes

THREADS = 2
# Nearly every send fails here, which is what a breaker is for; it must not make a scenario wait.
BREAKER_PAUSE_SECONDS = 0.05


def main() -> None:
    """Run until SIGTERM."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    obey_jumps()
    settings = get_settings()
    outside, deadline_seconds, *only = sys.argv[1:]
    lanes = fault_lanes(Outside(**json.loads(outside)), deadline_seconds=float(deadline_seconds))
    if only:
        lanes = {name: replace(lanes[name], slots=1) for name in only}
    broker = make_broker(settings.effective_broker_url)
    redis_url = settings.effective_redis_url
    process = WorkerProcess(
        settings,
        lambda: tuple(lanes.values()),
        waker=Waker(broker, redis_url),
        threads=THREADS,
        breaker=Breaker(redis_url, pause_seconds=BREAKER_PAUSE_SECONDS),
    )

    def drain_lane(lane_name: str) -> None:
        if lane_name in lanes:
            drain(lanes[lane_name], process.runtime)

    dramatiq.actor(broker=broker, actor_name="chaos_drain", queue_name="chaos")(drain_lane)
    worker = Worker(broker, worker_threads=THREADS)
    process.start()
    worker.start()
    while not stop.wait(1.0):
        pass
    process.stop_claiming()
    worker.stop()
    process.close()


if __name__ == "__main__":
    main()
