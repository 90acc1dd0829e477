"""The tail of a table loses nothing when PostgreSQL goes away in the middle of a look."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from dashboard.sockets.changes import Connection, Reader
from dashboard.sockets.order_topic import OrderChange, OrderTopic
from dashboard.table_tail import Source, TableTail
from dispatchlog.engine.database import configure, database
from dispatchlog.settings import Settings
from tests.sockets.samples import change, change_over

ORDER = UUID("11111111-1111-4111-8111-111111111111")
SOURCE = Source("order_changes", "t.id, t.order_id, t.version, t.payload, t.trace_id", OrderChange)


@pytest.fixture
def url(settings_env: Settings) -> Iterator[str]:
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    yield settings_env.database_url
    database.close_all()


class _Failing:
    """A cursor whose connection is lost before its n-th question."""

    def __init__(self, cursor: Any, at: int) -> None:
        self._cursor, self._left = cursor, at

    def execute(self, *arguments: Any) -> None:
        if self._left == 0:
            raise psycopg2.OperationalError("the connection is lost")
        self._left -= 1
        self._cursor.execute(*arguments)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


def test_a_look_that_fails_at_any_question_is_made_again_and_nothing_is_lost_or_told_twice(url: str) -> None:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        tail = TableTail(SOURCE)
        tail.look(cursor, 100)
        tail.look(cursor, 100)
        version = 0
        for place in range(3):
            told: list[int] = []
            with closing(psycopg2.connect(url)) as slow:
                change_over(slow, ORDER, version + 1)
                change(ORDER, version + 2)
                told += [row.version for row in tail.look(cursor, 100).rows]
                assert not tail.look(cursor, 100).rows
                slow.commit()
            change(ORDER, version + 3)
            with pytest.raises(psycopg2.OperationalError):
                tail.look(_Failing(cursor, place), 100)
            told += [row.version for row in tail.look(cursor, 100).rows]
            assert told == [version + 2, version + 1, version + 3], place
            assert not tail.look(cursor, 100).rows
            version += 3


def test_a_database_that_forgot_what_was_told_makes_everybody_begin_anew(url: str, settings_env: Settings) -> None:
    connection = Connection(settings_env)
    reader = Reader(connection, OrderTopic.source)
    change(ORDER, 1)
    reader.look()
    assert reader.look().everything
    connection.close()
    assert not reader.look().everything
    connection.close()
    reader._tail._last += 1  # as where a failover lost the newest row
    assert reader.look().everything
    change(uuid4(), 1)
    reader.look()
    change(ORDER, 2)
    assert [row.version for row in reader.look().rows] == [2]
    connection.close()
