"""Owns the dashboard under test: the real application on the test's own PostgreSQL and Valkey."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dashboard import create_app
from dispatchlog import people
from dispatchlog.engine.database import database
from dispatchlog.settings import Settings
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import Dashboard, make_people


@pytest.fixture
def cheap_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 with the least cost it accepts: dozens of sign-ins would otherwise take most of the run."""
    from argon2 import PasswordHasher

    monkeypatch.setattr(people, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture
def dash(settings_env: Settings, cheap_passwords: None) -> Iterator[Dashboard]:
    """The dashboard, with one account per role."""
    forget_process_state()
    app = create_app(settings_env)
    make_people()
    yield Dashboard(app)
    database.close_all()
    forget_process_state()
