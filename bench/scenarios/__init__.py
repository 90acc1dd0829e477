"""The scenarios, one module each, and what they are compared by. A new one adds its module and its line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.plan import Plan
from bench.scenarios import engine, one_message, pgbench
from bench.servers import Servers


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing to measure: `run` does one repetition and gives dispatches per second."""

    name: str
    title: str
    run: Callable[[Servers, Plan], float]


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the report: the best median among these scenarios."""

    name: str
    scenarios: tuple[str, ...]


SCENARIOS = (
    Scenario("engine", "dispatchlog, end to end", engine.run),
    Scenario("pgbench_1", "pgbench, the same statements, 1 client", pgbench.run_one_client),
    Scenario("pgbench_2", "pgbench, the same statements, 2 clients", pgbench.run_two_clients),
    Scenario("dramatiq", "Dramatiq, one message per row", one_message.run),
)

ENGINE = Figure("engine", ("engine",))
PEERS = (
    Figure("pgbench", ("pgbench_1", "pgbench_2")),
    Figure("dramatiq", ("dramatiq",)),
)
