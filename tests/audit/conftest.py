"""Fixtures of the chain's tests: the process's pool as the application, and an owner who tampers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from dispatchlog.audit import sealing
from dispatchlog.audit.horizon import Horizon
from dispatchlog.audit.sealing import seal_all
from dispatchlog.audit.verifying import Report, verify
from dispatchlog.engine.database import configure, database
from dispatchlog.settings import Settings

WHO = "tests"
BATCH = 10
MOVE = (
    "INSERT INTO dispatch_transitions (lane, dispatch_id, from_status, to_status, actor, reason, database_user)"
    " VALUES ('parcel', %s, 'PENDING', 'QUEUED', %s, 'täglich', 'tests')"
)


@dataclass
class Owner:
    """The owner of the tables, who can do anything to them."""

    url: str

    def run(self, sql: str, values: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
        with closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def tamper(self, table: str, sql: str, values: tuple[Any, ...] | None = None) -> None:
        """Past the trigger that keeps rows; it is put back, as somebody would who hides what they did."""
        off = f"ALTER TABLE {table} DISABLE TRIGGER keep_rows"
        on = f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER keep_rows"
        with closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            cursor.execute(off)
            cursor.execute(sql, values)
            cursor.execute(on)

    def write_moves(self, number: int, *, actor: str = "ann") -> None:
        with closing(psycopg2.connect(self.url)) as connection, connection, connection.cursor() as cursor:
            for _ in range(number):
                cursor.execute(MOVE, (str(uuid4()), actor))


def seal() -> int:
    return seal_all(Horizon(), who=WHO)


def check(**how: Any) -> Report:
    return verify(who=WHO, **how)


def codes(report: Report) -> list[tuple[str, int]]:
    return [(finding.code, finding.number) for finding in report.findings]


@pytest.fixture
def owner(database_url: str, settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Owner]:
    """A migrated database whose chain has small batches; the pool works as the application."""
    monkeypatch.setattr(sealing, "BATCH_ROWS", BATCH)
    configure(database_url, role=settings_env.application_role, name="test", max_connections=8)
    yield Owner(database_url)
    if not database.is_closed():
        database.close()
    database.close_all()


@pytest.fixture
def chained(owner: Owner) -> Owner:
    """35 moves and a few actions, sealed: seals of 10, 10, 10 and 5 moves, and one of 3 actions."""
    owner.write_moves(35)
    for action in ("retry", "cancel", "reveal"):
        owner.run("INSERT INTO operator_actions (actor, action) VALUES ('ann', %s)", (action,))
    assert seal() == 38
    return owner
