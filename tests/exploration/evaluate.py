"""Expressions and queries as functions over rows, with PostgreSQL's NULLs. Writes nothing and locks nothing by itself.

An expression becomes the text of a Python expression: `c` is the running statement, `r` the rows by alias. That is several
times as fast as functions that call functions, and an exploration evaluates millions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Protocol
from uuid import UUID

from tests.exploration.schema import UNREAD, Table
from tests.exploration.sql import Expression, Select, Source, UnknownSQL

Row = tuple[Any, ...]
Rows = dict[str, Row]  # by alias
Scope = dict[str, dict[str, int]]  # alias -> column -> place
Evaluate = Callable[["Context", Rows], Any]

POSTMASTER_STARTED = datetime(2025, 1, 1, tzinfo=UTC)


class Json(str):
    """A jsonb value as canonical text, so that equal values are equal."""

    __slots__ = ()


class Context(Protocol):
    """What a running statement may ask: parameters, time, settings, locks and the rows it sees."""

    parameters: Any
    now: datetime
    clock: datetime
    queries: dict[str, tuple[tuple[str, ...], list[Row]]]

    def scan(self, table: str) -> list[Row]: ...

    def setting(self, name: str) -> str: ...

    def change_setting(self, name: str, value: str) -> str: ...

    def is_held(self, number: int) -> bool: ...

    def lock(self, table: str, row: Row, *, skip: bool) -> Row | None:
        """Lock the row: its newest version comes back, or None where it is skipped. Raises Blocked."""


class Compiler:
    """Turns trees into functions; knows the tables and the queries named in WITH."""

    def __init__(self, tables: Mapping[str, Table]) -> None:
        self.tables = tables
        self.named: dict[str, tuple[str, ...]] = {}

    # --- expressions

    def expression(self, tree: Expression, scope: Scope) -> Evaluate:
        """The function that gives the expression's value."""
        return self._function(_Texts(self, scope), tree)

    def _function(self, texts: _Texts, tree: Expression) -> Evaluate:
        code = f"lambda c, r: {texts.of(tree)}"
        function: Evaluate = eval(code, texts.names)  # noqa: S307  made here, from the engine's own statements
        return function

    # --- queries

    def source(self, source: Source, scope: Scope) -> tuple[dict[str, int], Callable[[Context, Rows], list[Row]]]:
        """A FROM entry: its columns' places and the function that gives its rows."""
        if source.unnest:
            arrays = [self.expression(array, scope) for array in source.unnest]
            places = {name: place for place, name in enumerate(source.columns)}
            return places, lambda c, r: list(zip(*(array(c, r) for array in arrays), strict=True))
        if source.query is not None:
            names, query = self.select(source.query, scope)
            return {name: place for place, name in enumerate(names)}, query
        name = source.table
        if name in self.named:
            places = {column: place for place, column in enumerate(self.named[name])}
            return places, lambda c, r: c.queries[name][1]
        if name not in self.tables:
            raise UnknownSQL(f"table {name}")
        return dict(self.tables[name].at), lambda c, r: c.scan(name)

    def sources(
        self, sources: Sequence[Source], outer: Scope
    ) -> tuple[Scope, Callable[[Context, Rows], Iterator[Rows]]]:
        """All FROM entries: the scope within, and every combination of their rows."""
        scope = dict(outer)
        entries = []
        for source in sources:
            places, rows_of = self.source(source, outer)
            scope[source.alias] = places
            entries.append((source.alias, rows_of))

        def combine(context: Context, rows: Rows) -> Iterator[Rows]:
            combinations = [rows]
            for alias, rows_of in entries:
                these = rows_of(context, rows)
                combinations = [{**known, alias: row} for known in combinations for row in these]
            return iter(combinations)

        return scope, combine

    def items(
        self, items: Sequence[tuple[Expression, str]], scope: Scope, own: Sequence[str]
    ) -> tuple[tuple[str, ...], Callable[[Context, Rows], Row]]:
        """The columns of a result: their names, and the function that makes a row of them."""
        names: list[str] = []
        parts: list[Evaluate] = []
        for expression, name in items:
            if expression[0] != "star":
                names.append(name)
                parts.append(self.expression(expression, scope))
                continue
            for alias in own if expression[1] is None else (expression[1],):
                names += sorted(scope[alias], key=scope[alias].__getitem__)
                parts.append(_whole(alias))
        if len(items) == 1 and items[0][0][0] == "star":
            return tuple(names), parts[0]
        if any(item[0][0] == "star" for item in items):
            raise UnknownSQL("* among other columns")
        return tuple(names), lambda c, r: tuple(part(c, r) for part in parts)

    def select(self, tree: Select, outer: Scope) -> tuple[tuple[str, ...], Callable[[Context, Rows], list[Row]]]:
        """A query: its columns' names, and the function that gives its rows, locked where it says so."""
        scope, combine = self.sources(tree.sources, outer)
        where = self.expression(tree.where or ("value", True), scope)
        order = [(self.expression(key, scope), descending) for key, descending in tree.order]
        limit = self.expression(tree.limit, scope) if tree.limit else None
        distinct_on = [self.expression(key, scope) for key in tree.distinct_on]
        names, result_of = self.items(tree.items, scope, [source.alias for source in tree.sources])
        locked = tree.sources[0] if tree.lock else None

        def newest_of(context: Context, rows: Rows) -> Rows | None:
            """The rows with the locked one as it is now; None where it is skipped, or is no longer meant."""
            assert locked is not None
            newest = context.lock(locked.table, rows[locked.alias], skip=tree.lock == "skip")
            if newest is None or newest == rows[locked.alias]:
                return None if newest is None else rows
            rows = {**rows, locked.alias: newest}  # it changed while this waited for it
            return rows if where(context, rows) is True else None

        def run(context: Context, outer_rows: Rows) -> list[Row]:
            found = [rows for rows in combine(context, outer_rows) if where(context, rows) is True]
            for key, descending in reversed(order):
                found.sort(key=lambda rows: _sortable(key(context, rows)), reverse=descending)
            most = len(found) if limit is None else limit(context, outer_rows)
            results: list[Row] = []
            seen: set[Any] = set()
            for candidate in found:
                if len(results) >= most:
                    break
                rows = candidate if locked is None else newest_of(context, candidate)
                if rows is None:
                    continue
                result = result_of(context, rows)
                if tree.distinct or distinct_on:
                    mark = tuple(key(context, rows) for key in distinct_on) if distinct_on else result
                    if mark in seen:
                        continue
                    seen.add(mark)
                results.append(result)
            return results

        return names, run


def _whole(alias: str) -> Evaluate:
    return lambda c, r: r[alias]


class _Texts:
    """The Python text of expressions in one scope; `names` is what the text refers to."""

    def __init__(self, compiler: Compiler, scope: Scope) -> None:
        self.compiler = compiler
        self.scope = scope
        self.names: dict[str, Any] = dict(_NAMES)
        self._numbers = count()

    def of(self, tree: Expression) -> str:
        method = getattr(self, "_" + tree[0].replace(" ", "_"), None)
        if method is None:
            raise UnknownSQL(str(tree))
        return str(method(*tree[1:]))

    def _keep(self, value: Any) -> str:
        name = f"k{next(self._numbers)}"
        self.names[name] = value
        return name

    def _strict(self, text: str, *operands: Expression) -> str:
        """`text` with the operands in its braces: NULL where one of them is."""
        names = [f"v{next(self._numbers)}" for _ in operands]
        nulls = " or ".join(
            f"({name} := {self.of(operand)}) is None" for name, operand in zip(names, operands, strict=True)
        )
        return f"(None if {nulls} else {text.format(*names)})"

    def _value(self, value: Any) -> str:
        return self._keep(value)

    def _interval(self, text: str) -> str:
        number, _, unit = text.partition(" ")
        if unit not in _UNITS:
            raise UnknownSQL(f"interval '{text}'")
        return self._keep(float(number) * _UNITS[unit])

    def _parameter(self, name: str | int) -> str:
        return f"c.parameters[{name!r}]"

    def _column(self, alias: str | None, name: str) -> str:
        if alias is None:
            owners = [known for known, columns in self.scope.items() if name in columns]
            if len(owners) != 1:
                raise UnknownSQL(f"column {name} of {owners or list(self.scope)}")
            alias = owners[0]
        if name in UNREAD:
            raise UnknownSQL(f"column {name}, which the abstract database does not keep")
        if name not in self.scope.get(alias, {}):
            raise UnknownSQL(f"column {alias}.{name}")
        return f"r[{alias!r}][{self.scope[alias][name]}]"

    def _and(self, left: Expression, right: Expression) -> str:
        first, second = f"v{next(self._numbers)}", f"v{next(self._numbers)}"
        return (
            f"(False if ({first} := {self.of(left)}) is False or ({second} := {self.of(right)}) is False"
            f" else None if {first} is None or {second} is None else True)"
        )

    def _or(self, left: Expression, right: Expression) -> str:
        first, second = f"v{next(self._numbers)}", f"v{next(self._numbers)}"
        return (
            f"(True if ({first} := {self.of(left)}) is True or ({second} := {self.of(right)}) is True"
            f" else None if {first} is None or {second} is None else False)"
        )

    def _not(self, inner: Expression) -> str:
        return self._strict("not {}", inner)

    def _is_null(self, inner: Expression) -> str:
        return f"({self.of(inner)} is None)"

    def _same(self, left: Expression, right: Expression) -> str:
        return f"({self.of(left)} == {self.of(right)})"

    def _differs(self, left: Expression, right: Expression) -> str:
        return f"({self.of(left)} != {self.of(right)})"

    def _compare(self, sign: str, left: Expression, right: Expression) -> str:
        return self._strict(f"{{}} {_SIGNS[sign]} {{}}", left, right)

    def _any(self, sign: str, left: Expression, values: Expression) -> str:
        if sign != "=":
            raise UnknownSQL(f"{sign} ANY")
        return self._strict("{} in {}", left, values)

    def _in(self, left: Expression, values: Sequence[Expression]) -> str:
        return self._strict("{0} in (" + "".join(f"{{{n}}}, " for n in range(1, len(values) + 1)) + ")", left, *values)

    def _join(self, left: Expression, right: Expression) -> str:
        return self._strict("joined({}, {})", left, right)

    def _sum(self, left: Expression, right: Expression) -> str:
        return self._strict("{} + {}", left, right)

    def _difference(self, left: Expression, right: Expression) -> str:
        return self._strict("{} - {}", left, right)

    def _product(self, left: Expression, right: Expression) -> str:
        return self._strict("{} * {}", left, right)

    def _power(self, left: Expression, right: Expression) -> str:
        return self._strict("{} ** {}", left, right)

    def _cast(self, inner: Expression, kind: str) -> str:
        return self._strict(f"cast({{}}, {kind!r})", inner)

    def _case(self, branches: Sequence[tuple[Expression, Expression]], otherwise: Expression) -> str:
        whole = "".join(f"{self.of(then)} if {self.of(when)} is True else " for when, then in branches)
        return f"({whole}{self.of(otherwise)})"

    def _exists(self, query: Select) -> str:
        return f"bool({self._keep(self.compiler.select(query, self.scope)[1])}(c, r))"

    def _query(self, query: Select) -> str:
        return f"first_of({self._keep(self.compiler.select(query, self.scope)[1])}(c, r))"

    def _call(self, name: str, arguments: Sequence[Expression]) -> str:
        texts = [self.of(argument) for argument in arguments]
        if name == "current_setting":
            return f"c.setting({texts[0]})"
        if name == "set_config":
            return f"c.change_setting({texts[0]}, {texts[1]})"
        if name in _OF_NULLS:
            return f"{name}({', '.join(texts)})"
        if name not in _CALLS:
            raise UnknownSQL(f"function {name}")
        return self._strict(_CALLS[name], *arguments) if arguments else _CALLS[name]


def _sortable(value: Any) -> tuple[bool, Any]:
    return (value is None, value)  # NULLS LAST, as PostgreSQL sorts upwards


def _joined(left: Any, right: Any) -> Any:
    if isinstance(left, Json):
        return to_json({**json.loads(left), **json.loads(right)})  # a literal on the right is of the left's type
    if isinstance(left, tuple):
        return left + right
    return _text(left) + _text(right)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _to_char(instant: datetime, pattern: str) -> str:
    for theirs, ours in (("YYYY", "%Y"), ("MM", "%m"), ("DD", "%d"), ("HH24", "%H"), ("MI", "%M"), ('"', "")):
        pattern = pattern.replace(theirs, ours)
    return instant.strftime(pattern)


def to_json(value: Any) -> Json:
    return Json(json.dumps(value, sort_keys=True))


def _built(*values: Any) -> Json:
    pairs = zip(values[::2], values[1::2], strict=True)
    return to_json({key: json.loads(value) if isinstance(value, Json) else value for key, value in pairs})


def plain(value: Any) -> Any:
    """Parameters as the engine passes them, as values of the abstract database."""
    if isinstance(value, dict):
        return {name: plain(element) for name, element in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(plain(element) for element in value)
    if hasattr(value, "adapted"):  # psycopg2.Binary
        return bytes(value.adapted)
    return value


def cast(value: Any, kind: str) -> Any:
    """`value::kind`. Raises UnknownSQL."""
    if kind.endswith("[]"):
        if isinstance(value, str):
            value = [element for element in value.strip("{}").split(",") if element]
        return tuple(None if element is None else cast(element, kind[:-2]) for element in value)
    if kind not in _CASTS:
        raise UnknownSQL(f"type {kind}")
    return _CASTS[kind](value)


_UNITS = {
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
    "microsecond": timedelta(microseconds=1),
}
_SIGNS = {"=": "==", "<>": "!=", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
_CASTS: dict[str, Callable[[Any], Any]] = {
    "uuid": lambda value: value if isinstance(value, UUID) else UUID(value),
    "int": int,
    "float8": float,
    "text": _text,
    "bool": bool,
    "jsonb": lambda value: value if isinstance(value, Json) else to_json(json.loads(value)),
}
_CALLS = {
    "now": "c.now",
    "clock_timestamp": "c.clock",
    "pg_postmaster_start_time": "POSTMASTER_STARTED",
    "pg_try_advisory_xact_lock_shared": "(not c.is_held({1}))",
    "to_char": "to_char({}, {})",
    "extract_epoch": "seconds_of({})",
}
_OF_NULLS: dict[str, Callable[..., Any]] = {
    "coalesce": lambda *values: next((value for value in values if value is not None), None),
    "greatest": lambda *values: max((value for value in values if value is not None), default=None),
    "least": lambda *values: min((value for value in values if value is not None), default=None),
    "jsonb_build_object": _built,
}
_NAMES: dict[str, Any] = {
    **_OF_NULLS,
    "POSTMASTER_STARTED": POSTMASTER_STARTED,
    "cast": cast,
    "first_of": lambda rows: rows[0][0] if rows else None,
    "joined": _joined,
    "seconds_of": lambda value: value.total_seconds() if isinstance(value, timedelta) else value.timestamp(),
    "to_char": _to_char,
}
