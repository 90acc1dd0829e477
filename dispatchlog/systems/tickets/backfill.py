"""Tickets for old prescriptions and threads: in batches, each in a transaction of its own, so it goes on after any end.

It runs as the tables' owner, for nobody may see other people's threads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import errors

from dispatchlog.engine.database import connect_arguments
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.tickets.backfill_plan import Plan, plan_order
from dispatchlog.systems.tickets.backfill_rows import (
    next_orders,
    read_orders,
    take_turn,
    without_order,
    write_findings,
    write_tickets,
)

_MOST_TRIES = 5
# Somebody opened a ticket for one of the orders meanwhile, or wrote in a thread: the batch looks again.
_AGAIN = (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure)


@dataclass(frozen=True, slots=True)
class BackfillReport:
    """What was done, or would be: tickets made, threads linked, prescriptions linked, and what was left alone by code."""

    tickets: int
    threads: int
    prescriptions: int
    left: Mapping[str, int]


@dataclass(slots=True)
class _Sum:
    tickets: int = 0
    threads: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def add(self, plans: Sequence[Plan]) -> None:
        for plan in plans:
            self.tickets += len(plan.tickets)
            self.threads += sum(1 for ticket in plan.tickets if ticket.thread)
            self.left.update(each.code.value for each in plan.left)

    def report(self) -> BackfillReport:
        return BackfillReport(self.tickets, self.threads, self.tickets, dict(sorted(self.left.items())))


def backfill(
    owner_url: str, *, dry_run: bool = False, batch: int = 500, told: Callable[[BackfillReport], None] | None = None
) -> BackfillReport:
    """Make and link what is missing; running it again, also beside another one, doubles nothing.

    `batch` orders are one transaction; `told` hears what was done after each.

    Raises:
        DispatchlogError: NOT_OWNER (row-level security would hide rows), NOT_MIGRATED.
    """
    done = _Sum()
    with _owner(owner_url) as connection:
        after: UUID | None = None
        while True:
            plans, after = _until_through(connection, after, batch, dry_run=dry_run)
            done.add(plans)
            if after is None:
                break
            if told:
                told(done.report())
        with _transaction(connection, dry_run=dry_run) as cursor:
            left = without_order(cursor)
            if not dry_run:
                write_findings(cursor, left)
        done.add([Plan([], left)])
    return done.report()


def findings(owner_url: str, *, code: str = "") -> list[tuple[str, UUID, str]]:
    """What was left alone (kind, id, code), also by code alone.

    Raises:
        DispatchlogError: NOT_OWNER, NOT_MIGRATED.
    """
    with _owner(owner_url) as connection, _transaction(connection, dry_run=True) as cursor:
        cursor.execute(
            "SELECT kind, id, code FROM ticket_backfill_findings WHERE %s IN ('', code) ORDER BY kind, code, id",
            (code,),
        )
        return list(cursor.fetchall())


@dataclass(frozen=True, slots=True)
class Standing:
    """How far it is: tickets, threads with and without one, prescriptions without one, and what was left alone by kind
    and code. What is without a ticket and not left alone has not been looked at yet.
    """

    tickets: int
    linked_threads: int
    old_threads: int
    old_prescriptions: int
    left: Mapping[tuple[str, str], int]


def standing(owner_url: str) -> Standing:
    """Where the backfill stands.

    Raises:
        DispatchlogError: NOT_OWNER, NOT_MIGRATED.
    """
    with _owner(owner_url) as connection, _transaction(connection, dry_run=True) as cursor:
        cursor.execute(
            "SELECT (SELECT count(*) FROM healthcare_tickets), (SELECT count(*) FROM chat_threads WHERE NOT is_legacy),"
            " (SELECT count(*) FROM chat_threads WHERE is_legacy), (SELECT count(*) FROM prescriptions WHERE is_legacy)"
        )
        tickets, linked, threads, prescriptions = cursor.fetchone()
        cursor.execute("SELECT kind, code, count(*) FROM ticket_backfill_findings GROUP BY kind, code ORDER BY 1, 2")
        left = {(kind, code): count for kind, code, count in cursor.fetchall()}
    return Standing(tickets, linked, threads, prescriptions, left)


def _batch(connection: Any, after: UUID | None, most: int, *, dry_run: bool) -> tuple[list[Plan], UUID | None]:
    """What became of the next orders, and the last of them (None: there was none)."""
    with _transaction(connection, dry_run=dry_run) as cursor:
        if not dry_run:
            take_turn(cursor)
        order_ids = next_orders(cursor, after=after, most=most)
        orders, known = read_orders(cursor, order_ids, hold=not dry_run)
        plans = [plan_order(order, known) for order in orders]
        if not dry_run:
            write_tickets(cursor, [ticket for plan in plans for ticket in plan.tickets])
            write_findings(cursor, [each for plan in plans for each in plan.left])
    return plans, order_ids[-1] if order_ids else None


def _until_through(connection: Any, after: UUID | None, most: int, *, dry_run: bool) -> tuple[list[Plan], UUID | None]:
    for _ in range(_MOST_TRIES - 1):
        try:
            return _batch(connection, after, most, dry_run=dry_run)
        except _AGAIN:
            continue
    return _batch(connection, after, most, dry_run=dry_run)


@contextmanager
def _owner(url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(url, **connect_arguments("", name="dispatchlog backfill"))) as connection:
        try:
            yield connection
        except errors.InsufficientPrivilege as error:
            message = "this is not the owner of the tables; set DATABASE_OWNER_URL as for dispatchlog migrate"
            raise DispatchlogError(message, code="NOT_OWNER") from error
        except (errors.UndefinedTable, errors.UndefinedColumn) as error:
            message = "the tables of tickets are not there yet; run: dispatchlog migrate up"
            raise DispatchlogError(message, code="NOT_MIGRATED") from error


@contextmanager
def _transaction(connection: Any, *, dry_run: bool) -> Iterator[Any]:
    """A transaction, in which a dry run cannot write, and which fails where it would not see every row."""
    with connection, connection.cursor() as cursor:
        cursor.execute(f"SET TRANSACTION {'READ ONLY' if dry_run else 'READ WRITE'}")
        cursor.execute("SET LOCAL row_security = off")
        yield cursor
