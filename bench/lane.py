"""Owns the throw-away lane that is measured: its table, its gateway that accepts all, its rows. Measures nothing."""

from __future__ import annotations

from typing import Any

from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.tables import Dispatch
from dispatchlog.gateways.fake import NullGateway

NAME = TABLE = "bench_null"

CREATE = (
    f"CREATE TABLE {TABLE} (LIKE dispatch_template INCLUDING ALL)",
    f"SELECT dispatchlog_install_lane('{TABLE}', '{NAME}')",
)

# Due one after the other, all of them already; ids begin with the time, as those of the product do.
FILL = (
    f"INSERT INTO {TABLE} (id, due_at) SELECT uuidv7(), now() - (%(rows)s - n) * interval '1 ms'"
    " FROM generate_series(1, %(rows)s) n"
)

_LETTER = Letter("nobody", b"{}")


class BenchNull(Dispatch):
    """The lane's table; its columns are those that every lane has."""

    class Meta:
        table_name = TABLE


def bench_lane(*, batch: int, slots: int) -> Lane:
    """The lane: nothing is composed and nothing is sent, so what is left is the engine."""
    return Lane(
        name=NAME,
        title="Benchmark",
        model=BenchNull,
        build_gateway=_build_gateway,
        compose=_compose,
        batch=batch,
        slots=slots,
        body_on_row=True,
    )


def _build_gateway() -> Any:
    return NullGateway()


def _compose(_row: Row) -> Letter:
    return _LETTER
