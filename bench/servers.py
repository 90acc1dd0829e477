"""Owns the run's PostgreSQL and Valkey, with the durable defaults, and its databases full of due rows. Times nothing."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import redis

from bench.lane import CREATE, FILL, TABLE
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up

_MIGRATED = "migrated"


@dataclass
class Servers:
    """Both servers of one run, and the databases made so far."""

    directory: Path
    postgres: LocalPostgres
    valkey: LocalValkey
    _templates: dict[int, str] = field(default_factory=dict)
    _made: int = 0
    _migrated: bool = False

    @property
    def redis_url(self) -> str:
        return self.valkey.url()

    def admin(self, sql: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run one statement as the owner, in autocommit; its rows come back."""
        return query(self.postgres.url(database), sql)

    @contextmanager
    def full_database(self, rows: int) -> Iterator[str]:
        """The URL of a new database whose lane holds `rows` due rows; Valkey is empty. Dropped afterwards.

        Every repetition gets a copy of the same files, so no one finds the dead rows of the one before it.
        """
        template = self._template(rows)
        name = self._new_name()
        # file_copy ends with a checkpoint: every repetition starts with the same distance to the next one.
        self.admin(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        self._empty_valkey()
        self.admin(f"SELECT sum(seq) FROM {TABLE}", database=name)
        try:
            yield self.postgres.url(name)
        finally:
            self._drop(name)

    @contextmanager
    def filled_database(self, *statements: str) -> Iterator[str]:
        """The same, filled by these statements and vacuumed."""
        name = self._new_name()
        try:
            self._fill(name, statements)
            self._empty_valkey()
            yield self.postgres.url(name)
        finally:
            self._drop(name)

    def _template(self, rows: int) -> str:
        if rows not in self._templates:
            name = f"full_{rows}"
            self._fill(name, (FILL.format(rows=rows),))
            self._templates[rows] = name
        return self._templates[rows]

    def _fill(self, name: str, statements: Sequence[str]) -> None:
        if not self._migrated:
            self.admin(f"CREATE DATABASE {_MIGRATED}")
            migrate_up(self.postgres.url(_MIGRATED))
            for statement in CREATE:
                self.admin(statement, database=_MIGRATED)
            self._migrated = True
        self.admin(f"CREATE DATABASE {name} TEMPLATE {_MIGRATED} STRATEGY file_copy")
        for statement in (*statements, "VACUUM (ANALYZE)"):
            self.admin(statement, database=name)

    def _empty_valkey(self) -> None:
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def _new_name(self) -> str:
        self._made += 1
        return f"bench_{self._made}"

    def _drop(self, name: str) -> None:
        self.admin(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@contextmanager
def started_servers() -> Iterator[Servers]:
    """Both servers in a temporary directory; gone with their data at the end, also when this process is killed."""
    directory = Path(tempfile.mkdtemp(prefix="dispatchlog-bench-"))
    postgres, valkey = LocalPostgres(directory / "postgres"), LocalValkey(directory / "valkey")
    try:
        with _interrupts_later():
            postgres.start()
            valkey.start()
        yield Servers(directory, postgres, valkey)
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Hold Ctrl-C back until the block is over: an initdb left alone would go on writing into a removed directory."""
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt


def query(url: str, sql: str) -> list[tuple[Any, ...]]:
    """One statement on a connection of its own, in autocommit."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []


def due_ids(url: str) -> list[str]:
    """The ids of the lane's rows, the first due first."""
    return [row_id for (row_id,) in query(url, f"SELECT id::text FROM {TABLE} ORDER BY due_at")]
