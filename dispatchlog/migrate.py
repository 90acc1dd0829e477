"""Runs the numbered migrations as the tables' owner. Owns the history table's use; never touches a lane's rows."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2.errors
from peewee import OperationalError, PostgresqlDatabase
from playhouse.migrations import Runner

import migrations
from dispatchlog.engine.database import connect_arguments
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.settings import get_settings

# Any fixed number: two processes that migrate at once take turns.
_MIGRATION_LOCK = 7_240_117
# Whoever waits for a table's lock holds up all who come after. So a step that does not get it gives way, and tries again.
_LOCK_SECONDS = 2.0
_PAUSE_SECONDS = 1.0
_TURN_SECONDS = 0.2
_TRIES = 60


class TableInUseError(DispatchlogError):
    """A migration was tried again and again and never had a table to itself; of that step nothing was kept."""

    code = "TABLE_IN_USE"


@dataclass(frozen=True, slots=True)
class MigrationState:
    """One migration and when it was applied (None: pending)."""

    name: str
    applied_at: datetime | None
    missing: bool = False


def migration_role() -> str:
    """The role the application works as; migrations grant it what it needs and no more."""
    return get_settings().application_role


def migration_schema(db: Any) -> str:
    """The schema the migration runs in; functions pin their search_path to it."""
    return str(db.execute_sql("SELECT quote_ident(current_schema())").fetchone()[0])


def upstream_tables() -> dict[str, str]:
    """Names of the tables that may belong to an upstream service, by what they hold."""
    settings = get_settings()
    return {
        "practitioners": settings.practitioners_table,
        "orders": settings.orders_table,
        "order_kits": settings.order_kits_table,
    }


def _open(database_url: str) -> tuple[PostgresqlDatabase, Runner]:
    db = PostgresqlDatabase(database_url, **connect_arguments("", name="dispatchlog migrate"))
    return db, Runner(db, str(Path(migrations.__file__).parent))


def migrate_up(database_url: str, target: str | None = None) -> list[str]:
    """Apply all pending migrations (or up to `target`), each in its own transaction; the applied names come back.

    What runs meanwhile goes on: a step that cannot have a table's lock at once is undone and tried again later.

    Raises:
        playhouse.migrations.MigrationError: `target` is unknown.
        TableInUseError: a table was in use for minutes; earlier steps are kept.
    """
    db, runner = _open(database_url)
    with db.connection_context():
        _take_turns(db)
        runner.History.create_table()
        before = set(runner.applied())
        _giving_way(db, lambda: runner.up(target))
        return sorted(set(runner.applied()) - before)


def migrate_down(database_url: str, target: str | None = None) -> list[str]:
    """Revert the newest migration, or all back through `target`; the reverted names come back."""
    db, runner = _open(database_url)
    with db.connection_context():
        _take_turns(db)
        before = set(runner.applied())
        wanted = target or max(before, default=None)
        if wanted is None:
            return []
        _giving_way(db, lambda: runner.down(wanted))
        return sorted(before - set(runner.applied()), reverse=True)


def _take_turns(db: PostgresqlDatabase) -> None:
    """Asked again and again: CREATE INDEX CONCURRENTLY waits for whoever waits in a query, and both would be stuck."""
    while not db.execute_sql("SELECT pg_try_advisory_lock(%s)", (_MIGRATION_LOCK,)).fetchone()[0]:
        time.sleep(_TURN_SECONDS)


def _giving_way(db: PostgresqlDatabase, step: Callable[[], object]) -> None:
    db.execute_sql(f"SET lock_timeout = {round(_LOCK_SECONDS * 1000)}")
    for tries_left in reversed(range(_TRIES)):
        try:
            step()
            return
        except OperationalError as error:
            if not isinstance(error.__context__, psycopg2.errors.LockNotAvailable):
                raise
            if not tries_left:
                raise TableInUseError(
                    "a table that has to change was never free; look for a long transaction in pg_stat_activity"
                ) from error
            time.sleep(_PAUSE_SECONDS)


def migration_status(database_url: str) -> list[MigrationState]:
    """Every migration, applied or pending, in order."""
    db, runner = _open(database_url)
    with db.connection_context():
        return [MigrationState(m.name, m.applied, missing=m.path is None) for m in runner.status()]
