"""Statements as functions of an execution: SELECT, UPDATE and INSERT as PostgreSQL does them. Keeps no row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.exploration.evaluate import Compiler, Context, Row, cast
from tests.exploration.execution import Answer, Blocked, Execution, Refused
from tests.exploration.schema import UNREAD, WRITTEN_ONLY, Table
from tests.exploration.sql import Expression, Insert, Select, Statement, UnknownSQL, Update

Compiled = Callable[[Execution], Answer]


class Statements:
    """Turns statements into functions of an Execution."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self.tables = tables
        self.compiler = Compiler(tables)

    def compile(self, tree: Statement) -> Compiled:
        parts = []
        for name, query in tree.queries:
            if not isinstance(query, Select):
                raise UnknownSQL("a writing query in WITH")
            columns, rows_of = self.compiler.select(query, {})
            self.compiler.named[name] = columns
            parts.append((name, columns, rows_of))
        body = {Select: self._select, Update: self._update, Insert: self._insert}[type(tree)](tree)  # type: ignore[operator]

        def run(execution: Execution) -> Answer:
            for name, columns, rows_of in parts:
                execution.queries[name] = (columns, rows_of(execution, {}))
            answer: Answer = body(execution)
            return answer

        return run

    def _select(self, tree: Select) -> Compiled:
        columns, rows_of = self.compiler.select(tree, {})

        def run(execution: Execution) -> Answer:
            rows = rows_of(execution, {})
            return Answer(len(rows), columns, tuple(rows))

        return run

    def _update(self, tree: Update) -> Compiled:
        table = self.tables[tree.table]
        scope, combine = self.compiler.sources(tree.sources, {})
        scope = {**scope, tree.alias: table.at}
        where = self.compiler.expression(tree.where or ("value", True), scope)
        change = self._change(table, tree.sets, scope)
        columns, result_of = self.compiler.items(tree.returning, scope, [tree.alias])

        def run(execution: Execution) -> Answer:
            done: dict[Row, Row] = {}
            for others in combine(execution, {}):
                for target in execution.scan(table.name):
                    rows = {**others, tree.alias: target}
                    if where(execution, rows) is not True or target in done:
                        continue
                    newest = execution.lock(table.name, target, skip=False)
                    assert newest is not None
                    rows[tree.alias] = newest
                    if newest != target and where(execution, rows) is not True:
                        continue
                    after = change(execution, rows, newest)
                    execution.put(table, newest, after)
                    rows[tree.alias] = after
                    done[target] = result_of(execution, rows)
            return Answer(len(done), columns, tuple(done.values()) if columns else ())

        return run

    def _insert(self, tree: Insert) -> Compiled:
        if tree.table in WRITTEN_ONLY:
            return lambda execution: Answer(1)
        table = self.tables[tree.table]
        make = self._new_rows(tree)
        scope = {tree.alias: table.at, "excluded": table.at}
        if tree.alias != table.name and tree.conflict != "update":
            raise UnknownSQL("an alias without a use")
        change = self._change(table, tree.sets, scope)
        where = self.compiler.expression(tree.where or ("value", True), scope)
        columns, result_of = self.compiler.items(tree.returning, {tree.alias: table.at}, [tree.alias])
        if tree.target and tree.target != table.key:
            raise UnknownSQL(f"ON CONFLICT {tree.target} of {table.name}")

        def run(execution: Execution) -> Answer:
            results: list[Row] = []
            for row in make(execution):
                key = (table.name, tuple(row[place] for place in table.key_places))
                known = execution.current(key)
                # An insert meets another's uncommitted one and waits; only DO UPDATE also waits for a locked old row.
                if key in execution.view.locked and (known is None or tree.conflict == "update"):
                    raise Blocked(key)
                after = row
                if known is not None:
                    if not tree.conflict:
                        raise Refused(f"{key} is there already")
                    rows = {tree.alias: known, "excluded": row}
                    if tree.conflict == "nothing" or where(execution, rows) is not True:
                        continue
                    after = change(execution, rows, known)
                execution.put(table, known, after)
                results.append(result_of(execution, {tree.alias: after, "excluded": row}))
            return Answer(len(results), columns, tuple(results) if columns else ())

        return run

    def _new_rows(self, tree: Insert) -> Callable[[Execution], list[Row]]:
        table = self.tables[tree.table]
        given: list[Callable[[Context, dict[str, Row]], list[Row]]]
        if tree.select is not None:
            given = [self.compiler.select(tree.select, {})[1]]
        else:
            given = [_constant([self.compiler.expression(value, {}) for value in row]) for row in tree.rows]
        defaults = {
            name: self.compiler.expression(value, {}) for name, value in table.defaults.items() if name not in UNREAD
        }
        generate = self._generate(table)

        def make(execution: Execution) -> list[Row]:
            made: list[Row] = []
            for values in [row for rows_of in given for row in rows_of(execution, {})]:
                row: dict[str, Any] = dict.fromkeys(table.columns)
                row |= {name: _as_type(default(execution, {}), table, name) for name, default in defaults.items()}
                row |= {name: _as_type(value, table, name) for name, value in zip(tree.columns, values, strict=True)}
                row |= dict.fromkeys(UNREAD & set(table.columns))
                if table.identity and row[table.identity] is None:
                    row[table.identity] = _next_number(execution, table, row, made)
                made.append(generate(execution, tuple(row.values())))
            return made

        return make

    def _change(
        self, table: Table, sets: Sequence[tuple[str, Expression]], scope: Any
    ) -> Callable[[Execution, dict[str, Row], Row], Row]:
        changes = [(name, self.compiler.expression(value, scope)) for name, value in sets if name not in UNREAD]
        generate = self._generate(table)

        def change(execution: Execution, rows: dict[str, Row], before: Row) -> Row:
            after = list(before)
            for name, value in changes:
                after[table.at[name]] = _as_type(value(execution, rows), table, name)
            return generate(execution, tuple(after))

        return change

    def _generate(self, table: Table) -> Callable[[Execution, Row], Row]:
        columns = [
            (table.at[name], self.compiler.expression(tree, {table.name: table.at}))
            for name, tree in table.generated.items()
        ]

        def generate(execution: Execution, row: Row) -> Row:
            if not columns:
                return row
            whole = list(row)
            for place, value in columns:
                whole[place] = value(execution, {table.name: row})
            return tuple(whole)

        return generate


def _constant(values: list[Callable[[Any, Any], Any]]) -> Callable[[Context, dict[str, Row]], list[Row]]:
    return lambda context, rows: [tuple(value(context, rows) for value in values)]


def _as_type(value: Any, table: Table, name: str) -> Any:
    kind = table.types.get(name)
    if kind == "jsonb" and value is not None:
        return cast(value, "jsonb")
    if kind == "array" and isinstance(value, str):
        return ()  # '{}', the only array literal there is
    return value


def _next_number(execution: Execution, table: Table, row: dict[str, Any], made: list[Row]) -> int:
    """The next number of the identity column. Of the attempts only the order within one dispatch is ever asked for, so
    they are numbered per dispatch, and the order in which two dispatches were tried makes no difference."""
    own = {
        **execution.newest[table.name],
        **{key: known for (name, key), known in execution.writes.items() if name == table.name},
    }
    rows = [*own.values(), *made]
    if "dispatch_id" in table.at:
        rows = [known for known in rows if known[table.at["dispatch_id"]] == row["dispatch_id"]]
    return 1 + max((known[table.at[table.identity]] for known in rows), default=0)
