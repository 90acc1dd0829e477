"""The API does what its description says, whatever it is sent: a short, seeded run against a real server."""

from __future__ import annotations

import pytest

from dashboard.api import ROUTES
from tests.security.fuzzing import SCHEMATHESIS, fuzz, fuzzed_server


def test_the_api_answers_as_its_description_says(database_url: str, redis_url: str) -> None:
    if not SCHEMATHESIS.exists():
        pytest.fail("Schemathesis is missing; install it with: make sast", pytrace=False)
    with fuzzed_server(database_url, redis_url) as target:
        run = fuzz(target, examples=1, seed=1, more=("--phases=examples,coverage,fuzzing",))
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr
    assert f"Tested: {len(ROUTES)}" in run.stdout
    assert "Authentication failed" not in run.stdout
