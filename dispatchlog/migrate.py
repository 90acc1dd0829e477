"""Runs the numbered migrations as the tables' owner. Owns the history table's use; never touches a lane's rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from peewee import PostgresqlDatabase
from playhouse.migrations import Runner

import migrations
from dispatchlog.engine.database import connect_arguments
from dispatchlog.settings import get_settings

# Any fixed number: two processes that migrate at once take turns.
_MIGRATION_LOCK = 7_240_117


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

    Raises:
        playhouse.migrations.MigrationError: `target` is unknown.
    """
    db, runner = _open(database_url)
    with db.connection_context():
        db.execute_sql("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        runner.History.create_table()
        return list(runner.up(target))


def migrate_down(database_url: str, target: str | None = None) -> list[str]:
    """Revert the newest migration, or all back through `target`; the reverted names come back."""
    db, runner = _open(database_url)
    with db.connection_context():
        db.execute_sql("SELECT pg_advisory_lock(%s)", (_MIGRATION_LOCK,))
        return list(runner.down(target))


def migration_status(database_url: str) -> list[MigrationState]:
    """Every migration, applied or pending, in order."""
    db, runner = _open(database_url)
    with db.connection_context():
        return [MigrationState(m.name, m.applied, missing=m.path is None) for m in runner.status()]
