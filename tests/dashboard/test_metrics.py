"""The metrics, read with Prometheus' own parser: their values, who may ask, and that counters only grow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from dashboard import create_app, metrics
from dispatchlog.engine import holds
from dispatchlog.engine.database import configure, connected, database, fetch_one
from dispatchlog.engine.move_counts import count_moves, keep_all_counts, keep_counts
from dispatchlog.engine.wakeup import redis_client
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import Dashboard
from tests.dashboard.samples import form_in, form_without_recipient, make_due, scheduler_alive, worker_alive
from tests.watching.scraping import scrape

FORMS, KITS, HL7 = "health_information", "kit_registration", "hl7"


@pytest.fixture(autouse=True)
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CACHED_SECONDS", 0.0)


def value(dash: Dashboard, name: str, *labels: str) -> float:
    return scrape(dash)[f"dispatchlog_{name}"][labels]


def test_dispatches_are_counted_by_lane_and_status(dash: Dashboard) -> None:
    with connected():
        for number, state in enumerate(("PENDING", "QUEUED", "FAILED", "IN_DOUBT", "SENT", "SENT", "CANCELLED")):
            form_in(state, number=f"VO-{number}")
    samples = scrape(dash)
    forms = {status: n for (lane, status), n in samples["dispatchlog_dispatches"].items() if lane == FORMS}
    with connected():
        table = registry.lane(FORMS).table
        real = {status: fetch_one(f"SELECT count(*) FROM {table} WHERE status = %s", (status,))[0] for status in forms}
    assert forms == real
    assert forms["FAILED"] == 2
    none = {(lane.name,): 0 for lane in registry.lanes()}
    assert samples["dispatchlog_in_doubt"] == none | {(FORMS,): 1}
    assert samples["dispatchlog_sent_total"] == none | {(KITS,): 7, (FORMS,): 2}
    assert samples["dispatchlog_failed_total"] == none | {(FORMS,): 2}
    assert samples["dispatchlog_cancelled_total"] == none | {(FORMS,): 1}
    assert samples["dispatchlog_created_total"] == none | {(KITS,): 7, (FORMS,): 7}


def test_counters_stay_the_same_when_what_is_settled_is_kept(dash: Dashboard) -> None:
    with connected():
        form_in("SENT")
        form_in("IN_DOUBT", number="VO-2")
    before = scrape(dash)
    with connected():
        assert keep_counts(started_by="test") > 0
        assert keep_counts(started_by="test") == 0
        assert fetch_one("SELECT sum(number) FROM dispatch_counts")[0] > 0
    for name in ("sent_total", "failed_total", "created_total", "dispatches"):
        assert scrape(dash)[f"dispatchlog_{name}"] == before[f"dispatchlog_{name}"]
    with connected():
        form_in("SENT", number="VO-3")
    assert value(dash, "sent_total", FORMS) == before["dispatchlog_sent_total"][(FORMS,)] + 1


def test_a_move_that_commits_late_is_neither_lost_nor_counted_twice(
    dash: Dashboard, settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dispatchlog.engine.move_counts.PATIENCE_SECONDS", 0.1)
    with connected():
        form_in("PENDING", number="VO-1")
    table = registry.lane(FORMS).table
    with closing(psycopg2.connect(settings_env.database_url)) as slow, slow.cursor() as cursor:
        cursor.execute(f"UPDATE {table} SET status = 'CANCELLED'")
        with connected():
            form_in("PENDING", number="VO-2")
            assert keep_counts(started_by="test") == 0
        slow.commit()
    with connected():
        assert keep_counts(started_by="test") > 0
        assert count_moves()[(FORMS, "PENDING", "CANCELLED")] == 1
        assert count_moves()[(FORMS, "", "PENDING")] == 2


def test_what_is_not_added_up_yet_is_left_out_and_said(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    with connected():
        form_in("PENDING", number="VO-1")
        assert keep_counts(started_by="test") > 0
    kept = value(dash, "created_total", FORMS)
    monkeypatch.setattr("dispatchlog.engine.move_counts.MOST_WHEN_ASKED", 0)
    with connected():
        form_in("PENDING", number="VO-2")
    assert value(dash, "created_total", FORMS) == kept
    assert value(dash, "uncounted_moves") > 0
    monkeypatch.setattr("dispatchlog.engine.move_counts.MOST_AT_ONCE", 1)
    with connected():
        keep_all_counts(started_by="test")
    assert value(dash, "created_total", FORMS) == kept + 1
    assert value(dash, "uncounted_moves") == 0


def test_the_oldest_due_age_is_of_the_oldest_that_is_due(dash: Dashboard) -> None:
    with connected():
        form_in("PENDING")
    assert value(dash, "oldest_due_age_seconds", FORMS) == 0
    with connected():
        make_due(FORMS)
    assert 60 <= value(dash, "oldest_due_age_seconds", FORMS) < 120


def test_processes_holds_and_breakers_are_shown(dash: Dashboard, settings_env: Settings) -> None:
    with connected():
        worker_alive(1)
        worker_alive(2)
        scheduler_alive()
    holds.hold(holds.Target("lane", FORMS), actor="bo@example.org", reason="why not")
    redis_client(settings_env.redis_url).hset(
        "dispatchlog:breaker:smtp", mapping={"stage": 1, "until": time.time() + 30, "left": 1}
    )
    samples = scrape(dash)
    assert samples["dispatchlog_workers_alive"] == {(): 2}
    assert samples["dispatchlog_schedulers_alive"] == {(): 1}
    assert set(samples["dispatchlog_lane_served"].values()) == {1}
    assert samples["dispatchlog_held"][(FORMS, "lane")] == 1
    assert samples["dispatchlog_held"][("smtp", "gateway")] == 0
    assert samples["dispatchlog_breaker_state"][("smtp", "open")] == 1
    assert samples["dispatchlog_breaker_state"][("smtp", "closed")] == 0
    assert samples["dispatchlog_schema_version"][()] >= 11
    assert samples["dispatchlog_database_up"] == {(): 1}
    assert samples["dispatchlog_broker_up"] == {(): 1}
    assert "dispatchlog_build_info" in samples


def test_every_lane_of_the_registry_is_there(dash: Dashboard) -> None:
    lanes = {(lane.name,) for lane in registry.lanes()}
    samples = scrape(dash)
    for name in ("sent_total", "in_doubt", "oldest_due_age_seconds"):
        assert set(samples[f"dispatchlog_{name}"]) == lanes


def test_openmetrics_is_spoken_to_who_asks_for_it(dash: Dashboard) -> None:
    answer = dash.visitor().client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert {family.name for family in parse_openmetrics(answer.text)} >= {"dispatchlog_sent", "dispatchlog_dispatches"}


def test_nothing_personal_is_in_them(dash: Dashboard) -> None:
    with connected():
        form_in("FAILED", email="ada.lovelace@example.org")
        form_without_recipient()
    text = dash.visitor().client.get("/metrics").text
    assert "@" not in text
    assert "VO-" not in text


@pytest.fixture
def tokened(settings_env: Settings, cheap_passwords: None) -> Iterator[Dashboard]:
    forget_process_state()
    yield Dashboard(create_app(settings_env.model_copy(update={"metrics_token": _secret("a long random token")})))
    database.close_all()
    forget_process_state()


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


@pytest.mark.parametrize(
    "authorization",
    ["", "Bearer", "Bearer wrong", "Bearer a long random toke", "Basic a long random token", "bearer \u00e4"],
)
def test_without_the_token_they_are_refused(tokened: Dashboard, authorization: str) -> None:
    answer = tokened.visitor().client.get(
        "/metrics", headers={"Authorization": authorization.encode().decode("latin-1")}
    )
    assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert "dispatchlog_sent" not in answer.text


def test_with_the_token_they_are_given_from_anywhere(tokened: Dashboard) -> None:
    answer = tokened.visitor().client.get(
        "/metrics",
        headers={"Authorization": "Bearer a long random token"},
        environ_base={"REMOTE_ADDR": "203.0.113.7"},
    )
    assert answer.status_code == 200


@pytest.mark.parametrize("proxies", [0, 1])
@pytest.mark.parametrize(
    ("peer", "headers", "given"),
    [
        ("127.0.0.1", {}, True),
        ("::1", {}, True),
        ("203.0.113.7", {}, False),
        ("", {}, False),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}, False),
        ("127.0.0.1", {"Forwarded": "for=203.0.113.7"}, False),
        ("203.0.113.7", {"X-Forwarded-For": "127.0.0.1"}, False),
        ("127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, False),
    ],
)
def test_without_a_token_only_this_machine_may_ask_and_not_through_a_proxy(
    settings_env: Settings, cheap_passwords: None, proxies: int, peer: str, headers: dict[str, str], given: bool
) -> None:
    forget_process_state()
    app = create_app(settings_env.model_copy(update={"trusted_proxies": proxies}))
    answer = app.test_client().get("/metrics", headers=headers, environ_base={"REMOTE_ADDR": peer})
    database.close_all()
    assert answer.status_code == (200 if given else 403)


def test_without_the_database_they_say_so(settings_env: Settings, cheap_passwords: None) -> None:
    forget_process_state()
    dash = Dashboard(create_app(settings_env))
    configure("postgresql://nobody@127.0.0.1:1/none", role="", name="test")
    samples = scrape(dash)
    assert samples["dispatchlog_database_up"] == {(): 0}
    assert "dispatchlog_sent_total" not in samples
    database.close_all()


def test_they_are_read_once_for_everybody_who_asks_within_five_seconds(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "CACHED_SECONDS", 600.0)
    before = value(dash, "sent_total", FORMS)
    with connected():
        form_in("SENT")
    assert value(dash, "sent_total", FORMS) == before
    monkeypatch.setattr(metrics, "CACHED_SECONDS", 0.0)
    assert value(dash, "sent_total", FORMS) == before + 1


def test_not_ready_says_when_to_ask_again(settings_env: Settings) -> None:
    forget_process_state()
    app = create_app(settings_env.model_copy(update={"redis_url": "redis://127.0.0.1:1/0"}))
    answer = app.test_client().get("/readyz")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    ready = create_app(settings_env).test_client().get("/readyz")
    assert (ready.status_code, "Retry-After" in ready.headers) == (200, False)
    database.close_all()
