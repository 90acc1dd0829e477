"""Measures the engine with providers that take their time: an HTTP one that answers after 20 ms, and a mail server."""

from __future__ import annotations

from bench.lane import Setup
from bench.outside import started_provider
from bench.plan import Plan
from bench.processes import time_workers
from bench.proof import prove, prove_accepted
from bench.servers import Servers

HTTP_SECONDS = 0.020


def http_setup(plan: Plan, url: str) -> Setup:
    """A lane with as many slots as the plan says; each of them sends one dispatch at a time."""
    return _setup(plan, "http", url)


def run_http(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """Dispatches per second of one repetition, and which part that is of concurrency / latency."""
    with started_provider(latency_seconds=HTTP_SECONDS) as provider:
        rate = _rate(servers, plan, http_setup(plan, provider.http_url), rows=plan.provider_rows)
        prove_accepted(provider.accepted(), rows=plan.provider_rows)
    return {"http": [rate], "http_efficiency": [rate / (plan.provider_concurrency / HTTP_SECONDS)]}


def run_smtp(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """Dispatches per second of one repetition; every message is marked and recorded by itself, for SMTP is BLIND."""
    with started_provider() as provider:
        rate = _rate(servers, plan, _setup(plan, "smtp", provider.smtp_url), rows=plan.mail_rows)
        prove_accepted(provider.accepted(), rows=plan.mail_rows)
    return {"smtp": [rate]}


def _setup(plan: Plan, gateway: str, url: str) -> Setup:
    return Setup(batch=plan.provider_batch, slots=plan.provider_slots, threads=plan.threads, gateway=gateway, url=url)


def _rate(servers: Servers, plan: Plan, setup: Setup, *, rows: int) -> float:
    with servers.full_database(rows) as url:
        seconds = time_workers(servers, url, "bench.worker", count=plan.processes, env=setup.env())
        prove(url, rows=rows, attempts_per_row=1, may_be_released=True)
    return rows / seconds
