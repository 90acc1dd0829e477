"""One RQ worker process that delivers one row per job. Owns its start; times nothing.

`BENCH_RQ_WORKER` names the class: `Worker`, RQ's default, forks for every job; `SimpleWorker` does all in its own process.
"""

from __future__ import annotations

import os

import redis
import rq

from bench.gate import say_ready
from bench.guarded import QUEUE, open_connections
from dispatchlog.settings import get_settings


def main() -> None:
    """Run until SIGTERM."""
    url = get_settings().effective_redis_url
    kind = os.environ["BENCH_RQ_WORKER"]
    if kind == "SimpleWorker":
        open_connections(1)
    worker = getattr(rq, kind)([QUEUE], connection=redis.Redis.from_url(url))
    worker.log_job_description = False
    subscribe = worker.subscribe

    def subscribe_and_say_ready() -> None:
        """Subscribing is the last thing a worker does before it looks for jobs."""
        subscribe()
        say_ready(url)

    worker.subscribe = subscribe_and_say_ready
    worker.work(logging_level="WARNING")


if __name__ == "__main__":
    main()
