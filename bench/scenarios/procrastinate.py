"""Measures one Procrastinate job per row, on the same table. Favours it: see `bench/peers/`."""

from __future__ import annotations

from typing import Any

from bench.guarded import QUEUE, TASK
from bench.plan import Plan
from bench.processes import time_workers
from bench.proof import prove
from bench.servers import Servers, due_ids, query


def run(servers: Servers, plan: Plan, *, processes: int, concurrency: int) -> float:
    """Dispatches per second of one repetition, proved row by row. The jobs are in its tables before the clock starts."""
    from bench.peers.procrastinate_worker import make_app  # noqa: PLC0415 - what is not a development dependency

    with servers.full_database(plan.message_rows) as url:
        app = make_app(url, connections=1)
        with app.open():
            app.schema_manager.apply_schema()
            defer = app.configure_task(TASK, queue=QUEUE)
            jobs: list[dict[str, Any]] = [{"row_id": row_id} for row_id in due_ids(url)]
            defer.batch_defer(*jobs)
        query(url, "VACUUM (ANALYZE)")
        query(url, "CHECKPOINT")
        env = {"BENCH_CONCURRENCY": str(concurrency)}
        seconds = time_workers(servers, url, "bench.peers.procrastinate_worker", count=processes, env=env)
        prove(url, rows=plan.message_rows, attempts_per_row=0)
    return plan.message_rows / seconds
