"""Tickets for old prescriptions and threads: in batches, each in a transaction of its own, so it goes on after any end.

It runs as the tables' owner, for nobody may see other people's threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What was done, or would be: tickets made, threads linked, prescriptions linked, and what was left alone by code."""

    tickets: int
    threads: int
    prescriptions: int
    left: Mapping[str, int]


def backfill(
    owner_url: str, *, dry_run: bool = False, batch: int = 500, told: Callable[[BackfillReport], None] | None = None
) -> BackfillReport:
    """Make and link what is missing; running it again, also beside another one, doubles nothing."""
    raise NotImplementedError
