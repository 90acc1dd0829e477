"""Owns a throw-away lane, `parcel`, so that nothing the engine promises is promised for one system only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import psycopg2
from peewee import TextField

from dispatchlog.engine import ledger
from dispatchlog.engine.content import opened
from dispatchlog.engine.database import connect_arguments, connected, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.tables import Dispatch, lane_table
from dispatchlog.row_content import PAYLOADS

APPLICATION_ROLE = "dispatchlog_app"
INSTALL = """
CREATE TABLE parcels (LIKE dispatch_template INCLUDING ALL, body_text text);
SELECT dispatchlog_install_lane('parcels', 'parcel');
"""


@lane_table
class ParcelDispatch(Dispatch):
    """A parcel: nothing but a body."""

    body_text = TextField(null=True)

    class Meta:
        table_name = "parcels"


def compose(row: Row) -> Letter:
    return Letter("someone@example.org", str(row["body_text"]).encode(), "text/plain", {"x-parcel": "yes"})


def parcel_lane(gateway: Gateway, **options: Any) -> Lane:
    """A lane over `parcels` that retries at once and without jitter, unless told otherwise."""
    settings: dict[str, Any] = {
        "name": "parcel",
        "title": "Parcels",
        "model": ParcelDispatch,
        "build_gateway": lambda: gateway,
        "compose": compose,
        "retry": RetryPolicy(max_attempts=3, first_delay_seconds=60, jitter=0),
        "slots": 2,
    }
    return Lane(**{**settings, **options})


def install(database_url: str) -> None:
    """Make the lane's table as the owner does."""
    with owner(database_url) as cursor:
        cursor.execute(INSTALL)


@contextmanager
def owner(database_url: str) -> Iterator[Any]:
    """A cursor of the tables' owner, in autocommit."""
    with closing(psycopg2.connect(database_url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


@contextmanager
def application(database_url: str) -> Iterator[Any]:
    """A cursor of the application's role, in autocommit: raw SQL, past every rule that Python keeps."""
    with closing(psycopg2.connect(database_url, **connect_arguments(APPLICATION_ROLE, name="test"))) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield cursor


def enqueue(lane: Lane, count: int = 1, **columns: Any) -> list[UUID]:
    """Put dispatches in; they are due at once unless `columns` says otherwise."""
    with transaction("test"):
        return ledger.enqueue(lane, [{"body_text": f"parcel {number}", **columns} for number in range(count)])


def read(lane: Lane, dispatch_id: UUID) -> dict[str, Any]:
    with connected():
        return fetch_dicts(f"SELECT * FROM {lane.table} WHERE id = %s", (dispatch_id,))[0]


def statuses(lane: Lane) -> list[str]:
    with connected():
        return [row[0] for row in fetch_all(f"SELECT status FROM {lane.table} ORDER BY seq")]


def change(lane: Lane, dispatch_id: UUID, **columns: Any) -> None:
    """Set columns by hand, each to an SQL expression: how tests let time pass."""
    assignments = ", ".join(f"{name} = {expression}" for name, expression in columns.items())
    with transaction("test"):
        fetch_all(f"UPDATE {lane.table} SET {assignments} WHERE id = %s RETURNING id", (dispatch_id,))


def make_due(lane: Lane, dispatch_id: UUID) -> None:
    change(lane, dispatch_id, due_at="now() - interval '1 s'")


def moves(dispatch_id: UUID) -> list[tuple[str | None, str]]:
    return [(step["from_status"], step["to_status"]) for step in history(dispatch_id)]


def history(dispatch_id: UUID) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id", (dispatch_id,))


def attempts(dispatch_id: UUID) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM dispatch_attempts WHERE dispatch_id = %s ORDER BY id", (dispatch_id,))


def payloads(dispatch_id: UUID) -> list[dict[str, Any]]:
    with connected():
        found = fetch_dicts(
            "SELECT * FROM dispatch_payloads WHERE dispatch_id = %s ORDER BY generation", (dispatch_id,)
        )
    return [_opened(row) for row in found]


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    recipient, headers, body = opened(row, PAYLOADS) or (row["recipient"], row["headers"], None)
    return {**row, "recipient": recipient, "headers": headers, "body": body}


def column(rows: Sequence[Mapping[str, Any]], name: str) -> list[Any]:
    return [row[name] for row in rows]
