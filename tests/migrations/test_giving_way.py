"""A migration never makes those who work wait behind it: what cannot have a lock gives way and comes again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import psycopg2
import pytest

from dispatchlog import migrate
from dispatchlog.migrate import TableInUseError, migrate_down, migrate_up, migration_status


@contextmanager
def somebody_reads(url: str, table: str) -> Iterator[None]:
    """A transaction that has read the table and is not over."""
    with closing(psycopg2.connect(url)) as reader:
        with reader.cursor() as cursor:
            cursor.execute(f"SELECT * FROM {table} LIMIT 1")
        yield
        reader.rollback()


def pending(url: str) -> list[str]:
    return [state.name for state in migration_status(url) if state.applied_at is None]


@pytest.fixture
def before_outreach_growth(database_url: str) -> str:
    migrate_down(database_url, "0026_outreach_growth")
    return database_url


def test_others_write_while_a_migration_waits_for_a_reader(
    before_outreach_growth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = before_outreach_growth
    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 1)
    monkeypatch.setattr(migrate, "_PAUSE_SECONDS", 0.5)
    applied: list[str] = []
    with somebody_reads(url, "patients"):
        migrating = threading.Thread(target=lambda: applied.extend(migrate_up(url)))
        migrating.start()
        with closing(psycopg2.connect(url)) as writer, writer.cursor() as cursor:
            cursor.execute("SET statement_timeout = '60s'")
            for _ in range(5):  # each waits at most until the migration gives way
                cursor.execute("UPDATE patients SET language = language")
                writer.commit()
        assert pending(url)[0] == "0026_outreach_growth"
    migrating.join()
    assert applied[0] == "0026_outreach_growth"
    assert pending(url) == []


def test_a_table_that_stays_in_use_is_said_and_nothing_is_half_done(
    before_outreach_growth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = before_outreach_growth
    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 0.1)
    monkeypatch.setattr(migrate, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(migrate, "_TRIES", 3)
    with somebody_reads(url, "patients"), pytest.raises(TableInUseError):
        migrate_up(url)
    assert pending(url)[0] == "0026_outreach_growth"
    assert migrate_up(url)[0] == "0026_outreach_growth"
