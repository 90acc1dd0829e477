"""A process is warm before its first visitor comes, and starts all the same where PostgreSQL is away."""

from __future__ import annotations

from unittest import mock

import pytest
from jinja2 import Environment

from dashboard import warming
from dispatchlog.engine.database import configure, database
from tests.dashboard.browsing import Dashboard


def test_no_template_is_compiled_for_a_visitor_of_a_warm_process(dash: Dashboard) -> None:
    warming.warm(dash.app)
    with mock.patch.object(Environment, "compile", side_effect=AssertionError("compiled for a visitor")):
        visitor = dash.as_("admin")
        for address in ("/", "/dispatches", "/in-doubt", "/incidents", "/upcoming", "/audit", "/people", "/help"):
            assert visitor.get(address).status_code == 200


def test_a_warm_process_has_its_connections(dash: Dashboard) -> None:
    database.close_all()
    warming.warm(dash.app)
    assert len(database._connections) >= warming.CONNECTIONS
    assert not database._in_use


def test_without_postgresql_a_process_starts_all_the_same(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("postgresql://nobody@127.0.0.1:1/none", role="", name="test")
    monkeypatch.setattr(warming, "PATIENCE_SECONDS", 0.1)
    warming.warm(dash.app)
