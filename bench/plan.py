"""Owns how much is measured: rows, batch, processes, repetitions. Measures nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace

SIZE_NAMES = {10_000: "10k", 1_000_000: "1m", 10_000_000: "10m"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's sizes.

    Attributes:
        rows: dispatches per repetition, for the engine and for pgbench; a multiple of twice `batch`.
        message_rows: dispatches per repetition where every row is a message of its own.
        forked_rows: the same where every row costs a process too.
        batch: rows per claim.
        slots: drains of the lane at once in one worker process.
        processes, threads: worker processes, and the Dramatiq threads of each.
        provider_slots, provider_batch: where a provider takes its time; each slot sends one dispatch at a time.
        provider_rows, mail_rows: dispatches per repetition to the HTTP provider and to the mail server.
        latency_rows: urgent dispatches per repetition, idle and again beside a backlog.
        backlog_rows, settle_seconds: that backlog, and how long it is worked on before the first urgent one.
        kills, kill_rows: workers killed per repetition, and the dispatches enqueued before each.
        orders: orders of four kits each that the product's worker works off before its memory is looked at.
        history: rows of the tables in which the claim and the list are measured, the smallest first.
        claims_per_round: claims in each of them, by turns, five times.
        sweep_rows: rows that wait for one sweep.
        thorough: every way a peer can be run; else one of each.
        only: names of the scenarios to run; empty: all.
    """

    rows: int = 100_000
    message_rows: int = 1_500
    forked_rows: int = 200
    batch: int = 250
    slots: int = 2
    processes: int = 2
    threads: int = 8
    repetitions: int = 3
    provider_slots: int = 8
    provider_batch: int = 50
    provider_rows: int = 16_000
    mail_rows: int = 1_500
    latency_rows: int = 70
    backlog_rows: int = 20_000
    settle_seconds: float = 5.0
    kills: int = 7
    kill_rows: int = 1_200
    orders: int = 400
    history: tuple[int, ...] = (10_000, 1_000_000)
    claims_per_round: int = 20
    sweep_rows: int = 1_000_000
    thorough: bool = True
    only: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.rows < 2 * self.batch or self.rows % (2 * self.batch):
            raise ValueError(f"rows must be a multiple of twice the batch, {2 * self.batch}; got {self.rows}")
        for name in SIZES:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")

    @property
    def provider_concurrency(self) -> int:
        """How many dispatches can be with a provider at once."""
        return self.processes * self.provider_slots


SIZES = tuple(each.name for each in fields(Plan) if each.type == "int")

QUICK = Plan(
    rows=10_000,
    message_rows=300,
    repetitions=1,
    provider_rows=1_600,
    mail_rows=100,
    latency_rows=15,
    backlog_rows=5_000,
    settle_seconds=2.0,
    kills=2,
    kill_rows=500,
    orders=20,
    history=(10_000,),
    claims_per_round=4,
    sweep_rows=20_000,
    thorough=False,
)


def read_plan(arguments: Sequence[str], *, scenarios: Sequence[str]) -> Plan:
    """The plan that the command line asks for; `QUICK=1` in the environment gives smaller defaults.

    Raises:
        SystemExit: an argument is unknown or impossible; the reason is on standard error.
    """
    base = QUICK if os.environ.get("QUICK", "0") not in ("", "0") else Plan()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the engine beside its peers.")
    for name in SIZES:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(base, name), metavar="N")
    growth = {SIZE_NAMES[max(base.history)]: base.history} | {
        name: tuple(size for size in SIZE_NAMES if size <= rows) for rows, name in SIZE_NAMES.items()
    }
    parser.add_argument("--growth", choices=growth, help="the longest history; 10m takes long and some 20 GB of disk")
    parser.add_argument("--only", action="append", choices=scenarios, default=[], help="a scenario; may be repeated")
    given = vars(parser.parse_args(arguments))
    history = growth[given.pop("growth") or SIZE_NAMES[max(base.history)]]
    try:
        return replace(base, **{**given, "only": tuple(given["only"]), "history": history})
    except ValueError as error:
        parser.error(str(error))
