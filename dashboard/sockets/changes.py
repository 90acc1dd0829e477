"""What is new in the tables of changes. Owns the connection over which they are read; what is in them is the topics'."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Generic, TypeVar

import psycopg2
import psycopg2.extras

from dashboard.table_tail import Look, Numbered, Source, TableTail
from dispatchlog.engine.database import connect_arguments
from dispatchlog.settings import Settings

# More at once are not told one by one: whoever listens is told how things stand, or to read them anew.
MOST_CHANGES = 5_000
STATEMENT_TIMEOUT_MS = 5_000

Row = TypeVar("Row", bound=Numbered)


class Connection:
    """One connection, opened when it is needed and again after an outage. For one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: Any = None
        # How often it was opened, so that whoever reads on notices.
        self.number = 0

    def cursor(self) -> Any:
        """A cursor in autocommit.

        Raises:
            psycopg2.Error: PostgreSQL does not answer; ask again.
        """
        if self._open is None:
            self._open = psycopg2.connect(
                self._settings.database_url,
                **connect_arguments(
                    self._settings.application_role,
                    name="dispatchlog sockets",
                    statement_timeout_ms=STATEMENT_TIMEOUT_MS,
                ),
            )
            self._open.autocommit = True
            self.number += 1
        return self._open.cursor()

    def close(self) -> None:
        connection, self._open = self._open, None
        if connection is not None:
            with suppress(psycopg2.Error):
                connection.close()


class Reader(Generic[Row]):
    """Reads on in one table."""

    def __init__(self, connection: Connection, source: Source[Row]) -> None:
        self._connection = connection
        self._tail = TableTail(source)
        self._number = 0

    def look(self) -> Look[Row]:
        """What was committed since the last look, also where the connection was lost in between.

        Raises:
            psycopg2.Error: PostgreSQL does not answer; ask again.
        """
        with self._connection.cursor() as cursor:
            anew, self._number = self._number != self._connection.number, self._connection.number
            if anew and self._tail.is_of_another_database(cursor):
                self._tail.begin(cursor)
                return Look(everything=True)
            return self._tail.look(cursor, MOST_CHANGES)
