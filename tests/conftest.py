"""Owns the fixtures every test may use: real databases, a real broker and settings that point at them. No mocks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import ExitStack

import hypothesis
import pytest
import redis
import structlog

from dispatchlog.settings import Settings, get_settings
from tests.servers import VALKEY_DATABASES, Servers, fresh_database, started_servers

_SERVERS = pytest.StashKey[Servers]()
_RUN = pytest.StashKey[ExitStack]()
_VALKEY_DATABASES_PER_WORKER = 32
_numbers = itertools.count()


def pytest_configure(config: pytest.Config) -> None:
    # On a busy machine an example may take any time; how long things take is measured by benchmarks.
    hypothesis.settings.register_profile(
        "tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("tests")
    config.stash[_RUN] = ExitStack()
    given = getattr(config, "workerinput", {}).get("servers")
    if given:
        config.stash[_SERVERS] = Servers.from_json(given)


def pytest_unconfigure(config: pytest.Config) -> None:
    if _RUN in config.stash:
        config.stash[_RUN].close()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: object) -> None:
    """Under pytest-xdist the controller owns the servers; this runs in it, once for each worker it starts."""
    node.workerinput["servers"] = _servers(node.config).to_json()  # type: ignore[attr-defined]


def _servers(config: pytest.Config) -> Servers:
    """The run's servers, started by the first to ask: a test that needs none does not wait for them."""
    if _SERVERS not in config.stash:
        config.stash[_SERVERS] = config.stash[_RUN].enter_context(started_servers())
    return config.stash[_SERVERS]


@pytest.fixture(autouse=True)
def plain_tracebacks() -> Iterator[None]:
    """Drawing a framed traceback takes a second, and on a busy machine many. A command's way to log ends with its test."""
    before = structlog.get_config()
    processors = before["processors"]
    kept = list(processors)
    # In place, for a logger that was used already keeps the list that it knew.
    processors[:] = [
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback),
    ]
    yield
    structlog.configure(**before)
    processors[:] = kept


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Servers:
    """The PostgreSQL and the Valkey of this run."""
    return _servers(request.config)


@pytest.fixture
def database_url(servers: Servers) -> Iterator[str]:
    """A migrated database of the test's own, as its owner."""
    with fresh_database(servers, _database_name(), migrated=True) as url:
        yield url


@pytest.fixture
def empty_database_url(servers: Servers) -> Iterator[str]:
    """A database of the test's own without a single table."""
    with fresh_database(servers, _database_name(), migrated=False) as url:
        yield url


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """An empty Valkey database that no other worker uses, and for a while no later test of this worker."""
    first = 1 + _worker_number() * _VALKEY_DATABASES_PER_WORKER
    url = servers.redis_url(first + next(_numbers) % _VALKEY_DATABASES_PER_WORKER)
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def settings_env(monkeypatch: pytest.MonkeyPatch, database_url: str, redis_url: str) -> Iterator[Settings]:
    """Settings read from an environment that points at this test's database and broker."""
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("DISPATCHLOG_SECRET_KEY", "a secret for tests only")
    get_settings.cache_clear()
    yield get_settings()
    get_settings.cache_clear()


def _database_name() -> str:
    return f"test_{os.environ.get('PYTEST_XDIST_WORKER', 'main')}_{os.getpid()}_{next(_numbers)}"


def _worker_number() -> int:
    number = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return number % ((VALKEY_DATABASES - 1) // _VALKEY_DATABASES_PER_WORKER)
