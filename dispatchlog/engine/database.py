"""The connection to PostgreSQL: pool, time zone, role and transactions. Owns no table and no query of a lane."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import peewee
import psycopg2.extras
from playhouse.pool import PooledPostgresqlDatabase

from dispatchlog.engine.errors import NotInTransaction
from dispatchlog.engine.tallies import tallies

psycopg2.extras.register_uuid()

# Keepalives notice a vanished host in about 25 seconds instead of two hours: here that PostgreSQL's is gone, and there
# that ours is. A worker's lock is free only when PostgreSQL has noticed, and until then nobody takes over its dispatches.
VANISHED_SECONDS = 25
KEEPALIVES: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": VANISHED_SECONDS * 1000,
    "connect_timeout": 5,
}
SERVER_KEEPALIVES = {
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 5,
    "tcp_keepalives_count": 3,
    "tcp_user_timeout": VANISHED_SECONDS * 1000,
}

# What says that PostgreSQL or the way to it is gone, whatever was asked.
DATABASE_AWAY = (peewee.OperationalError, peewee.InterfaceError, psycopg2.OperationalError, psycopg2.InterfaceError)
# PostgreSQL is there and let somebody else go first: the same again may succeed.
_TURN_LOST = (psycopg2.errors.DeadlockDetected, psycopg2.errors.SerializationFailure)


class _Pool(PooledPostgresqlDatabase):
    """Peewee's pool, which tells how often and for how long somebody waited for a connection."""

    def connect(self, reuse_if_open: bool = False) -> bool:
        if len(self._in_use) < self._max_connections or not self.is_closed():
            return bool(super().connect(reuse_if_open))
        began = time.monotonic()
        try:
            return bool(super().connect(reuse_if_open))
        finally:
            tallies.add("pool_waits", tallies.process)
            tallies.add("pool_wait_seconds", tallies.process, by=time.monotonic() - began)


database = _Pool(None, autoconnect=False)
_after_commit = threading.local()


# A queue's statistics always lag behind it: right after a burst the planner believes that a handful of rows is due and
# sorts all of them. Every statement of a worker has an index made for it, so the other ways are closed to it.
BY_INDEX = {"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}


# A process that is stopped in the middle of a transaction would hold its rows' locks for as long as it is stopped.
IDLE_IN_TRANSACTION_SECONDS = 60


def connect_arguments(
    role: str, *, name: str, statement_timeout_ms: int = 0, by_index: bool = False, idle_seconds: int = 0
) -> dict[str, Any]:
    """Arguments for every connection of the application: UTC, the application's role, a name for pg_stat_activity.

    PostgreSQL ends the session when it has asked nothing for `idle_seconds` (0: it may be silent for ever).
    """
    options = f"-c timezone=UTC -c jit=off -c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_SECONDS}s"
    options += "".join(f" -c {setting}={value}" for setting, value in SERVER_KEEPALIVES.items())
    if idle_seconds:
        options += f" -c idle_session_timeout={idle_seconds}s"
    if by_index:
        options += "".join(f" -c {setting}={value}" for setting, value in BY_INDEX.items())
    if role:
        options += f" -c role={role}"
    if statement_timeout_ms:
        options += f" -c statement_timeout={statement_timeout_ms}"
    return {**KEEPALIVES, "options": options, "application_name": name}


def configure(
    url: str,
    *,
    role: str,
    name: str = "dispatchlog",
    max_connections: int = 20,
    statement_timeout_ms: int = 0,
    by_index: bool = False,
) -> None:
    """Point the process's pool at `url` (libpq URL). Call once, before the first query; a later call starts afresh.

    `by_index` is for workers: their plans then never depend on statistics.
    """
    if database.database is not None:
        database.close_all()
    database.init(
        url,
        max_connections=max_connections,
        timeout=10,
        **connect_arguments(role, name=name, statement_timeout_ms=statement_timeout_ms, by_index=by_index),
    )


def is_away(error: Exception) -> bool:
    """Whether it says that PostgreSQL is gone, and not only that this transaction lost its turn."""
    return isinstance(error, DATABASE_AWAY) and not isinstance(error, _TURN_LOST)


@contextmanager
def connected() -> Iterator[None]:
    """A connection for this thread; nested use keeps the outer one."""
    if not database.is_closed():
        yield
        return
    database.connect()
    try:
        yield
    finally:
        database.close()


@contextmanager
def transaction(actor: str, reason: str | None = None) -> Iterator[None]:
    """A transaction (a savepoint inside another one) whose moves are signed `actor` and, where given, `reason`.

    PostgreSQL keeps a setting made inside a savepoint until the outer transaction ends, so the outer signature is put
    back. What `after_commit` was given runs when the outermost transaction has committed, and not if it rolled back.
    """
    with connected():
        outermost = not database.in_transaction()
        if outermost:
            _after_commit.callbacks = []
        try:
            with database.atomic():
                outer = _sign(actor, reason or "")
                yield
                if not outermost:
                    _sign(*outer)
            if outermost:
                _run_after_commit()
        finally:
            if outermost:
                _after_commit.callbacks = None


def _sign(actor: str, reason: str) -> tuple[str, str]:
    was = fetch_one(
        "SELECT current_setting('dispatchlog.actor', true), current_setting('dispatchlog.reason', true),"
        " set_config('dispatchlog.actor', %s, true), set_config('dispatchlog.reason', %s, true)",
        (actor, reason),
    )
    return was[0] or "", was[1] or ""


def after_commit(key: str, callback: Callable[[], object]) -> None:
    """Run `callback` once the outermost `transaction` has committed (at once outside one); one per `key` is enough.

    Raises:
        NotInTransaction: inside a transaction that `transaction` did not begin, whose commit nobody here would see.
    """
    if not database.in_transaction():
        callback()
        return
    callbacks = getattr(_after_commit, "callbacks", None)
    if callbacks is None:
        raise NotInTransaction("after_commit needs a transaction begun by `transaction`")
    if all(known != key for known, _ in callbacks):
        callbacks.append((key, callback))


def _run_after_commit() -> None:
    callbacks, _after_commit.callbacks = _after_commit.callbacks, None
    for _, callback in callbacks:
        callback()


def require_transaction() -> None:
    """Raise NotInTransaction in autocommit, where a move's actor and reason would be lost silently."""
    if not database.in_transaction():
        raise NotInTransaction("a move of the ledger was asked for outside a transaction")


def execute(sql: str, params: Sequence[Any] | dict[str, Any] = ()) -> Any:
    """Run one statement on this thread's connection; the cursor comes back."""
    return database.execute_sql(sql, params or None)


def fetch_all(sql: str, params: Sequence[Any] | dict[str, Any] = ()) -> list[tuple[Any, ...]]:
    """All rows of one query."""
    return list(execute(sql, params).fetchall())


def fetch_one(sql: str, params: Sequence[Any] | dict[str, Any] = ()) -> tuple[Any, ...]:
    """The first row of a query that always has one."""
    row = execute(sql, params).fetchone()
    if row is None:
        raise LookupError("the query returned no row")
    return tuple(row)


def fetch_dicts(sql: str, params: Sequence[Any] | dict[str, Any] = ()) -> list[dict[str, Any]]:
    """All rows of one query, by column name."""
    cursor = execute(sql, params)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def insert_many(sql: str, values: Sequence[Sequence[Any]], *, fetch: bool = False) -> list[tuple[Any, ...]]:
    """Insert rows in statements of up to a thousand; `sql` has `VALUES %s`. What it returns comes back with `fetch`."""
    with database.connection().cursor() as cursor:
        found = psycopg2.extras.execute_values(cursor, sql, values, page_size=1000, fetch=fetch)
    return found or []
