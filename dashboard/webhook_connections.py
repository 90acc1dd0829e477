"""The few connections of the webhooks' door to PostgreSQL: a webhook is one statement, and to ask first whether a
connection still lives would be another. Owns them; knows no table.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import psycopg2

from dashboard.connection import STATEMENT_TIMEOUT_MS
from dispatchlog.engine.database import connect_arguments
from dispatchlog.settings import Settings

MOST = 8
PATIENCE_SECONDS = 5.0
_BROKEN = (psycopg2.OperationalError, psycopg2.InterfaceError)


class Connections:
    """Up to MOST connections in autocommit, the one used last first. Thread-safe; opens none before it is needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._idle: list[Any] = []
        self._free = threading.BoundedSemaphore(MOST)

    def run(self, sql: str, params: Sequence[Any]) -> int:
        """Run a statement that may be run twice, and commit it; the number of rows it wrote comes back.

        Raises:
            psycopg2.OperationalError: PostgreSQL does not answer, or all connections are in use for too long.
        """
        if not self._free.acquire(timeout=PATIENCE_SECONDS):
            raise psycopg2.OperationalError("all connections are in use")
        try:
            while self._idle:
                try:
                    return self._run_on(self._idle.pop(), sql, params)
                except _BROKEN:
                    continue  # it lay idle while PostgreSQL restarted, so the others are dead too, most likely
                except IndexError:
                    break  # another thread took it
            return self._run_on(self._connect(), sql, params)
        finally:
            self._free.release()

    def close(self) -> None:
        """Close those that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> Any:
        arguments = connect_arguments(
            self._settings.application_role, name="dispatchlog webhooks", statement_timeout_ms=STATEMENT_TIMEOUT_MS
        )
        connection = psycopg2.connect(self._settings.database_url, **arguments)
        connection.autocommit = True
        return connection

    def _run_on(self, connection: Any, sql: str, params: Sequence[Any]) -> int:
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql, params)
                written: int = cursor.rowcount
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return written
