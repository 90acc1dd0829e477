"""Fixtures of the engine's tests: the parcel lane's table, and a worker process's runtime in this process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest

from dispatchlog.broker import make_broker
from dispatchlog.engine import delivery
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.settings import Settings
from tests.ports import free_port

from .lane import APPLICATION_ROLE, install


@pytest.fixture(autouse=True)
def drains_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a drain gets done in its second depends on the machine."""
    monkeypatch.setattr(delivery, "DRAIN_SECONDS", 30.0)


@pytest.fixture
def a_second(monkeypatch: pytest.MonkeyPatch, drains_to_the_end: None) -> None:
    """A drain lasts as long as it does in the product."""
    monkeypatch.setattr(delivery, "DRAIN_SECONDS", 1.0)


@pytest.fixture
def parcels_url(database_url: str, settings_env: Settings) -> Iterator[str]:
    """A database with the parcel lane's table; the process's pool is a worker's pool on it."""
    install(database_url)
    configure(
        database_url,
        role=APPLICATION_ROLE,
        name="test",
        max_connections=24,
        statement_timeout_ms=15_000,  # what waits for a lock that never comes fails, instead of hanging the run
        by_index=True,
    )
    yield database_url
    if not database.is_closed():
        database.close()
    database.close_all()


@pytest.fixture
def waker(redis_url: str) -> Iterator[Waker]:
    broker = make_broker(redis_url)
    yield Waker(broker, redis_url)
    broker.close()


@pytest.fixture
def presence(parcels_url: str) -> Iterator[Presence]:
    """This process, as a worker."""
    here = Presence(parcels_url, role=APPLICATION_ROLE)
    here.open()
    yield here
    here.close()


@pytest.fixture
def runtime(presence: Presence, waker: Waker, redis_url: str) -> Runtime:
    return Runtime(presence, waker, Breaker(redis_url))


@pytest.fixture
def connections(parcels_url: str) -> Iterator[Any]:
    """Makes further connections of the application, outside the pool and in transactions, closed at the end."""
    with contextlib.ExitStack() as stack:

        def connect() -> Any:
            return stack.enter_context(closing(psycopg2.connect(parcels_url, options=f"-c role={APPLICATION_ROLE}")))

        yield connect


@pytest.fixture
def unused_tcp_port() -> int:
    """A port on which nobody listens."""
    return free_port()
