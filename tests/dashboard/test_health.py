"""What the overview says of the parts that sending needs."""

from __future__ import annotations

import re
import threading

import pytest

from dashboard import create_app
from dashboard.health import BrokerHealth, PatientBroker
from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import Dashboard, make_people
from tests.dashboard.samples import form_in, scheduler_alive, worker_alive


def health(text: str) -> dict[str, str]:
    """The health line: each part with its words."""
    line = text[text.index('class="health"') :]
    return dict(re.findall(r"<strong>([^<]+)</strong> <span>([^<]+)</span>", line[: line.index("</ul>")]))


def test_a_scheduler_is_not_a_worker(dash: Dashboard) -> None:
    with connected():
        scheduler_alive()
    text = dash.as_("viewer").get("/").text
    assert health(text) == {
        "Database": "answers",
        "Broker": "answers",
        "Workers": "none running",
        "Scheduler": "running",
    }
    assert "No worker is running" in text


def test_nothing_missing_is_said_in_one_line(dash: Dashboard) -> None:
    with connected():
        scheduler_alive()
        worker_alive(1, "worker-a")
        worker_alive(2, "worker-b")
    text = dash.as_("viewer").get("/").text
    assert health(text)["Workers"] == "2 on 2 machines"
    assert 'role="alert"' not in text
    assert "Everything that is due is on its way." in text


def every_lane_but(*names: str) -> list[str]:
    return [lane.name for lane in registry.lanes() if lane.name not in names]


def test_a_lane_that_no_worker_works_on_is_named_though_others_have_one(dash: Dashboard) -> None:
    with connected():
        scheduler_alive()
        worker_alive(1, lanes=every_lane_but("kit_registration", "health_information"))
    viewer = dash.as_("viewer")
    text = viewer.get("/").text
    assert health(text)["Workers"] == "1 on 1 machine, none for Kit registrations, Health-information forms"
    assert "No worker is running for Kit registrations, Health-information forms" in text
    cards = re.findall(r'aria-labelledby="lane-(\w+)".*?</section>', text, re.DOTALL)
    lanes = re.findall(r'aria-labelledby="lane-(\w+)">(?:(?!</section>).)*?No worker for this lane', text, re.DOTALL)
    assert (cards, lanes) == (
        [lane.name for lane in registry.lanes()],
        ["kit_registration", "health_information"],
    )
    page = f"/dispatches/health_information/{form_in('FAILED')['id']}"
    assert "No worker" not in viewer.get(page).text
    page = f"/dispatches/health_information/{form_in('PENDING', number='VO-2')['id']}"
    assert "No worker of lane Health-information forms is running, so nothing leaves." in viewer.get(page).text
    with connected():
        worker_alive(2, lanes=["kit_registration", "health_information"])
    assert health(viewer.get("/").text)["Workers"] == "2 on 1 machine"
    assert "No worker" not in viewer.get(page).text


def test_a_standing_alert_of_a_lane_does_not_hide_that_no_worker_is_left(dash: Dashboard) -> None:
    said = '<p class="banner tone-bad" role="alert">'
    with connected():
        scheduler_alive()
        worker_alive(1, lanes=every_lane_but("hl7"))
    viewer = dash.as_("viewer")
    assert said in viewer.get("/").text
    with transaction("test"):
        execute("INSERT INTO dispatch_alerts (kind, subject, summary) VALUES ('no_worker', 'hl7', 'None for it.')")
    assert said not in viewer.get("/").text
    with transaction("test"):
        execute("UPDATE dispatch_workers SET stopped_at = now() WHERE kind = 'worker'")
    assert said in viewer.get("/").text


def test_a_form_that_waits_for_a_sweep_says_that_no_scheduler_runs(dash: Dashboard) -> None:
    row = form_in("PENDING")
    viewer = dash.as_("viewer")
    path = f"/dispatches/health_information/{row['id']}"
    assert "No scheduler is running" in viewer.get(path).text
    with connected():
        scheduler_alive()
    assert "No scheduler is running" not in viewer.get(path).text


def test_a_broker_that_is_down_is_shown_and_stops_no_page(settings_env: Settings, cheap_passwords: None) -> None:
    forget_process_state()
    app = create_app(settings_env.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    make_people()
    text = Dashboard(app).as_("viewer").get("/").text
    assert health(text)["Broker"] == "does not answer"
    assert "Nothing is lost" in text
    assert "Provider state unknown" in text


def test_nobody_waits_for_a_broker_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.health.PATIENCE_SECONDS", 0.25)
    asked, released = [], threading.Event()

    def ask() -> BrokerHealth:
        asked.append(1)
        released.wait()
        return BrokerHealth(answers=True)

    broker = PatientBroker(ask)
    try:
        assert not broker.health().answers
        assert not broker.health().answers
        assert not released.is_set()
        assert asked == [1]
    finally:
        released.set()


def test_a_broker_that_is_back_is_seen_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.health.SILENCE_SECONDS", 0.0)
    answers = iter((BrokerHealth(answers=False), BrokerHealth(answers=True)))
    broker = PatientBroker(lambda: next(answers))
    assert [broker.health().answers, broker.health().answers] == [False, True]
