"""Writes webhooks on a connection of its own: those that come while one statement is under way share the next. Owns the
connection; what is written says the insertion.

One statement and one commit for many is what lets a process that has fallen behind catch up. Asking first whether the
connection still lives would be another round trip, so it is used and, where it had died meanwhile, made anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2

from dashboard.connection import STATEMENT_TIMEOUT_MS
from dashboard.together import Together
from dispatchlog.engine.database import connect_arguments
from dispatchlog.settings import Settings

# A connection that died while nobody used it says so at once; whatever takes longer is not tried twice.
AT_ONCE_SECONDS = 1.0
MOST_WEBHOOKS = 500
_BROKEN = (psycopg2.OperationalError, psycopg2.InterfaceError)


Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Insertion:
    """How rows of one kind are stored.

    Attributes:
        statement: rows into one statement with its parameters; it returns the keys of those that are new.
        key_of: a row's key, as the statement returns it.
    """

    statement: Callable[[Sequence[Row]], tuple[str, Sequence[Any]]]
    key_of: Callable[[Row], Hashable]


class WebhookWriter:
    """One per process and kind of rows. Thread-safe; connects when first needed."""

    def __init__(self, settings: Settings, insertion: Insertion) -> None:
        self._settings = settings
        self._insertion = insertion
        self._together = Together(
            self._write, most=MOST_WEBHOOKS, is_everybodys=lambda error: isinstance(error, _BROKEN)
        )
        self._connection: Any = None

    def write(self, rows: Sequence[Row]) -> int:
        """Store the rows of one webhook and commit; how many were new.

        Raises:
            psycopg2.Error: nothing of it is known to be stored; it may be written again.
        """
        new = self._together.ask(rows)
        return len({self._insertion.key_of(row) for row in rows} & set(new))

    def _write(self, webhooks: Sequence[Sequence[Row]]) -> Sequence[Collection[Hashable]]:
        """The keys that were new, for each webhook those of all."""
        sql, params = self._insertion.statement([row for rows in webhooks for row in rows])
        began = time.monotonic()
        try:
            new = self._run(sql, params)
        except _BROKEN:
            if time.monotonic() - began > AT_ONCE_SECONDS:
                raise
            new = self._run(sql, params)
        return [new] * len(webhooks)

    def _run(self, sql: str, params: Sequence[Any]) -> Collection[Hashable]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                cursor.execute(sql, params)
                return set(cursor.fetchall())
        except _BROKEN:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            raise

    def _connect(self) -> Any:
        arguments = connect_arguments(
            self._settings.application_role, name="dispatchlog webhooks", statement_timeout_ms=STATEMENT_TIMEOUT_MS
        )
        connection = psycopg2.connect(self._settings.database_url, **arguments)
        connection.autocommit = True
        return connection
