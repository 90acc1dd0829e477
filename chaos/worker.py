"""One worker process with the run's lanes: `python -m chaos.worker JSON`. Owns its start and stop; kills nobody.

It starts what `tasks/broker.py` starts: pool, presence, watch, and a Dramatiq worker whose actor drains.
"""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Mapping

import dramatiq
from dramatiq import Worker

from chaos.lanes import Outside, chaos_lanes
from dispatchlog.broker import make_broker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.wakeup import Waker
from dispatchlog.settings import get_settings
from dispatchlog.worker import WorkerProcess

THREADS = 4
# Short, so that a gateway whose breaker opened is tried again while the run lasts.
BREAKER_PAUSE_SECONDS = 0.2


def main() -> None:
    """Run until SIGTERM; end at once where PostgreSQL cannot be reached, to be started again."""
    lanes = chaos_lanes(Outside(**json.loads(sys.argv[1])))
    work(lanes, threads=THREADS, breaker_pause_seconds=BREAKER_PAUSE_SECONDS)


def work(lanes: Mapping[str, Lane], *, threads: int, breaker_pause_seconds: float) -> None:
    """Deliver these lanes until SIGTERM, as the settings say where."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = get_settings()
    redis_url = settings.effective_redis_url
    broker = make_broker(settings.effective_broker_url)
    process = WorkerProcess(
        settings,
        lambda: tuple(lanes.values()),
        waker=Waker(broker, redis_url),
        threads=threads,
        breaker=Breaker(redis_url, pause_seconds=breaker_pause_seconds),
    )

    def drain_lane(lane_name: str) -> None:
        if lane_name in lanes:
            drain(lanes[lane_name], process.runtime)

    dramatiq.actor(broker=broker, actor_name="chaos_drain", queue_name="chaos")(drain_lane)
    worker = Worker(broker, worker_threads=threads)
    process.start()
    worker.start()
    while not stop.wait(1.0):
        pass
    process.stop_claiming()
    worker.stop()
    process.close()


if __name__ == "__main__":
    main()
