"""One worker process of the product with the benchmark's lane alone. Owns its start and stop; times nothing.

It starts what `dispatchlog worker` starts: pool, presence, watch, and a Dramatiq worker whose actor drains.
"""

from __future__ import annotations

import signal
import threading

import dramatiq
from dramatiq import Worker

from bench.gate import wait_for_release
from bench.lane import Setup, bench_lane
from dispatchlog.broker import make_broker
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.wakeup import Waker
from dispatchlog.settings import get_settings
from dispatchlog.worker import WorkerProcess


def main() -> None:
    """Run until SIGTERM; end at once when never released."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = get_settings()
    setup = Setup.from_env()
    lane = bench_lane(setup)
    broker = make_broker(settings.effective_broker_url)
    waker = Waker(broker, settings.effective_redis_url)
    process = WorkerProcess(settings, lambda: (lane,), waker=waker, threads=setup.threads)

    def drain_lane(lane_name: str) -> None:
        if lane_name == lane.name:
            drain(lane, process.runtime)

    dramatiq.actor(broker=broker, actor_name=lane.actor, queue_name=lane.queue)(drain_lane)
    worker = Worker(broker, worker_threads=setup.threads, worker_timeout=100)
    if wait_for_release(settings.effective_redis_url):
        process.start()
        worker.start()
        while not stop.wait(1.0):
            pass
        process.stop_claiming()
        worker.stop()
    process.close()


if __name__ == "__main__":
    main()
