"""An error of PostgreSQL quotes the row it is about; no log of ours does."""

from __future__ import annotations

import logging

import peewee
import pytest
import structlog

from dashboard.access import PUBLIC, needs
from dispatchlog.engine.database import connected, execute
from dispatchlog.logs import configure_logs
from tests.dashboard.browsing import Dashboard

CANARY = "ada.lovelace@example.org"


@needs(PUBLIC)
def break_a_row() -> str:
    """What a defect of ours would look like: a row that PostgreSQL refuses, with a recipient in it."""
    with connected():
        execute(
            "INSERT INTO operator_actions (actor, action, at, reason) VALUES ('x', 'x', NULL, %s)", (f"to\n{CANARY}",)
        )
    return "not reached"


def test_the_dashboards_log_has_the_place_and_the_rule_but_not_the_row(
    dash: Dashboard, caplog: pytest.LogCaptureFixture
) -> None:
    dash.app._got_first_request = False
    dash.app.add_url_rule("/broken", "broken", break_a_row)
    answer = dash.visitor().get("/broken")
    assert answer.status_code == 500
    assert CANARY not in answer.text
    assert "violates not-null constraint" in caplog.text
    assert "in break_a_row" in caplog.text
    assert CANARY not in caplog.text


def test_neither_has_that_of_the_other_processes(
    dash: Dashboard, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    configure_logs()
    try:
        with pytest.raises(peewee.IntegrityError, match=CANARY):  # else there would be nothing to leave out
            break_a_row()
        try:
            break_a_row()
        except peewee.IntegrityError:
            structlog.get_logger("test").exception("BROKEN")
    finally:
        structlog.reset_defaults()
    told = capsys.readouterr().err
    assert "violates not-null constraint" in told
    assert "in break_a_row" in told
    assert CANARY not in told
