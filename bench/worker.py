"""One worker process of the product with the benchmark's lane alone. Owns its start and stop; times nothing.

It starts what `tasks/broker.py` starts: pool, presence, watch, and a Dramatiq worker whose actor drains.
"""

from __future__ import annotations

import os
import signal
import threading

import dramatiq
from dramatiq import Worker

from bench.gate import wait_for_release
from bench.lane import bench_lane
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
    lane = bench_lane(batch=int(os.environ["BENCH_BATCH"]), slots=int(os.environ["BENCH_SLOTS"]))
    threads = int(os.environ["BENCH_THREADS"])
    broker = make_broker(settings.effective_broker_url)
    waker = Waker(broker, settings.effective_redis_url)
    process = WorkerProcess(settings, lambda: (lane,), waker=waker, threads=threads)

    def drain_lane(lane_name: str) -> None:
        if lane_name == lane.name:
            drain(lane, process.runtime)

    dramatiq.actor(broker=broker, actor_name=lane.actor, queue_name=lane.queue)(drain_lane)
    worker = Worker(broker, worker_threads=threads)
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
