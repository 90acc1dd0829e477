"""Owns how much is measured: rows, batch, processes, repetitions. Measures nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's sizes.

    Attributes:
        rows: dispatches per repetition, for the engine and for pgbench; a multiple of twice `batch`.
        message_rows: dispatches per repetition where every row is a message of its own.
        batch: rows per claim.
        slots: drains of the lane at once in one worker process.
        processes, threads: worker processes, and the Dramatiq threads of each.
        only: names of the scenarios to run; empty: all.
    """

    rows: int = 100_000
    message_rows: int = 3_000
    batch: int = 250
    slots: int = 2
    processes: int = 2
    threads: int = 8
    repetitions: int = 3
    only: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        if self.rows < 2 * self.batch or self.rows % (2 * self.batch):
            raise ValueError(f"rows must be a multiple of twice the batch, {2 * self.batch}; got {self.rows}")
        if min(self.message_rows, self.slots, self.processes, self.threads, self.repetitions) < 1:
            raise ValueError("every size must be at least 1")


QUICK = Plan(rows=20_000, message_rows=500, repetitions=2)


def read_plan(arguments: Sequence[str], *, scenarios: Sequence[str]) -> Plan:
    """The plan that the command line asks for; `QUICK=1` in the environment gives smaller defaults.

    Raises:
        SystemExit: an argument is unknown or impossible; the reason is on standard error.
    """
    base = QUICK if os.environ.get("QUICK", "0") not in ("", "0") else Plan()
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the engine beside its peers.")
    for name in ("rows", "message_rows", "batch", "slots", "processes", "threads", "repetitions"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=getattr(base, name), metavar="N")
    parser.add_argument("--only", action="append", choices=scenarios, default=[], help="a scenario; may be repeated")
    given = vars(parser.parse_args(arguments))
    try:
        return Plan(**{**given, "only": tuple(given["only"])})
    except ValueError as error:
        parser.error(str(error))
