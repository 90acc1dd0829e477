"""The stage of a scenario on the run's servers; scenarios that kill a server start one of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenarios.faults.stage import Stage


@pytest.fixture
def stage(tmp_path: Path, database_url: str, redis_url: str) -> Iterator[Stage]:
    """Provider and proxy run, no worker yet, and connections to the proxy are still refused."""
    stage = Stage(tmp_path, database_url, redis_url)
    try:
        stage.start(listening=False)
        yield stage
    finally:
        stage.stop()
