"""One pooled connection per request, opened before the session is read and given back after the answer. Runs no query."""

from __future__ import annotations

import peewee
import psycopg2
from playhouse.pool import MaxConnectionsExceeded

from dispatchlog.engine.database import configure, database
from dispatchlog.engine.tallies import tallies
from dispatchlog.settings import Settings

# What being out of reach or too slow looks like; a wrong query is not among these.
DATABASE_ERRORS = (
    peewee.OperationalError,
    peewee.InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
    MaxConnectionsExceeded,
)
STATEMENT_TIMEOUT_MS = 10_000
# The API and the metrics open their own, for their answers differ; the others need none.
_WITHOUT = ("/static/", "/healthz", "/metrics", "/api/")


def configure_database(settings: Settings) -> None:
    """Point this process's pool at the settings' database, and its counts at their Redis."""
    tallies.configure(settings.effective_redis_url, process="dashboard")
    configure(
        settings.database_url,
        role=settings.application_role,
        name="dispatchlog dashboard",
        statement_timeout_ms=STATEMENT_TIMEOUT_MS,
    )


def needs_database(path: str) -> bool:
    """Whether a request for `path` may use the database."""
    return not path.startswith(_WITHOUT)


def open_connection() -> None:
    """Take a connection for this thread, unless it has one."""
    database.connect(reuse_if_open=True)


def discard_connections() -> None:
    """Throw away this thread's connection and the pool's idle ones: after a restart of PostgreSQL all of them are dead."""
    close_connection()
    database.close_idle()


def close_connection(_: object = None) -> None:
    """Give this thread's connection back to the pool; one that broke is thrown away by the pool itself."""
    if not database.is_closed():
        database.close()
