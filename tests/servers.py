"""Owns the PostgreSQL and the Valkey of one test run, shared by all its workers. It never outlives the run.

`started_servers` starts them in the process that calls it; every other process of the run is given the returned
`Servers`, a plain value. Databases are cloned from one migrated template.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from dispatchlog.local.directory import LocalServerError, lock_directory
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.valkey import LocalValkey

VALKEY_DATABASES = 512
_PREFIX = "dispatchlog-tests-"
_ABANDONED_AFTER_SECONDS = 600
_ENOUGH_MEMORY_BYTES = 2_000_000_000
_TEMPLATE = "migrated_template"
_HALF_MADE = "migrated_template_being_made"

# For speed alone: the data of a test run are worth nothing after a power failure, and most of the time of a test is
# the creation of its database. The crash scenarios start a server of their own, with the durable defaults.
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
    "checkpoint_timeout": "1h",
    "max_prepared_transactions": "4",  # so that one can be left behind for the doctor to find
    "autovacuum": "off",  # it would work on databases that are soon dropped, and change plans in the middle of a test
}


@dataclass(frozen=True)
class Servers:
    """Where the run's servers are. `directory` also holds the lock that its processes share."""

    directory: str
    postgres_url: str
    valkey_url: str

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Servers:
        return cls(**json.loads(text))

    def database_url(self, name: str) -> str:
        return urlunsplit(urlsplit(self.postgres_url)._replace(path=f"/{name}"))

    def redis_url(self, number: int) -> str:
        return urlunsplit(urlsplit(self.valkey_url)._replace(path=f"/{number}"))


@contextmanager
def started_servers() -> Iterator[Servers]:
    """Both servers, gone with their data at the end; on Linux also when this process is killed."""
    parent = _fastest_directory()
    _remove_abandoned(parent)
    directory = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    postgres = LocalPostgres(directory / "postgres", settings=_FAST)
    valkey = LocalValkey(directory / "valkey", settings={"databases": str(VALKEY_DATABASES)})
    try:
        with postgres, valkey:
            _let_in_quickly(postgres.url("postgres"))
            yield Servers(str(directory), postgres.url("postgres"), valkey.url())
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _let_in_quickly(url: str) -> None:
    """Store the password again, hashed once: the usual 4,096 times cost both sides of each of thousands of log-ins."""
    address = urlsplit(url)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("SET LOCAL scram_iterations = 1")
        cursor.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(address.username), sql.Literal(address.password))
        )


def _remove_abandoned(parent: Path) -> None:
    """A run killed by SIGKILL leaves its directory, perhaps in memory. A young one may be about to be locked."""
    for directory in parent.glob(_PREFIX + "*"):
        try:
            if time.time() - directory.stat().st_mtime > _ABANDONED_AFTER_SECONDS:
                lock_directory(directory / "postgres").close()
                shutil.rmtree(directory, ignore_errors=True)
        except (OSError, LocalServerError):
            continue  # in use, or removed by another run that starts now


def _fastest_directory() -> Path:
    """Memory where there is plenty: cloning the template took 19 ms there and 44 to 400 ms on a disk."""
    memory = Path("/dev/shm")  # noqa: S108  only the parent of a directory made by mkdtemp
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ENOUGH_MEMORY_BYTES:
        return memory
    return Path(tempfile.gettempdir())


@contextmanager
def fresh_database(servers: Servers, name: str, *, migrated: bool) -> Iterator[str]:
    """The URL of a new database of this name, dropped afterwards whoever is still connected."""
    template = _ensure_template(servers) if migrated else "template0"
    # Measured without fsync: file_copy 19 ms, wal_log 130 ms, for that writes the whole template to the log.
    _execute(
        servers,
        sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy").format(
            sql.Identifier(name), sql.Identifier(template)
        ),
    )
    try:
        yield servers.database_url(name)
    finally:
        _execute(servers, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _ensure_template(servers: Servers) -> str:
    """Migrate one database per run; the first worker to ask does it and the others wait."""
    done = Path(servers.directory, "template.done")
    if done.exists():
        return _TEMPLATE
    with Path(servers.directory, "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            _make_template(servers)
            done.touch()
    return _TEMPLATE


def _make_template(servers: Servers) -> None:
    from dispatchlog.migrate import migrate_up

    half_made, template = sql.Identifier(_HALF_MADE), sql.Identifier(_TEMPLATE)
    _execute(servers, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(half_made))
    _execute(servers, sql.SQL("CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log").format(half_made))
    migrate_up(servers.database_url(_HALF_MADE))
    # A database that somebody is connected to cannot be cloned, so nobody may.
    _execute(servers, sql.SQL("ALTER DATABASE {} WITH ALLOW_CONNECTIONS false").format(half_made))
    _execute(servers, sql.SQL("ALTER DATABASE {} RENAME TO {}").format(half_made, template))


def _execute(servers: Servers, statement: sql.Composed) -> None:
    with closing(psycopg2.connect(servers.postgres_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
