"""Writes webhooks on a connection of its own: those that come while one statement is under way share the next. Owns the
connection and whose turn it is; what is written is `events`'.

One statement and one commit for many is what lets a process that has fallen behind catch up. Asking first whether the
connection still lives would be another round trip, so it is used and, where it had died meanwhile, made anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2

from dashboard.connection import STATEMENT_TIMEOUT_MS
from dispatchlog.engine.database import connect_arguments
from dispatchlog.settings import Settings
from dispatchlog.systems.courier.events import EventRow, insertion

# A connection that died while nobody used it says so at once; whatever takes longer is not tried twice.
AT_ONCE_SECONDS = 1.0
_BROKEN = (psycopg2.OperationalError, psycopg2.InterfaceError)


@dataclass(slots=True)
class _Webhook:
    rows: Sequence[EventRow]
    new: Collection[str] | None = None
    error: Exception | None = None


class WebhookWriter:
    """One per process. Thread-safe; connects when first needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._guard = threading.Lock()
        self._waiting: list[_Webhook] = []
        self._turn = threading.Lock()
        self._connection: Any = None

    def write(self, rows: Sequence[EventRow]) -> int:
        """Store the events of one webhook and commit; how many were new.

        Raises:
            psycopg2.Error: nothing of it is known to be stored; it may be written again.
        """
        webhook = _Webhook(rows)
        with self._guard:
            self._waiting.append(webhook)
        with self._turn:
            if webhook.new is None and webhook.error is None:
                self._write_all()
        if webhook.new is None:
            raise webhook.error or psycopg2.OperationalError("nobody wrote it")
        return len({row[3] for row in rows} & set(webhook.new))

    def _write_all(self) -> None:
        with self._guard:
            together, self._waiting = self._waiting, []
        try:
            self._write(together)
        except _BROKEN as error:
            for webhook in together:
                webhook.error = error
        except Exception:  # noqa: BLE001  (whatever it is, each is tried and answered for itself)
            # One that cannot be stored must not cost the others their place.
            for webhook in together:
                self._write_alone(webhook)

    def _write_alone(self, webhook: _Webhook) -> None:
        try:
            self._write([webhook])
        except Exception as error:  # noqa: BLE001  (raised by whoever waits for it)
            webhook.error = error

    def _write(self, together: Sequence[_Webhook]) -> None:
        sql, params = insertion([row for webhook in together for row in webhook.rows])
        began = time.monotonic()
        try:
            new = self._run(sql, params)
        except _BROKEN:
            if time.monotonic() - began > AT_ONCE_SECONDS:
                raise
            new = self._run(sql, params)
        for webhook in together:
            webhook.new = new

    def _run(self, sql: str, params: Sequence[Any]) -> Collection[str]:
        try:
            if self._connection is None:
                self._connection = self._connect()
            with self._connection.cursor() as cursor:
                cursor.execute(sql, params)
                return {event_id for (event_id,) in cursor.fetchall()}
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
