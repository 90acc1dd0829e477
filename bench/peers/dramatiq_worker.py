"""One Dramatiq worker process that delivers one row per message. Owns its start and stop; times nothing."""

from __future__ import annotations

import os
import signal
import threading

import dramatiq
from dramatiq import Worker

from bench.gate import wait_for_release
from bench.guarded import QUEUE, TASK, deliver_row, open_connections
from dispatchlog.broker import make_broker
from dispatchlog.settings import get_settings


def main() -> None:
    """Run until SIGTERM; end at once when never released."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    redis_url = get_settings().effective_redis_url
    broker = make_broker(redis_url)
    dramatiq.actor(broker=broker, actor_name=TASK, queue_name=QUEUE)(deliver_row)
    threads = int(os.environ["BENCH_THREADS"])
    open_connections(threads)
    worker = Worker(broker, worker_threads=threads)
    if wait_for_release(redis_url):
        worker.start()
        while not stop.wait(1.0):
            pass
        worker.stop()


if __name__ == "__main__":
    main()
