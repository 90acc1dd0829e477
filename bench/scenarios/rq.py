"""Measures one RQ job per row, on the same table. Favours it: see `bench/peers/`."""

from __future__ import annotations

import redis

from bench import gate
from bench.guarded import QUEUE
from bench.plan import Plan
from bench.processes import time_queue
from bench.proof import prove
from bench.servers import Servers, due_ids

_FUNCTION = "bench.guarded.deliver_row"


def run_simple(servers: Servers, plan: Plan, *, processes: int) -> float:
    """Dispatches per second of one repetition with workers that do all in their own process, proved row by row."""
    return _run(servers, kind="SimpleWorker", processes=processes, rows=plan.message_rows)


def run_forking(servers: Servers, plan: Plan) -> float:
    """The same with RQ's default, a worker that forks for every job."""
    return _run(servers, kind="Worker", processes=2, rows=plan.forked_rows)


def _run(servers: Servers, *, kind: str, processes: int, rows: int) -> float:
    import rq  # noqa: PLC0415 - what is not a development dependency

    with servers.full_database(rows) as url:
        with redis.Redis.from_url(servers.redis_url) as client:
            queue = rq.Queue(QUEUE, connection=client)
            queue.enqueue_many([rq.Queue.prepare_data(_FUNCTION, (row_id,), result_ttl=0) for row_id in due_ids(url)])
            gate.hold_back(client, queue.key)
        seconds = time_queue(
            servers,
            url,
            "bench.peers.rq_worker",
            count=processes,
            queue=queue.key,
            env={"BENCH_RQ_WORKER": kind},
            ready=processes,
        )
        prove(url, rows=rows, attempts_per_row=0)
    return rows / seconds
