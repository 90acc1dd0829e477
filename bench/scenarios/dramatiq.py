"""Measures one Dramatiq message per row, on the same table. Favours it: see `bench/peers/__init__.py`."""

from __future__ import annotations

import dramatiq

from bench.guarded import QUEUE, TASK
from bench.plan import Plan
from bench.processes import time_workers
from bench.proof import prove
from bench.servers import Servers, due_ids
from dispatchlog.broker import make_broker


def run(servers: Servers, plan: Plan) -> float:
    """Dispatches per second of one repetition, proved row by row. The messages wait in Valkey before the clock starts."""
    with servers.full_database(plan.message_rows) as url:
        broker = make_broker(servers.redis_url)
        broker.declare_queue(QUEUE)
        for row_id in due_ids(url):
            broker.enqueue(dramatiq.Message(queue_name=QUEUE, actor_name=TASK, args=(row_id,), kwargs={}, options={}))
        broker.close()
        env = {"BENCH_THREADS": str(plan.threads)}
        seconds = time_workers(servers, url, "bench.peers.dramatiq_worker", count=plan.processes, env=env)
        prove(url, rows=plan.message_rows, attempts_per_row=0)
    return plan.message_rows / seconds
