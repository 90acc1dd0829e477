"""Measures how long an urgent dispatch waits between its commit and the provider, idle and beside a backlog."""

from __future__ import annotations

import random
import time

from bench.lane import TABLE, bench_lane
from bench.outside import Provider, started_provider
from bench.plan import Plan
from bench.processes import MeasuringFailed, started_workers
from bench.proof import prove, prove_accepted
from bench.scenarios.providers import HTTP_SECONDS, http_setup
from bench.servers import Servers, query
from bench.upstream import Upstream, connected_upstream

# Wide enough to meet the workers' clocks, which tick twice a second, at every phase.
_GAP_SECONDS = (0.05, 0.25)
_WARM_UP = 5
_LONGEST_SECONDS = 60.0


def run_idle(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """Milliseconds of each dispatch, one at a time, with nothing else to do."""
    waited = _measure(servers, plan, backlog=0)
    return {"latency_idle": waited}


def run_loaded(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """Milliseconds of each dispatch while every slot of the lane sends a backlog of ordinary ones."""
    waited = _measure(servers, plan, backlog=plan.backlog_rows)
    return {"latency_loaded": waited}


def _measure(servers: Servers, plan: Plan, *, backlog: int) -> list[float]:
    with started_provider(latency_seconds=HTTP_SECONDS) as provider, servers.full_database(backlog) as url:
        setup = http_setup(plan, provider.http_url)
        with (
            started_workers(servers, url, "bench.worker", count=plan.processes, env=setup.env()) as workers,
            connected_upstream(url, servers.redis_url, bench_lane(setup)) as upstream,
        ):
            workers.release()
            # With a backlog the slots fill up one after the other.
            time.sleep(plan.settle_seconds if backlog else 0.5)
            sent = _send_urgent(upstream, count=_WARM_UP + plan.latency_rows)
            if backlog and not query(url, f"SELECT EXISTS (SELECT FROM {TABLE} WHERE status = 'PENDING')")[0][0]:
                raise MeasuringFailed(f"the backlog of {backlog} rows was gone before the last urgent dispatch")
            waited = _waited(provider, sent)
            workers.check()
        if not backlog:
            prove(url, rows=len(sent), attempts_per_row=1)
            prove_accepted(provider.accepted(), rows=len(sent))
    return waited[_WARM_UP:]


def _send_urgent(upstream: Upstream, *, count: int) -> dict[str, float]:
    chance = random.Random(count)  # noqa: S311 - the gaps need no secret
    sent: dict[str, float] = {}
    for _ in range(count):
        time.sleep(chance.uniform(*_GAP_SECONDS))
        (key,), committed = upstream.enqueue({"priority": 1})
        sent[key] = committed
    return sent


def _waited(provider: Provider, sent: dict[str, float]) -> list[float]:
    accepted = provider.wait_for(sent, seconds=_LONGEST_SECONDS)
    return [(accepted[key] - committed) * 1000 for key, committed in sent.items()]
