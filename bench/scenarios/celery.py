"""Measures one Celery task per row, on the same table. Favours it: see `bench/peers/`."""

from __future__ import annotations

import redis

from bench import gate
from bench.guarded import QUEUE, TASK
from bench.plan import Plan
from bench.processes import time_queue
from bench.proof import prove
from bench.servers import Servers, due_ids


def run(servers: Servers, plan: Plan, *, concurrency: int) -> float:
    """Dispatches per second of one repetition with a prefork pool of that size, proved row by row."""
    from bench.peers.celery_worker import make_app  # noqa: PLC0415 - what is not a development dependency

    with servers.full_database(plan.message_rows) as url:
        app = make_app(servers.redis_url)
        with app.connection_for_write() as connection, app.amqp.Producer(connection) as producer:
            for row_id in due_ids(url):
                app.send_task(TASK, (row_id,), producer=producer)
        with redis.Redis.from_url(servers.redis_url) as client:
            gate.hold_back(client, QUEUE)
        seconds = time_queue(
            servers,
            url,
            "bench.peers.celery_worker",
            count=1,
            queue=QUEUE,
            env={"BENCH_CONCURRENCY": str(concurrency)},
            ready=concurrency + 1,
        )
        prove(url, rows=plan.message_rows, attempts_per_row=0)
    return plan.message_rows / seconds
