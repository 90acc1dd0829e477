"""A PostgreSQL that answers nothing any more holds no request up for ever."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
from psycopg2 import extensions

from dashboard.patience import bound_waits

SECONDS = 0.3


@pytest.fixture
def bounded(request: pytest.FixtureRequest) -> Iterator[None]:
    if "database_url" in request.fixturenames:
        request.getfixturevalue("database_url")  # which is taken away when waits are bounded no more
    bound_waits(60)
    yield
    extensions.set_wait_callback(None)


@pytest.mark.usefixtures("bounded")
def test_a_statement_without_an_answer_is_given_up_with_its_connection(database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)
        bound_waits(SECONDS)
        with pytest.raises(psycopg2.OperationalError, match="has not answered"):
            cursor.execute("SELECT pg_sleep(60)")
        assert connection.closed


@pytest.mark.usefixtures("bounded")
@pytest.mark.timeout(20)
def test_a_server_that_takes_the_connection_and_says_nothing_is_given_up() -> None:
    bound_waits(SECONDS)
    with closing(socket.create_server(("127.0.0.1", 0))) as frozen:
        host, port = frozen.getsockname()
        with pytest.raises(psycopg2.OperationalError):
            psycopg2.connect(host=host, port=port, user="x", dbname="x", sslmode="disable")
