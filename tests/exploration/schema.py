"""The abstract database's tables, read from the Peewee models: columns, defaults, keys and checks. Stores no row."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from playhouse.postgres_ext import ArrayField, BinaryJSONField

from dispatchlog.engine.tables import ENGINE_TABLES, Dispatch
from tests.exploration.sql import Expression, UnknownSQL, parse_expression

# Nothing decides by these. Left out, states that differ in nothing else are one; a statement that reads one is refused.
UNREAD = frozenset({"last_error", "updated_at", "created_at", "last_seen_at", "started_at"})
# The log of what happened: written, never read by what is explored. Each row is handed to the explorer instead of stored.
WRITTEN_ONLY = frozenset({"dispatch_transitions", "operator_actions", "dispatch_search"})


@dataclass(frozen=True)
class Table:
    """One table. `key` are the columns that identify a row, `identity` the numbered column where there is one."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    identity: str = ""
    is_lane: bool = False
    defaults: dict[str, Expression] = field(default_factory=dict)
    generated: dict[str, Expression] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    checks: tuple[Expression, ...] = ()
    types: dict[str, str] = field(default_factory=dict)

    @cached_property
    def at(self) -> dict[str, int]:
        """Each column's place in a row."""
        return {name: place for place, name in enumerate(self.columns)}

    @cached_property
    def key_places(self) -> tuple[int, ...]:
        return tuple(self.at[name] for name in self.key)


def tables_of(lane_model: type[Dispatch]) -> dict[str, Table]:
    """The engine's tables and one lane's, by name."""
    tables = [_table(model) for model in ENGINE_TABLES if model._meta.table_name not in WRITTEN_ONLY]
    tables.append(_table(lane_model, is_lane=True))
    return {table.name: table for table in tables}


def _table(model: Any, *, is_lane: bool = False) -> Table:
    meta = model._meta
    defaults: dict[str, Expression] = {}
    generated: dict[str, Expression] = {}
    checks = [_inside(text) for text in _texts(meta.constraints) if text.startswith("CHECK")]
    identity = ""
    for column in meta.sorted_fields:
        if "IDENTITY" in str(column.field_type):
            identity = column.column_name
        for text in _texts(column.constraints):
            if text.startswith("DEFAULT "):
                defaults[column.column_name] = parse_expression(text.removeprefix("DEFAULT "))
            elif text.startswith("GENERATED ALWAYS AS ("):
                generated[column.column_name] = _inside(text.removesuffix(" STORED"))
            elif text.startswith("CHECK"):
                checks.append(_inside(text))
            else:
                raise UnknownSQL(text)
    return Table(
        name=meta.table_name,
        columns=tuple(column.column_name for column in meta.sorted_fields),
        key=_key(meta, identity),
        identity=identity,
        is_lane=is_lane,
        defaults=defaults,
        generated=generated,
        required=tuple(
            column.column_name for column in meta.sorted_fields if not column.null and column.column_name not in UNREAD
        ),
        checks=tuple(checks),
        types={column.column_name: kind for column in meta.sorted_fields if (kind := _type(column))},
    )


def _texts(constraints: Any) -> list[str]:
    return [constraint.sql for constraint in constraints or ()]


def _inside(text: str) -> Expression:
    return parse_expression(text[text.index("(") + 1 : text.rindex(")")])


def _type(column: Any) -> str:
    if isinstance(column, BinaryJSONField):
        return "jsonb"
    return "array" if isinstance(column, ArrayField) else ""


def _key(meta: Any, identity: str) -> tuple[str, ...]:
    """The primary key, or the unique index where the primary key is only a number."""
    names = tuple(column.column_name for column in meta.get_primary_keys())
    if names != (identity,):
        return names
    whole = [index for index in meta.indexes or () if isinstance(index, tuple)]  # a partial one is no key
    return next((tuple(columns) for columns, unique in whole if unique), names)
