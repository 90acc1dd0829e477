"""The page of alerts: what is now, what was, who is told and from when on, without anybody's address."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboard import create_app
from dispatchlog.engine.database import database, execute, transaction
from dispatchlog.settings import Settings
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import Dashboard, make_people


def alert(kind: str, subject: str, summary: str, *, over: bool = False) -> None:
    with transaction("test"):
        execute(
            "INSERT INTO dispatch_alerts (kind, subject, summary, over_at) VALUES (%s, %s, %s,"
            " CASE WHEN %s THEN now() END)",
            (kind, subject, summary, over),
        )


def test_nothing_wrong_is_said(dash: Dashboard) -> None:
    text = dash.as_("viewer").get("/alerts").text
    assert "Nothing is wrong as far as the program can see." in text
    assert "There was none yet." in text
    assert "Nobody is told of them" in text


def test_present_and_past_alerts_are_apart(dash: Dashboard) -> None:
    alert("in_doubt", "health_information", "Forms: 3 in doubt.")
    alert("no_worker", "", "No worker is running.", over=True)
    text = dash.as_("viewer").get("/alerts").text
    now, _, past = text.partition("Earlier alerts")
    assert "Forms: 3 in doubt." in now
    assert "Find out for each whether it arrived" in now
    assert "/lanes/health_information" in now
    assert "No worker is running." not in now
    assert "No worker is running." in past


def test_an_alert_of_a_lane_that_is_gone_and_of_an_unknown_kind_is_shown_all_the_same(dash: Dashboard) -> None:
    alert("something_new", "a_lane_that_is_gone", "<b>odd</b>")
    text = dash.as_("viewer").get("/alerts").text
    assert "&lt;b&gt;odd&lt;/b&gt;" in text


def test_earlier_alerts_are_paged_without_loss(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.alerts.PAST_ROWS", 2)
    for number in range(5):
        alert("in_doubt", f"lane {number}", f"alert number {number}.", over=True)
    viewer, path, found = dash.as_("viewer"), "/alerts", []
    while path:
        text = viewer.get(path).text
        found += [number for number in (4, 3, 2, 1, 0) if f"alert number {number}." in text]
        path = text.partition('class="button small" href="')[2].partition('"')[0] if 'rel="next"' in text else ""
    assert found == [4, 3, 2, 1, 0]


def test_receivers_are_masked_and_thresholds_in_words(
    settings_env: Settings, cheap_passwords: None, tmp_path: Path
) -> None:
    forget_process_state()
    changes = {
        "alert_mail_to": "on-call@example.org",
        "alert_webhook_url": "https://hooks.example.org/secret-path",
        "alert_in_doubt": 0,
    }
    app = create_app(settings_env.model_copy(update=changes))
    make_people()
    text = Dashboard(app).as_("viewer").get("/alerts").text
    assert "o•••@example.org, the webhook are told once" in text
    assert "on-call" not in text
    assert "secret-path" not in text
    assert "due for 15 min" in text
    assert "turned off" in text
    database.close_all()
    forget_process_state()
