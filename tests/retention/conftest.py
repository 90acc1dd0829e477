"""The process as the tables' owner, and what two patients share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatchlog.engine.database import configure, connected, database
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from tests.retention.neighbours import Neighbour, Shared, make, make_shared


@pytest.fixture
def seal_content(request: pytest.FixtureRequest, settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are made as this release writes them, or with the parameter "0" as older ones did."""
    monkeypatch.setenv("DISPATCHLOG_SEAL_CONTENT", getattr(request, "param", "1"))
    get_settings.cache_clear()


@pytest.fixture
def shared(settings_env: Settings, seal_content: None) -> Iterator[Shared]:
    """The process as the tables' owner."""
    registry.forget()
    configure(settings_env.database_url, role="", name="test owner")
    with connected():
        yield make_shared()
    database.close_all()
    registry.forget()


@pytest.fixture
def two(shared: Shared) -> tuple[Neighbour, Neighbour]:
    return make("Wrenfield", "+12025550123", shared), make("Larkspur", "+12025550177", shared)
