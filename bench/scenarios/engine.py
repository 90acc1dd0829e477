"""Measures the engine end to end: real worker processes take rows from PENDING to SENT. Owns no process of its own."""

from __future__ import annotations

from bench.lane import Setup
from bench.plan import Plan
from bench.processes import time_workers
from bench.proof import prove
from bench.servers import Servers


def run(servers: Servers, plan: Plan) -> float:
    """Dispatches per second of one repetition, proved row by row."""
    setup = Setup(batch=plan.batch, slots=plan.slots, threads=plan.threads)
    with servers.full_database(plan.rows) as url:
        seconds = time_workers(servers, url, "bench.worker", count=plan.processes, env=setup.env())
        prove(url, rows=plan.rows, attempts_per_row=1)
    return plan.rows / seconds
