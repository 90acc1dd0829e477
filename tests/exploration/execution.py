"""One statement while it runs, and the transaction that it runs in: what it sees, locks, writes and may not write.

READ COMMITTED as PostgreSQL has it: each statement sees what was committed when it began and its own transaction's
writes. One that meets a row locked by another transaction waits, and then judges the row's newest version again while
everything else it reads stays as it was when it began.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from dispatchlog.engine.states import FINAL, Status, is_legal
from tests.exploration.evaluate import Json, Row
from tests.exploration.schema import Table

if TYPE_CHECKING:
    from tests.exploration.store import Store

Key = tuple[str, tuple[Any, ...]]  # a table's name and a row's key
Rows = dict[tuple[Any, ...], Row]
Tables = Mapping[str, Rows]


class Blocked(Exception):
    """The statement waits for a row that another transaction holds."""

    def __init__(self, key: Key) -> None:
        super().__init__(str(key))
        self.key = key


class Refused(Exception):
    """PostgreSQL would have refused the statement: a check, a key or an illegal move."""


@dataclass(frozen=True)
class Answer:
    """What a statement gives back."""

    rowcount: int
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()

    @cached_property
    def as_python(self) -> list[tuple[Any, ...]]:
        """The rows as psycopg2 gives them."""
        return [tuple(_as_python(value) for value in row) for row in self.rows]


def _as_python(value: Any) -> Any:
    if isinstance(value, Json):
        return json.loads(value)
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Transaction:
    """An open transaction. While one of its statements waits, `snapshot` is what that saw when it began, and `waits_for`
    the row."""

    now: datetime
    writes: tuple[tuple[Key, Row], ...] = ()
    locks: frozenset[Key] = frozenset()
    settings: tuple[tuple[str, str], ...] = ()
    snapshot: int | None = None
    waits_for: Key | None = None


@dataclass(frozen=True)
class View:
    """What the world is to a statement besides the rows: the clock, the worker numbers whose locks are held, and the rows
    that other transactions have locked."""

    clock: datetime
    held: frozenset[int] = frozenset()
    locked: frozenset[Key] = frozenset()


@dataclass
class Execution:
    """One statement while it runs (the `Context` of its functions)."""

    store: Store
    newest: Tables
    seen: Tables
    transaction: Transaction
    view: View
    parameters: Any
    queries: dict[str, tuple[tuple[str, ...], list[Row]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.now = self.transaction.now
        self.clock = self.view.clock
        self.writes = dict(self.transaction.writes)
        self.locks = set(self.transaction.locks)
        self.settings = dict(self.transaction.settings)
        self.wrote = False
        self._scanned: dict[str, list[Row]] = {}

    def scan(self, table: str) -> list[Row]:
        """The rows as this statement sees them: what it writes itself is not among them."""
        if table not in self._scanned:
            own = {key: row for (name, key), row in self.transaction.writes if name == table}
            rows = self.seen[table]
            if own.keys() <= rows.keys():
                self._scanned[table] = [own.get(key, row) for key, row in rows.items()]
            else:
                rows = {**rows, **own}
                self._scanned[table] = [rows[key] for key in sorted(rows)]
        return self._scanned[table]

    def setting(self, name: str) -> str:
        return self.settings.get(name, "")

    def change_setting(self, name: str, value: str) -> str:
        self.settings[name] = value
        return value

    def is_held(self, number: int) -> bool:
        return number in self.view.held

    def lock(self, table: str, row: Row, *, skip: bool) -> Row | None:
        key = self.store.key_of(table, row)
        if key in self.view.locked:
            if skip:
                return None
            raise Blocked(key)
        self.locks.add(key)
        return self.writes.get(key) or self.newest[table][key[1]]

    def current(self, key: Key) -> Row | None:
        """The newest version that this transaction may see or change."""
        return self.writes.get(key) or self.newest[key[0]].get(key[1])

    def put(self, table: Table, before: Row | None, after: Row) -> None:
        """Write a row. Raises Refused."""
        self.store.check(table, after, self)
        if table.is_lane:
            self._check_move(table, before, after)
        key = self.store.key_of(table.name, after)
        self.writes[key] = after
        self.locks.add(key)
        self.wrote = True

    def _check_move(self, table: Table, before: Row | None, after: Row) -> None:
        at = table.at
        target = after[at["status"]]
        if before is None:
            if target != Status.PENDING or after[at["in_doubt"]]:
                raise Refused(f"a dispatch begins PENDING, not {target}")
            return
        source = before[at["status"]]
        if source in FINAL and before != after:
            raise Refused(f"{source} is final and frozen")
        if source != target and not is_legal(Status(source), Status(target)):
            raise Refused(f"{source} -> {target} is not a legal move")

    def ended(self) -> Transaction:
        """The transaction as this statement leaves it."""
        was = self.transaction
        if not self.wrote and self.locks == was.locks and self.settings == dict(was.settings):
            return was
        return Transaction(
            self.now,
            tuple(sorted(self.writes.items(), key=lambda item: item[0])),
            frozenset(self.locks),
            tuple(sorted(self.settings.items())),
        )
