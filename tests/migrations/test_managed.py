"""Migrations need no superuser: on a managed PostgreSQL nobody gets one. On servers of their own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
import pytest

from dispatchlog.engine.database import connect_arguments
from dispatchlog.local.postgres import LocalPostgres, _binaries
from dispatchlog.migrate import migrate_up, migration_role

ROLES = Path(__file__).parents[2] / "deploy" / "container" / "roles.sh"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalPostgres]:
    with LocalPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as started:
        yield started


def run_sql(server: LocalPostgres, *statements: str) -> None:
    with closing(psycopg2.connect(server.url("postgres"))) as connection:
        connection.autocommit = True
        for statement in statements:
            connection.cursor().execute(statement)


def url_of(server: LocalPostgres, user: str, password: str, database: str = "dispatchlog") -> str:
    address = urlsplit(server.url(database))
    return urlunsplit(address._replace(netloc=f"{user}:{password}@{address.hostname}:{address.port}"))


def workers_seen_by(url: str) -> int:
    with closing(psycopg2.connect(url, **connect_arguments(migration_role(), name="test"))) as connection:
        cursor = connection.cursor()
        cursor.execute("SELECT count(*) FROM dispatch_workers")
        return int(cursor.fetchone()[0])


def test_an_owner_that_may_make_roles_is_enough_and_can_work_with_one_address(server: LocalPostgres) -> None:
    run_sql(
        server,
        "CREATE ROLE managed LOGIN PASSWORD 'secret' CREATEROLE NOSUPERUSER",
        "CREATE DATABASE dispatchlog OWNER managed",
    )
    url = url_of(server, "managed", "secret")
    assert migrate_up(url)
    assert workers_seen_by(url) == 0


def test_the_roles_of_the_compose_file_are_enough_for_migrations_and_for_the_processes(server: LocalPostgres) -> None:
    run_sql(server, "CREATE ROLE postgres LOGIN SUPERUSER PASSWORD 'secret'")
    address = urlsplit(server.url("postgres"))
    subprocess.run(
        ["sh", str(ROLES)],
        check=True,
        env={
            **os.environ,
            "PATH": f"{_binaries()}:{os.environ['PATH']}",
            "PGHOST": str(address.hostname),
            "PGPORT": str(address.port),
            "PGPASSWORD": "secret",
            "DISPATCHLOG_OWNER_PASSWORD": "owner's own",
            "DISPATCHLOG_LOGIN_PASSWORD": "login's own",
        },
        timeout=120,
    )
    assert migrate_up(url_of(server, "dispatchlog_owner", "owner's%20own"))
    login = url_of(server, "dispatchlog_login", "login's%20own")
    assert workers_seen_by(login) == 0
    with closing(psycopg2.connect(login)) as connection, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        connection.cursor().execute("CREATE TABLE mine (id int)")
