"""A migration never makes those who work wait behind it: what cannot have a lock gives way and comes again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

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


@pytest.fixture
def before_full_payloads(database_url: str) -> str:
    migrate_down(database_url, "0032_full_payloads")
    return database_url


PAYLOAD = (
    "INSERT INTO dispatch_payloads (dispatch_id, generation, lane, recipient, content_type, sha256)"
    " VALUES (gen_random_uuid(), 1, 'comm_job', '', 'text/plain', '')"
)


def index_of(url: str) -> list[tuple[bool, str]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT indisvalid, pg_get_expr(indpred, indrelid) FROM pg_index"
            " WHERE indexrelid = to_regclass('dispatch_payloads_full')"
        )
        return list(cursor.fetchall())


def waits_for_a_lock(cursor: Any) -> bool:
    cursor.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%CREATE INDEX CONC%' AND wait_event_type = 'Lock'"
        " AND pid <> pg_backend_pid()"
    )
    return bool(cursor.fetchone() == (1,))


def test_an_index_is_made_while_somebody_writes_and_others_write_meanwhile(
    before_full_payloads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = before_full_payloads
    monkeypatch.setattr(migrate, "_LOCK_SECONDS", 0.1)
    monkeypatch.setattr(migrate, "_TRIES", 1)
    migrating = threading.Thread(target=lambda: migrate_up(url))
    with closing(psycopg2.connect(url)) as slow, slow.cursor() as writing:
        writing.execute(PAYLOAD)
        migrating.start()
        with closing(psycopg2.connect(url)) as looking, looking.cursor() as cursor:
            looking.autocommit = True
            while not waits_for_a_lock(cursor):
                assert migrating.is_alive()
            cursor.execute("SET statement_timeout = '60s'")
            cursor.execute(PAYLOAD)
        slow.commit()
    migrating.join()
    assert index_of(url) == [(True, "((body IS NOT NULL) OR (sealed IS NOT NULL))")]


def test_an_index_that_broke_off_is_made_anew(before_full_payloads: str) -> None:
    url = before_full_payloads
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(PAYLOAD)
        cursor.execute(PAYLOAD)
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.execute("CREATE UNIQUE INDEX CONCURRENTLY dispatch_payloads_full ON dispatch_payloads (lane)")
    assert index_of(url) == [(False, None)]
    assert migrate_up(url)[0] == "0032_full_payloads"
    assert index_of(url) == [(True, "((body IS NOT NULL) OR (sealed IS NOT NULL))")]
