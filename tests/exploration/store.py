"""The abstract database: all data that was ever committed, each under a number. Knows no schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tests.exploration.evaluate import Compiler, Row
from tests.exploration.execution import Answer, Execution, Key, Refused, Rows, Tables, Transaction, View
from tests.exploration.schema import Table
from tests.exploration.sql import parse
from tests.exploration.statements import Compiled, Statements
from tests.exploration.tidy import aged, tidied


class Store:
    """Equal data have equal numbers."""

    def __init__(self, tables: Mapping[str, Table], *, tidy: bool) -> None:
        self.tables = tables
        self._tidy = tidy
        self._data: list[Tables] = []
        self._parts: list[dict[str, int]] = []  # of each data: each table's content, by number
        self._numbers: dict[tuple[int, ...], int] = {}
        self._contents: list[Rows] = []
        self._part_numbers: dict[Any, int] = {}
        self._aged: dict[int, int] = {}
        self._older_parts: dict[int, int] = {}
        self._compiled: dict[str, Compiled] = {}
        self._checks: dict[str, list[Callable[[Any, Any], Any]]] = {}
        self.empty = self._keep({name: self._content(name, {}) for name in tables})

    def __getitem__(self, number: int) -> Tables:
        return self._data[number]

    def __len__(self) -> int:
        return len(self._data)

    def key_of(self, table: str, row: Row) -> Key:
        return (table, tuple(row[place] for place in self.tables[table].key_places))

    def commit(self, data: int, transaction: Transaction) -> int:
        """The data with the transaction's writes in them."""
        changed: dict[str, Rows] = {}
        for (table, key), row in transaction.writes:
            rows = changed.setdefault(table, dict(self._data[data][table]))
            rows[key] = tidied(self.tables[table], row) if self._tidy else row
        return self._with(data, {name: self._content(name, rows) for name, rows in changed.items()})

    def aged(self, data: int) -> int:
        """The data one day later."""
        if data not in self._aged:
            self._aged[data] = self._with(
                data, {name: self._older(name, part) for name, part in self._parts[data].items()}
            )
        return self._aged[data]

    def _older(self, name: str, part: int) -> int:
        if part not in self._older_parts:
            rows = {key: aged(self.tables[name], row) for key, row in self._contents[part].items()}
            self._older_parts[part] = self._content(name, rows)
        return self._older_parts[part]

    def _content(self, name: str, rows: Rows) -> int:
        """The number of a table's content."""
        part = self._part_numbers.setdefault((name, frozenset(rows.values())), len(self._contents))
        if part == len(self._contents):
            self._contents.append({key: rows[key] for key in sorted(rows)})
        return part

    def _with(self, data: int, changed: Mapping[str, int]) -> int:
        return self._keep({**self._parts[data], **changed}) if changed else data

    def _keep(self, parts: dict[str, int]) -> int:
        number = self._numbers.setdefault(tuple(parts.values()), len(self._data))
        if number == len(self._data):
            self._data.append({name: self._contents[part] for name, part in parts.items()})
            self._parts.append(parts)
        return number

    def execute(
        self, data: int, transaction: Transaction, view: View, sql: str, parameters: Any
    ) -> tuple[Answer, Transaction]:
        """Run one statement. Raises Blocked (call again, with `transaction.snapshot` set, once it may go on), Refused."""
        if sql not in self._compiled:
            self._compiled[sql] = Statements(self.tables).compile(parse(sql))
        newest = self._data[data]
        seen = newest if transaction.snapshot is None else self._data[transaction.snapshot]
        if transaction.snapshot is not None:
            transaction = Transaction(transaction.now, transaction.writes, transaction.locks, transaction.settings)
        run = Execution(self, newest, seen, transaction, view, parameters)
        answer = self._compiled[sql](run)
        return answer, run.ended()

    def check(self, table: Table, row: Row, run: Execution) -> None:
        if table.name not in self._checks:
            compiler = Compiler(self.tables)
            self._checks[table.name] = [compiler.expression(tree, {table.name: table.at}) for tree in table.checks]
        for name in table.required:
            if row[table.at[name]] is None:
                raise Refused(f"{table.name}.{name} is null")
        for number, holds in enumerate(self._checks[table.name]):
            if holds(run, {table.name: row}) is False:
                raise Refused(f"check {table.checks[number]} of {table.name}")
