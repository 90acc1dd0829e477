"""Owns the dashboard under test: the real application on the test's own PostgreSQL and Valkey."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from playwright.sync_api import Browser, expect, sync_playwright
from werkzeug.routing import Rule

from dashboard import create_app
from dispatchlog import people
from dispatchlog.engine.database import database
from dispatchlog.settings import Settings
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import PATIENCE_MS, Dashboard, make_people

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class CompiledOnce(BytecodeCache):
    """Templates' code, kept for the application that the next test makes; jinja compares it with the source."""

    def __init__(self) -> None:
        self._code: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._code:
            bucket.bytecode_from_string(self._code[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key] = bucket.bytecode_to_string()


@pytest.fixture(scope="session", autouse=True)
def compiled_templates() -> Iterator[None]:
    """Every test makes an application of its own; compiling its templates anew took half of a test's time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {**Flask.jinja_options, "bytecode_cache": CompiledOnce()})
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_addresses() -> Iterator[None]:
    """The functions that build addresses, too: making them anew for each application took most of making that."""
    made: dict[tuple[Any, ...], Any] = {}
    compile_builder = Rule._compile_builder

    def compile_once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, tuple(rule._trace), repr(rule.defaults), append_unknown)
        if key not in made:
            made[key] = compile_builder(rule, append_unknown)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_once)
        yield


@pytest.fixture(autouse=True)
def patient_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers that are there are not taken for silent, nor processes for dead, because the machine is busy."""
    monkeypatch.setattr("dashboard.connection.STATEMENT_TIMEOUT_MS", 60_000)
    monkeypatch.setattr("dashboard.health.PATIENCE_SECONDS", 10.0)
    monkeypatch.setattr("dashboard.health.ALIVE_SECONDS", 600)


@pytest.fixture(scope="package")
def one_chromium(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """A real Chromium for all browser tests of a package; imported by its conftest, else it would stay to the end."""
    assert isinstance(request.node, pytest.Package)
    if not CHROMIUM.exists():
        pytest.fail("Chromium is missing; install it with: apt-get install -y chromium", pytrace=False)
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


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
