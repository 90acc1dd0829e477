"""Fixtures of the keys' tests: a process on the test's own database, and another secret key for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatchlog.settings import get_settings
from tests.outreach.conftest import application

__all__ = ["application"]  # a fixture
FIRST = "a secret for tests only"
SECOND = "another secret for tests"


@pytest.fixture
def say_secret(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Go on as a process with this secret key and these old ones."""

    def say(secret: str, *old: str) -> None:
        monkeypatch.setenv("DISPATCHLOG_SECRET_KEY", secret)
        monkeypatch.setenv("DISPATCHLOG_OLD_SECRET_KEYS", ",".join(old))
        get_settings.cache_clear()

    return say
