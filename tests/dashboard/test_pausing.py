"""Pausing a lane or a provider from its page: who may, what is kept, and where it is shown."""

from __future__ import annotations

import pytest

from dispatchlog.engine import holds
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.holds import Target
from dispatchlog.engine.wakeup import flag, redis_client
from dispatchlog.settings import Settings
from tests.dashboard.browsing import Dashboard, action, page_of
from tests.dashboard.samples import form_in, scheduler_alive, worker_alive

LANE = Target("lane", "health_information")
MAIL = Target("gateway", "smtp")


def held() -> list[tuple[str, str, str]]:
    return [(str(each.target), each.reason, each.held_by) for each in holds.open_holds()]


def test_support_pauses_a_lane_with_a_reason_and_resumes_it(dash: Dashboard, settings_env: Settings) -> None:
    support = dash.as_("support")
    answer = support.post("/pausing/pause", follow=True, target="health_information", reason="wrong template")
    assert "Health-information forms is paused." in answer.text
    assert "“wrong template”" in answer.text
    assert held() == [("health_information", "wrong template", "support@example.org")]
    assert not redis_client(settings_env.redis_url).exists(flag("health_information"))
    answer = support.post("/pausing/resume", follow=True, target="health_information", reason="template mended")
    assert "goes on. What is due leaves now." in answer.text
    assert held() == []
    assert redis_client(settings_env.redis_url).exists(flag("health_information"))
    with connected():
        kept = fetch_all("SELECT actor, action, lane, reason FROM operator_actions WHERE action IN ('pause', 'resume')")
    assert kept == [
        ("support@example.org", "pause", "health_information", "wrong template"),
        ("support@example.org", "resume", "health_information", "template mended"),
    ]


@pytest.mark.parametrize("reason", ["", "   "])
def test_without_a_reason_nothing_is_paused_or_resumed(dash: Dashboard, reason: str) -> None:
    support = dash.as_("support")
    assert (
        "Say why it is paused" in support.post("/pausing/pause", follow=True, target="gateway:smtp", reason=reason).text
    )
    assert held() == []
    holds.hold(MAIL, actor="bo@example.org", reason="maintenance")
    assert (
        "Say why it goes on" in support.post("/pausing/resume", follow=True, target="gateway:smtp", reason=reason).text
    )
    assert len(held()) == 1


@pytest.mark.parametrize("target", ["", "no-such-lane", "gateway:", "gateway:nobody", "x" * 5000])
def test_what_does_not_exist_is_refused_with_what_there_is(dash: Dashboard, target: str) -> None:
    answer = dash.as_("support").post("/pausing/pause", target=target, reason="why not")
    assert answer.status_code == 400
    assert "gateway:smtp" in answer.text
    assert held() == []


@pytest.mark.parametrize("role", ["viewer", "pharmacist", "auditor"])
def test_others_see_what_is_paused_and_cannot_change_it(dash: Dashboard, role: str) -> None:
    holds.hold(LANE, actor="bo@example.org", reason="wrong template")
    visitor = dash.as_(role)
    text = visitor.get("/pausing").text
    assert "“wrong template”" in text
    assert '<form method="post" action="/pausing' not in text
    assert visitor.post("/pausing/resume", target="health_information", reason="why not").status_code == 403
    assert len(held()) == 1


def test_a_second_pause_says_whose_the_first_is(dash: Dashboard) -> None:
    holds.hold(LANE, actor="bo@example.org", reason="wrong template")
    text = dash.as_("support").post("/pausing/pause", follow=True, target="health_information", reason="me too").text
    assert "Nothing changed: bo@example.org paused it before." in text
    assert held() == [("health_information", "wrong template", "bo@example.org")]


@pytest.mark.parametrize("target", [LANE, MAIL], ids=str)
def test_a_pause_is_shown_wherever_its_lane_is(dash: Dashboard, target: Target) -> None:
    with connected():
        worker_alive()
        scheduler_alive()
        row = form_in("PENDING")
    viewer = dash.as_("viewer")
    paths = ("/", "/lanes/health_information", page_of(row))
    for path in paths:
        assert "maintenance until noon" not in viewer.get(path).text, path
    holds.hold(target, actor="bo@example.org", reason="maintenance until noon, call +49 151 2345678")
    for path in paths:
        text = viewer.get(path).text
        assert "maintenance until noon" in text, path
        assert "2345678" not in text, path
    assert "Something is paused and waits" in viewer.get("/").text
    assert "maintenance until noon" not in viewer.get("/lanes/kit_registration").text


def test_why_not_yet_names_who_paused_it(dash: Dashboard) -> None:
    row = form_in("PENDING")
    holds.hold(MAIL, actor="bo@example.org", reason="maintenance")
    text = dash.as_("viewer").get(page_of(row)).text
    assert "Everything that leaves through smtp is paused until somebody resumes it." in text
    assert "bo@example.org paused it: “maintenance”" in text


def test_a_retry_in_a_paused_lane_says_that_it_waits(dash: Dashboard) -> None:
    row = form_in("FAILED")
    holds.hold(LANE, actor="bo@example.org", reason="maintenance")
    text = dash.as_("support").post(action(row, "retry"), follow=True, reason="mended").text
    assert "It is paused, so it waits until somebody resumes it." in text


def test_earlier_pauses_are_paged_without_loss(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.pausing.PAST_ROWS", 2)
    for number in range(5):
        holds.hold(LANE, actor="bo@example.org", reason=f"reason {number}")
        holds.release(LANE, actor="bo@example.org", reason="done", lanes=[], waker=None)
    viewer, path, seen = dash.as_("viewer"), "/pausing", []
    while path:
        text = viewer.get(path).text
        seen += [number for number in range(5) if f"reason {number}" in text]
        following = text.partition('class="button small" href="')[2].partition('"')[0] if 'rel="next"' in text else ""
        path = following
    assert seen == [3, 4, 1, 2, 0]


@pytest.mark.parametrize("before", ["x", "-1", "9" * 40, "1;"])
def test_a_mistyped_page_shows_the_first(dash: Dashboard, before: str) -> None:
    assert dash.as_("viewer").get(f"/pausing?before={before}").status_code == 200
