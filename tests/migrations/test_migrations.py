"""The schema can be made from nothing and undone to nothing, and is the same one that the models describe."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import pytest
from peewee import PostgresqlDatabase

import models
from dispatchlog.engine.database import database
from dispatchlog.migrate import migrate_down, migrate_up, migration_status
from dispatchlog.settings import get_settings
from tests.servers import Servers, fresh_database

HISTORY = "schema_migration"
TEMPLATE = "dispatch_template"


@contextmanager
def cursor_of(url: str) -> Iterator[Any]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def rows(url: str, sql: str, *params: object) -> list[tuple[Any, ...]]:
    with cursor_of(url) as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())


def everything(url: str) -> set[str]:
    """What the schema holds besides what every new database has."""
    return {
        row[0]
        for row in rows(
            url,
            "SELECT relkind::text || ' ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal",
        )
    }


def test_every_migration_goes_up_on_an_empty_database(empty_database_url: str) -> None:
    applied = migrate_up(empty_database_url)
    states = migration_status(empty_database_url)
    assert applied == [state.name for state in states]
    assert applied == sorted(applied)
    assert all(state.applied_at is not None and not state.missing for state in states)
    assert migrate_up(empty_database_url) == []


def test_all_the_way_down_leaves_nothing_and_up_again_gives_the_same(empty_database_url: str) -> None:
    applied = migrate_up(empty_database_url)
    made = everything(empty_database_url)
    moves = rows(empty_database_url, "SELECT * FROM dispatch_moves ORDER BY 1, 2")
    while migrate_down(empty_database_url):
        pass
    left = {name for name in everything(empty_database_url) if HISTORY not in name}
    assert left == set()
    assert migrate_up(empty_database_url) == applied
    assert everything(empty_database_url) == made
    assert rows(empty_database_url, "SELECT * FROM dispatch_moves ORDER BY 1, 2") == moves


def test_each_step_down_can_be_taken_up_again(empty_database_url: str) -> None:
    applied = migrate_up(empty_database_url)
    for name in reversed(applied):
        made = everything(empty_database_url)
        assert migrate_down(empty_database_url) == [name]
        assert migrate_up(empty_database_url, name) == [name]
        assert everything(empty_database_url) == made
        migrate_down(empty_database_url)


# --- models and migrations say the same


@pytest.fixture
def models_url(servers: Servers, empty_database_url: str, database_url: str) -> Iterator[str]:
    """A database whose tables were made from the models alone."""
    with PostgresqlDatabase(empty_database_url) as fresh, fresh.bind_ctx(models.ALL_TABLES):
        fresh.create_tables(models.ALL_TABLES, safe=False)
    yield empty_database_url
    assert database.is_closed()


COLUMNS = """
SELECT table_name, column_name, format_type(a.atttypid, a.atttypmod), is_nullable, column_default, is_identity,
       identity_generation, is_generated, generation_expression, collation_name
FROM information_schema.columns c
JOIN pg_attribute a ON a.attrelid = c.table_name::regclass AND a.attname = c.column_name
JOIN pg_class t ON t.oid = a.attrelid AND t.relkind = 'r'
WHERE table_schema = 'public'
"""
INDEXES = "SELECT tablename, indexdef FROM pg_indexes WHERE schemaname = 'public'"
CONSTRAINTS = """
SELECT conrelid::regclass::text, contype::text, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND contype IN ('c', 'f')
"""


def compared(url: str, sql: str) -> list[str]:
    """Rows as text, without what only names or spells differently: names of indexes and of sequences."""
    texts = []
    for row in rows(url, sql):
        if row[0] in (HISTORY, TEMPLATE):
            continue
        text = " | ".join(str(value) for value in row)
        # A unique constraint and a unique index of the same columns are the same index here.
        text = re.sub(r"(INDEX) \S+ (ON)", r"\1 \2", text)
        texts.append(re.sub(r"nextval\('[^']+'::regclass\)", "nextval", text))
    return sorted(texts)


@pytest.mark.parametrize("what", [COLUMNS, INDEXES, CONSTRAINTS], ids=["columns", "indexes", "constraints"])
def test_the_models_and_the_migrations_make_the_same_schema(models_url: str, database_url: str, what: str) -> None:
    assert compared(models_url, what) == compared(database_url, what)


def test_every_table_of_the_schema_has_a_model(database_url: str) -> None:
    tables = {row[0] for row in rows(database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
    assert tables - {HISTORY, TEMPLATE} == {model._meta.table_name for model in models.ALL_TABLES}


# --- beside an upstream service's tables


def test_tables_of_an_upstream_service_are_left_as_they_are(empty_database_url: str) -> None:
    settings = get_settings()
    names = (settings.orders_table, settings.order_kits_table, settings.practitioners_table)
    with cursor_of(empty_database_url) as cursor:
        cursor.execute(
            "CREATE TABLE orders (id uuid PRIMARY KEY, order_number varchar(64), practitioner_id uuid,"
            " updated_at timestamptz, theirs text);"
            "CREATE TABLE order_kits (id uuid PRIMARY KEY, order_id uuid, kit_id text, theirs text);"
            "CREATE TABLE practitioners (id uuid PRIMARY KEY, name text, theirs text);"
            "CREATE TABLE users (id int PRIMARY KEY, theirs text);"
            "INSERT INTO orders (id, theirs) VALUES (gen_random_uuid(), 'kept');"
            "INSERT INTO practitioners (id, theirs) VALUES (gen_random_uuid(), 'kept');"
            "INSERT INTO order_kits (id, theirs) VALUES (gen_random_uuid(), 'kept')"
        )
    columns = COLUMNS + " AND table_name IN ('orders', 'order_kits', 'practitioners', 'users')"
    before = sorted(map(str, rows(empty_database_url, columns)))
    migrate_up(empty_database_url)
    assert sorted(map(str, rows(empty_database_url, columns))) == before
    while migrate_down(empty_database_url):
        pass
    assert sorted(map(str, rows(empty_database_url, columns))) == before
    for name in names:
        assert rows(empty_database_url, f"SELECT theirs FROM {name}") == [("kept",)]


# --- more than one migrating process


def test_two_processes_that_migrate_at_once_apply_each_step_once(empty_database_url: str) -> None:
    command = "import sys; from dispatchlog.migrate import migrate_up; print(len(migrate_up(sys.argv[1])))"
    running = [
        subprocess.Popen([sys.executable, "-c", command, empty_database_url], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    applied = []
    for process in running:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0
        applied.append(int(output))
    assert sorted(applied) == [0, len(migration_status(empty_database_url))]


def test_two_databases_of_one_cluster_may_be_migrated_at_once(servers: Servers) -> None:
    command = "import sys; from dispatchlog.migrate import migrate_up; migrate_up(sys.argv[1])"
    with (
        fresh_database(servers, "twin_a", migrated=False) as first,
        fresh_database(servers, "twin_b", migrated=False) as second,
    ):
        running = [subprocess.Popen([sys.executable, "-c", command, url]) for url in (first, second)]
        assert [process.wait(timeout=120) for process in running] == [0, 0]


def test_a_migration_that_fails_leaves_nothing_of_itself(empty_database_url: str) -> None:
    with cursor_of(empty_database_url) as cursor:
        cursor.execute("CREATE TABLE kit_registrations (id int)")  # in the way of the second one
    with pytest.raises(Exception, match="kit_registrations"):
        migrate_up(empty_database_url)
    assert [state.name for state in migration_status(empty_database_url) if state.applied_at] == ["0001_engine"]
    assert "r order_registrations" not in everything(empty_database_url)
