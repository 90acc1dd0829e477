"""The database of the events' tests, and what codes and messages were asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.database import configure, database
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import codes, couriers, messages
from tests.systems.courier_events.samples import COURIER, SomeCourier


@dataclass
class Asked:
    """Which dispatches were given a code, and which were told of, at what status."""

    codes: list[Any] = field(default_factory=list)
    updates: list[tuple[Any, str]] = field(default_factory=list)

    def listen(self, monkeypatch: pytest.MonkeyPatch, *, really: bool) -> None:
        """Note what is asked for; and have it done, unless thousands of orders would make that a test of its own."""
        issue, enqueue = codes.issue_code, messages.enqueue_updates

        def issue_code(dispatch: Any) -> None:
            self.codes.append(dispatch["id"])
            _if(really, lambda: issue(dispatch))

        def enqueue_updates(dispatch: Any, status: Any) -> None:
            self.updates.append((dispatch["id"], str(status)))
            _if(really, lambda: enqueue(dispatch, status))

        monkeypatch.setattr(codes, "issue_code", issue_code)
        monkeypatch.setattr(messages, "enqueue_updates", enqueue_updates)


def _if(wanted: bool, do: Callable[[], None]) -> None:
    if wanted:
        do()


@pytest.fixture
def events_database(settings_env: Settings) -> Iterator[Settings]:
    for cache in (get_broker, get_waker):
        cache.cache_clear()
    registry.forget()
    configure(settings_env.database_url, role=settings_env.application_role, name="test", max_connections=30)
    yield settings_env
    if not database.is_closed():
        database.close()
    database.close_all()
    registry.forget()


@pytest.fixture
def asked(events_database: Settings, monkeypatch: pytest.MonkeyPatch) -> Asked:
    found = Asked()
    found.listen(monkeypatch, really=True)
    return found


@pytest.fixture
def many(events_database: Settings, monkeypatch: pytest.MonkeyPatch) -> Asked:
    """For tests of hundreds of orders: messages are noted, not written."""
    found = Asked()
    found.listen(monkeypatch, really=False)
    return found


@pytest.fixture
def courier(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> SomeCourier:
    found = SomeCourier()
    monkeypatch.setattr(couriers, "couriers", lambda: {COURIER: found})
    return found
