"""Orders' changes as they are told: what is new, and how an order stands. Owns the SQL of reading `order_changes`."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2
import psycopg2.extras

from dashboard.sockets.entry import Caller, ended
from dashboard.table_tail import Look, Source, TableTail
from dispatchlog.engine.database import connect_arguments, connected, fetch_all
from dispatchlog.settings import Settings

# More at once are not told one by one: every room's order is told as it stands, and lists are told to read themselves.
MOST_CHANGES = 5_000
STATEMENT_TIMEOUT_MS = 5_000

_COLUMNS = "t.id, t.order_id, t.version, t.payload, t.trace_id"
_PRESENT = f"""
SELECT t.* FROM unnest(%s::uuid[]) o(id) CROSS JOIN LATERAL
    (SELECT {_COLUMNS} FROM order_changes t WHERE t.order_id = o.id ORDER BY t.id DESC LIMIT 1) t
"""
_EXISTS = "SELECT EXISTS (SELECT FROM pharmacy_orders WHERE id = %s)"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of an order: `payload` is what is told of it."""

    id: int
    order_id: UUID
    version: int
    payload: Mapping[str, Any]
    trace_id: str


class Reader:
    """Reads on over one connection of its own, which it opens again after an outage. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tail = TableTail(Source("order_changes", _COLUMNS, Change))
        self._connection: Any = None

    def look(self) -> Look[Change]:
        """What was committed since the last look, also where the connection was lost in between.

        Raises:
            psycopg2.Error: PostgreSQL does not answer; ask again.
        """
        anew = self._connection is None
        with self._cursor() as cursor:
            if anew and self._tail.is_of_another_database(cursor):
                self._tail.begin(cursor)
                return Look(everything=True)
            return self._tail.look(cursor, MOST_CHANGES)

    def present(self, orders: Collection[UUID]) -> list[Change]:
        """The newest change of each of these orders.

        Raises:
            psycopg2.Error: PostgreSQL does not answer; ask again.
        """
        with self._cursor() as cursor:
            cursor.execute(_PRESENT, ([*orders],))
            return [Change(*row) for row in cursor.fetchall()]

    def ended(self, callers: Collection[Caller]) -> set[Caller]:
        """Those who may listen no longer.

        Raises:
            psycopg2.Error: PostgreSQL does not answer; ask again.
        """
        with self._cursor() as cursor:
            return ended(self._settings, cursor, callers)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg2.Error):
                connection.close()

    def _cursor(self) -> Any:
        if self._connection is None:
            self._connection = psycopg2.connect(
                self._settings.database_url,
                **connect_arguments(
                    self._settings.application_role,
                    name="dispatchlog sockets",
                    statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                ),
            )
            self._connection.autocommit = True
        return self._connection.cursor()


def order_exists(order_id: UUID) -> bool:
    """Whether there is the order."""
    with connected():
        return bool(fetch_all(_EXISTS, (order_id,))[0][0])


def present_state(order_id: UUID) -> Change | None:
    """The newest change of the order."""
    with connected():
        rows = fetch_all(_PRESENT, ([order_id],))
    return Change(*rows[0]) if rows else None
