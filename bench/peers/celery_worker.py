"""One Celery worker with a prefork pool that delivers one row per task. Owns its start; times nothing.

Late acknowledgement, as a task that must not be lost needs. In its favour: no result backend, no events, no gossip, no
heartbeats, no remote control, warnings only in its log, and a prefetch at which no child waits for the parent.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init, worker_ready

from bench.gate import say_ready
from bench.guarded import QUEUE, TASK, deliver_row, open_connections
from dispatchlog.settings import get_settings

_PREFETCH_PER_CHILD = 16


def make_app(redis_url: str) -> Any:
    """The application with its one task; the same for who enqueues and for who works."""
    app = Celery("bench", broker=redis_url)
    app.conf.update(
        task_default_queue=QUEUE,
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=_PREFETCH_PER_CHILD,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
    )
    app.task(name=TASK)(deliver_row)
    return app


def main() -> None:
    """Run until SIGTERM."""
    redis_url = get_settings().effective_redis_url

    def begin(**_: Any) -> None:
        open_connections(1)
        say_ready(redis_url)

    def ready(**_: Any) -> None:
        say_ready(redis_url)

    worker_process_init.connect(begin, weak=False)
    worker_ready.connect(ready, weak=False)
    options = ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=WARNING"]
    make_app(redis_url).worker_main(
        ["worker", "--pool=prefork", f"--concurrency={os.environ['BENCH_CONCURRENCY']}", *options]
    )


if __name__ == "__main__":
    main()
