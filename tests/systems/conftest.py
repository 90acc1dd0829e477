"""A worker of the kits system inside the test's own process, and a real mail server beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, connected, database, fetch_dicts
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.sweep import sweep_now
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from tests.scenarios.processes import mailbox


class Desk:
    """One in-process worker and the mail it sent."""

    def __init__(self, runtime: Runtime, mail: Path) -> None:
        self.runtime = runtime
        self.mail = mail

    def drain(self, lane: str) -> None:
        drain(registry.lane(lane), self.runtime)

    def register(self) -> None:
        self.drain("kit_registration")

    def sweep(self) -> None:
        lane = registry.lane("health_information")
        sweep_now(lane, get_waker(), started_by="test")
        self.drain("health_information")

    def rows(self, lane: str) -> list[dict[str, object]]:
        with connected():
            found = fetch_dicts(f"SELECT * FROM {registry.lane(lane).table} ORDER BY seq")
        return [dict(registry.lane(lane).opened(row)) for row in found]


@pytest.fixture(scope="session")
def mail_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    directory = tmp_path_factory.mktemp("mail")
    with mailbox(directory / "box", env={}, log=directory / "log") as port:
        yield port, directory / "box"


@pytest.fixture
def desk(settings_env: Settings, monkeypatch: pytest.MonkeyPatch, mail_server: tuple[int, Path]) -> Iterator[Desk]:
    port, mail = mail_server
    monkeypatch.setenv("DISPATCHLOG_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none")
    monkeypatch.setenv("DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS", "0")
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    registry.forget()
    settings = get_settings()
    configure(settings.database_url, role=settings.application_role, max_connections=60, by_index=True)
    presence = Presence(settings.database_url, role=settings.application_role)
    presence.open()
    yield Desk(Runtime(presence, get_waker(), Breaker(settings.effective_redis_url)), mail)
    presence.close()
    database.close_all()
    for lane in registry.lanes():
        lane.gateway.close()
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    registry.forget()
