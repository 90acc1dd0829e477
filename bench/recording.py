"""Records what the engine says to PostgreSQL for one batch and writes it as a pgbench script. Measures nothing.

The script follows the engine by itself: when a statement of the engine changes, the ceiling it is held against changes too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg2.extensions

from bench.lane import NAME, Setup, bench_lane
from bench.processes import MeasuringFailed
from dispatchlog.broker import make_broker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.delivery import deliver_batch
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.keys.ring import rings
from dispatchlog.settings import get_settings

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?s|%%")
_UUID = re.compile(r"'([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})'")
_TOKEN = "00000000-0000-4000-8000-:token"  # noqa: S105  pgbench puts twelve random digits in for :token


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as the driver was given it; `rowcount` is what came of it."""

    sql: str
    params: Any
    rowcount: int


_recorded: list[Statement] = []


class _Recorder(psycopg2.extensions.cursor):
    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  the driver's own name
        super().execute(query, vars)
        sql = query.decode() if isinstance(query, bytes) else str(query)
        _recorded.append(Statement(sql, vars, self.rowcount))


def record_batch(url: str, redis_url: str, *, batch: int) -> list[Statement]:
    """Everything the engine executes to deliver one full batch, BEGIN and COMMIT included, in order.

    Raises:
        MeasuringFailed: the batch was not delivered whole.
    """
    role = get_settings().application_role
    configure(url, role=role, name="bench recording", by_index=True)
    database.connect_params["cursor_factory"] = _Recorder
    presence = Presence(url, role=role)
    presence.open()
    try:
        runtime = Runtime(presence, Waker(make_broker(redis_url), redis_url), Breaker(redis_url))
        with database.connection_context():
            rings.current()  # a batch of a process that has the data keys
            _recorded.clear()
            delivered = deliver_batch(bench_lane(Setup(batch=batch, slots=1, threads=1)), runtime)
            statements = list(_recorded)
    finally:
        presence.close()
        database.close_all()
    if (delivered.claimed, delivered.sent) != (batch, batch):
        raise MeasuringFailed(f"a batch of {batch} was to be recorded; claimed and sent: {delivered}")
    return statements


def script(statements: Sequence[Statement], *, batch: int) -> str:
    """The pgbench script that says the same. Each run of it makes its own token, and its claim yields the ids.

    Raises:
        MeasuringFailed: no statement among them claims `batch` rows.
    """
    lines = [r"\set token random(100000000000, 999999999999)"]
    token = ids = ""
    for statement in statements:
        sql = _render(statement)
        if not ids and _claims(statement, batch=batch):
            token = _UUID.findall(sql)[0]
            ids = "pending"
            sql = f"WITH taken AS ({sql}) SELECT array_agg(id) AS ids FROM taken"
            lines.append(sql + r" \gset")
            continue
        lines.append(sql + ";")
    if not ids:
        raise MeasuringFailed("no statement of the recorded batch claims rows; the engine claims in another way now")
    text = "\n".join(_with_ids(line, batch=batch) for line in lines).replace(token, _TOKEN)
    if ":ids" not in text:
        raise MeasuringFailed(f"the recorded statements of {NAME} name no claimed rows")
    return text + "\n"


def _claims(statement: Statement, *, batch: int) -> bool:
    return "SKIP LOCKED" in statement.sql and statement.rowcount == batch


def _with_ids(sql: str, *, batch: int) -> str:
    """The literal array of the batch's ids, wherever it stands, becomes the claim's own."""
    return re.sub(rf"'\{{[0-9a-f-]{{36}}(?:,[0-9a-f-]{{36}}){{{batch - 1}}}\}}'", "':ids'", sql)


def _render(statement: Statement) -> str:
    sql = statement.sql.strip()
    if not statement.params:
        return sql
    given: Iterator[Any] = iter(statement.params if not isinstance(statement.params, dict) else ())

    def value(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        return _literal(statement.params[match[1]] if match[1] else next(given))

    return _PLACEHOLDER.sub(value, sql)


def _literal(value: Any) -> str:
    """The shortest way to say it: one string for a whole array, so that the ceiling is as high as it can be."""
    if isinstance(value, (list, tuple)):
        return _quoted("{" + ",".join(map(_element, value)) + "}")
    if isinstance(value, (str, UUID)):
        return _quoted(str(value))
    if value is None:
        return "NULL"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _element(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
