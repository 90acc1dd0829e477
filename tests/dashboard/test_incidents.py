"""Incidents: failures grouped by provider and cause with numbers that are true, and the pages of a replay."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from dispatchlog.engine import replay
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError, Permanent
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.people import set_roles
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.browsing import Dashboard, Visitor
from tests.dashboard.samples import form_in, form_without_recipient, make_due, place_order, send_due
from tests.engine.lane import enqueue, install, parcel_lane
from tests.engine.test_replay import settle

FORMS = "health_information"
CAUSE = "SMTP_AUTH"


@pytest.fixture
def parcels(settings_env: Settings) -> Any:
    """Another lane of the same provider as the forms'."""
    install(settings_env.database_url)
    lane = parcel_lane(FakeGateway(GatewayKind.BLIND, name=registry.lane(FORMS).gateway.name))
    registry.register(lane)
    yield lane
    registry.unregister(lane)


def locked_out(row: Row) -> DispatchlogError:
    return Permanent(f"the server wants a login before {row['recipient_email']}", code=CAUSE)


def failed_forms(count: int) -> None:
    place_order("VO-1", kits=[f"KIT-{number}" for number in range(count)], email="ada.lovelace@example.org")
    send_due("kit_registration")
    make_due(FORMS)
    send_due(FORMS, locked_out)


def begin(visitor: Visitor, **fields: str) -> str:
    gateway = registry.lane(FORMS).gateway.name
    posted = {"gateway": gateway, "cause": CAUSE, "days": "1", "reason": "the password is set again", **fields}
    return visitor.post("/incidents/replays", follow=True, **posted).text


def statuses() -> dict[str, int]:
    with connected():
        return dict(fetch_all(f"SELECT status, count(*) FROM {registry.lane(FORMS).table} GROUP BY 1"))


def test_a_quiet_day_teaches(dash: Dashboard) -> None:
    assert "Nothing failed in this time" in dash.as_("viewer").get("/incidents").text


def test_failures_stand_together_by_provider_and_cause(dash: Dashboard, parcels: Lane) -> None:
    failed_forms(3)
    form_in("FAILED", number="VO-7")
    form_in("IN_DOUBT", number="VO-8")
    enqueue(parcels, 2)
    settle(parcels, Permanent("the server wants a login", code=CAUSE))
    text = dash.as_("viewer").get("/incidents").text
    assert re.findall(r'class="incident-cause">([^<]+)<', text) == [CAUSE, "SMTP_550"]
    counts = re.findall(r'<a href="([^"]+)"><strong>([^<]+)</strong> failed</a>', text)
    assert [number for _, number in counts] == ["5", "1"]
    gateway = registry.lane(FORMS).gateway.name
    assert html.unescape(counts[0][0]).startswith("/dispatches?status=FAILED")
    assert f"cause={CAUSE}" in counts[0][0]
    assert f"gateway={gateway}" in counts[0][0]
    assert ">3 <span>Health-information forms</span>" in text
    assert ">2 <span>Parcels</span>" in text
    assert "ada.lovelace@" not in text


def test_the_window_leaves_out_what_failed_before(dash: Dashboard) -> None:
    failed_forms(1)
    with transaction("test"):
        execute(f"UPDATE {registry.lane(FORMS).table} SET updated_at = now() - interval '5 days'")
    viewer = dash.as_("viewer")
    assert CAUSE not in viewer.get("/incidents").text
    assert CAUSE in viewer.get("/incidents?days=7").text
    assert CAUSE not in viewer.get("/incidents?days=nonsense").text


def test_what_needs_a_recipient_is_not_replayed_as_it_is(dash: Dashboard) -> None:
    form_without_recipient()
    text = dash.as_("support").get("/incidents").text
    assert "NO_RECIPIENT" in text
    assert "there is no replay of these" in text
    assert "Provider restored" not in text


def test_a_replay_is_begun_followed_and_done(dash: Dashboard) -> None:
    failed_forms(8)
    support = dash.as_("support")
    assert "Provider restored: replay" in support.get("/incidents").text
    text = begin(support)
    assert "The replay has begun." in text
    assert "1 is on the way" in text
    assert statuses() == {"PENDING": 1, "FAILED": 7}
    send_due(FORMS)
    text = support.get("/incidents/replays/1").text  # looking at it takes the next step
    assert "5 are on the way" in text
    send_due(FORMS)
    support.get("/incidents/replays/1")
    send_due(FORMS)
    text = support.get("/incidents/replays/1").text
    support.get("/incidents/replays/1")
    text = support.get("/incidents/replays/1").text
    assert "Everything on the list was released." in text
    assert "8 of 8 settled" in text
    assert statuses() == {"SENT": 8}
    assert "Nothing failed in this time" in support.get("/incidents").text


def test_a_halted_replay_says_at_what_and_goes_on_for_a_reason(dash: Dashboard) -> None:
    failed_forms(3)
    support = dash.as_("support")
    begin(support)
    send_due(FORMS, locked_out)
    text = support.get("/incidents/replays/1").text
    assert "It halted: a dispatch failed again" in text
    assert "The server wants a login before a•••@example.org" in text
    assert "ada.lovelace@" not in text
    assert "Replay 1: halted by a failure" in support.get("/incidents").text
    assert "Say why" in support.post("/incidents/replays/1/resume", follow=True, reason="").text
    assert "It goes on." in support.post("/incidents/replays/1/resume", follow=True, reason="set again").text
    assert "1 is on the way" in support.get("/incidents/replays/1").text


def test_a_replay_is_stopped_and_given_up(dash: Dashboard) -> None:
    failed_forms(3)
    support = dash.as_("support")
    begin(support)
    assert "Nothing more is released" in support.post("/incidents/replays/1/stop", follow=True).text
    assert "Nothing changed: it is stopped now." in support.post("/incidents/replays/1/stop", follow=True).text
    send_due(FORMS)
    support.get("/incidents/replays/1")
    assert statuses() == {"SENT": 1, "FAILED": 2}
    assert "Given up." in support.post("/incidents/replays/1/end", follow=True, reason="wrong time").text
    text = support.get("/incidents/replays/1?state=waiting").text
    assert text.count("Not released</span></td>") == 2


def test_a_row_that_moved_is_reported(dash: Dashboard) -> None:
    failed_forms(2)
    support = dash.as_("support")
    begin(support)
    with connected():
        (last,) = fetch_dicts("SELECT dispatch_id FROM dispatch_replay_rows WHERE state = 'WAITING'")
    support.post(f"/dispatches/{FORMS}/{last['dispatch_id']}/cancel", reason="not wanted")
    send_due(FORMS)
    text = support.get("/incidents/replays/1").text
    assert "It was cancelled meanwhile" in text


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"reason": " "}, "Say why it will work now"),
        ({"cause": "NOTHING_SUCH"}, "Nothing was started: nothing that failed so is left."),
        ({"gateway": "nobody"}, "Nothing was started: nothing that failed so is left."),
        ({"cause": "", "gateway": ""}, "Nothing was started"),
    ],
)
def test_what_cannot_be_replayed_is_said(dash: Dashboard, fields: dict[str, str], sentence: str) -> None:
    failed_forms(1)
    assert sentence in begin(dash.as_("support"), **fields)
    assert statuses() == {"FAILED": 1}


def test_a_second_replay_of_the_same_waits(dash: Dashboard) -> None:
    failed_forms(3)
    support = dash.as_("support")
    begin(support)
    assert "a replay of these is under way already" in begin(support)


def test_the_report_has_pages(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    from dashboard import incident_queries

    monkeypatch.setattr(incident_queries, "PAGE_REPLAY_ROWS", 2)
    failed_forms(5)
    support = dash.as_("support")
    begin(support)
    address, seen = "/incidents/replays/1", 0
    while address:
        text = support.get(address).text
        seen += text.count('class="row-link"')
        following = re.search(r'href="([^"]+)" rel="next"', text)
        address = html.unescape(following.group(1)) if following else ""
    assert seen == 5


def test_an_unknown_replay_is_not_found(dash: Dashboard) -> None:
    support = dash.as_("support")
    assert support.get("/incidents/replays/12").status_code == 404
    assert support.get(f"/incidents/replays/{10**30}").status_code == 404
    assert support.post("/incidents/replays/12/stop").status_code == 404


def test_the_incidents_walk_their_index(dash: Dashboard) -> None:
    failed_forms(1)
    lane = registry.lane(FORMS)
    with connected():
        execute("SET enable_seqscan = off")
        execute("SET enable_bitmapscan = off")
        plan = "\n".join(
            row["QUERY PLAN"]
            for row in fetch_dicts(
                f"EXPLAIN SELECT f.id FROM {lane.table} f WHERE f.status = 'FAILED' AND NOT f.in_doubt AND"
                " f.last_error_code = 'X' AND f.updated_at >= now() - interval '1 day'"
                " ORDER BY f.updated_at DESC, f.id DESC LIMIT 1"
            )
        )
        execute("RESET enable_seqscan")
        execute("RESET enable_bitmapscan")
    assert "_by_cause" in plan
    assert "Sort" not in plan


def test_the_scheduler_advances_replays(dash: Dashboard, settings_env: Settings) -> None:
    import scheduler

    failed_forms(8)
    begin(dash.as_("support"))
    (job,) = [job for job in scheduler.timetable(settings_env) if job.name == "replays"]
    send_due(FORMS)
    scheduler._run_job(job, lambda: True)
    assert statuses() == {"SENT": 1, "PENDING": 5, "FAILED": 2}
    with connected():
        assert fetch_all("SELECT count(*) FROM schedule_occurrences WHERE job = 'replays'") == [(0,)]
    assert replay.OPEN_STATES


def test_a_replay_stops_when_whoever_began_it_may_act_no_more(dash: Dashboard) -> None:
    failed_forms(3)
    begin(dash.as_("support"))
    send_due(FORMS)
    set_roles("support@example.org", ["viewer"])
    text = dash.as_("admin").get("/incidents/replays/1").text
    assert "It is stopped: whoever it went on for may not act on dispatches any more." in text
    assert statuses() == {"SENT": 1, "FAILED": 2}
