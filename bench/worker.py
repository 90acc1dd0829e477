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
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.engine.watch import Watch
from dispatchlog.logs import configure_logs
from dispatchlog.settings import get_settings


def main() -> None:
    """Run until SIGTERM; end at once when never released."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = get_settings()
    configure_logs(settings.log_level)
    lane = bench_lane(batch=int(os.environ["BENCH_BATCH"]), slots=int(os.environ["BENCH_SLOTS"]))
    threads = int(os.environ["BENCH_THREADS"])
    configure(
        settings.database_url,
        role=settings.application_role,
        name="dispatchlog worker",
        max_connections=threads + lane.slots + 4,
        by_index=True,
    )
    presence = Presence(settings.database_url, role=settings.application_role)
    presence.open()
    broker = make_broker(settings.effective_broker_url)
    runtime = Runtime(presence, Waker(broker, settings.effective_redis_url), Breaker(settings.effective_redis_url))
    watch = Watch(runtime, lambda: (lane,), settings.effective_redis_url)

    def drain_lane(lane_name: str) -> None:
        if lane_name == lane.name:
            drain(lane, runtime)

    dramatiq.actor(broker=broker, actor_name=lane.actor, queue_name=lane.queue)(drain_lane)
    worker = Worker(broker, worker_threads=threads)
    if wait_for_release(settings.effective_redis_url):
        watch.start()
        worker.start()
        while not stop.wait(1.0):
            pass
        runtime.stopping.set()
        worker.stop()
        watch.stop()
    presence.close()
    database.close_all()


if __name__ == "__main__":
    main()
