"""The scenarios, one module each. A new one adds its module and its line here; what is made of it is in `bench.figures`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

from bench.plan import Plan
from bench.scenarios import (
    celery,
    dramatiq,
    engine,
    growth,
    latency,
    memory,
    pgbench,
    procrastinate,
    providers,
    recovery,
    rq,
    sweep,
)
from bench.servers import Servers

Samples = Mapping[str, Sequence[float]]


def _whenever(_plan: Plan) -> str:
    return ""


def _when_thorough(plan: Plan) -> str:
    return "" if plan.thorough else "a quick run tries one way of running each peer"


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to measure.

    Attributes:
        run: does one repetition and gives sets of samples by name.
        is_rate: the set under its own name is dispatches per second.
        every_time: with every repetition, else once after them.
        needs: the package that its processes import.
        left_out: why a plan leaves it out, or "".
    """

    name: str
    title: str
    run: Callable[[Servers, Plan], Samples]
    is_rate: bool = False
    every_time: bool = True
    needs: str = ""
    left_out: Callable[[Plan], str] = _whenever

    def reason_to_leave_out(self, plan: Plan) -> str:
        """Why it is not run, or ""."""
        if plan.only and self.name not in plan.only:
            return "not asked for"
        if self.needs and find_spec(self.needs) is None:
            return f"{self.needs} is not installed"
        return self.left_out(plan)


def _rate(
    name: str,
    title: str,
    run: Callable[[Servers, Plan], float],
    *,
    needs: str = "",
    left_out: Callable[[Plan], str] = _whenever,
) -> Scenario:
    def once(servers: Servers, plan: Plan) -> Samples:
        return {name: [run(servers, plan)]}

    return Scenario(name, title, once, is_rate=True, needs=needs, left_out=left_out)


SCENARIOS = (
    _rate("engine", "dispatchlog, end to end", engine.run),
    _rate("pgbench_1", "pgbench, the same statements, 1 client", pgbench.run_one_client),
    _rate("pgbench_2", "pgbench, the same statements, 2 clients", pgbench.run_two_clients),
    _rate("dramatiq", "Dramatiq, one message per row", dramatiq.run),
    *(
        _rate(
            f"celery_{size}",
            f"Celery, prefork pool of {size}",
            partial(celery.run, concurrency=size),
            needs="celery",
            left_out=_whenever if size == 8 else _when_thorough,
        )
        for size in (2, 4, 8)
    ),
    *(
        _rate(
            f"procrastinate_{processes}x{size}",
            f"Procrastinate, {processes} x {size} jobs at once",
            partial(procrastinate.run, processes=processes, concurrency=size),
            needs="procrastinate",
            left_out=_whenever if processes == 4 else _when_thorough,
        )
        for processes, size in ((2, 8), (4, 2))
    ),
    *(
        _rate(
            f"rq_{processes}",
            f"RQ, {processes} SimpleWorkers",
            partial(rq.run_simple, processes=processes),
            needs="rq",
            left_out=_whenever if processes == 4 else _when_thorough,
        )
        for processes in (2, 4)
    ),
    _rate("rq_forking", "RQ, 2 default workers, a fork per job", rq.run_forking, needs="rq", left_out=_when_thorough),
    Scenario("http", "dispatchlog, HTTP provider of 20 ms", providers.run_http, is_rate=True),
    Scenario("smtp", "dispatchlog, a mail server", providers.run_smtp, is_rate=True),
    Scenario("latency_idle", "latency, idle", latency.run_idle),
    Scenario("latency_loaded", "latency, beside a backlog", latency.run_loaded),
    Scenario("recovery", "recovery after kill -9", recovery.run),
    Scenario("memory", "memory of a worker process", memory.run, every_time=False),
    Scenario("growth", "growth of claim and list", growth.run, every_time=False),
    Scenario("sweep", "sweep of waiting rows", sweep.run, every_time=False),
)
