"""The lists' further filters and orders, what a mistyped one shows, and the chips that take them away. No JavaScript."""

from __future__ import annotations

import re
from html import unescape

import pytest

from dashboard import queries
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.browsing import Dashboard
from tests.dashboard.crowds import crowd, fail_all, set_all
from tests.dashboard.samples import form_in, place_order
from tests.dashboard.test_lists import numbers
from tests.engine.lane import install, parcel_lane


def chips(text: str) -> dict[str, str]:
    """The filters in force, by their words, with the address that takes each away."""
    found = re.findall(r'<a class="chip" href="([^"]+)"><span class="sr">[^<]+</span>([^<]+)<svg', text)
    return {unescape(words): unescape(address) for address, words in found}


def test_a_cause_shows_what_failed_with_it(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1")
    form_in("IN_DOUBT", number="VO-2")
    viewer = dash.as_("viewer")
    assert numbers(viewer.get("/dispatches?cause=SMTP_550").text) == ["VO-1"]
    assert numbers(viewer.get("/dispatches?cause=SMTP_NO_REPLY").text) == ["VO-2"]
    assert '<option value="SMTP_550">' in viewer.get("/dispatches").text


def test_a_provider_shows_its_lanes(dash: Dashboard) -> None:
    form_in("SENT")
    name = registry.lane("kit_registration").gateway.name
    text = dash.as_("viewer").get(f"/dispatches?gateway={name}").text
    assert re.findall(r'value="(\w+):[0-9a-f-]{36}"', dash.as_("support").get(f"/dispatches?gateway={name}").text) == [
        "kit_registration"
    ]
    assert f"Provider: {name}" in chips(text)


def test_a_lane_of_another_provider_shows_nothing(dash: Dashboard) -> None:
    form_in("SENT")
    name = registry.lane("kit_registration").gateway.name
    answer = dash.as_("viewer").get(f"/lanes/health_information?gateway={name}&q=VO-20418")
    assert answer.status_code == 200
    assert "Nothing matches this filter" in answer.text


def test_waiting_longer_counts_from_when_it_was_due_or_failed(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1")
    form_in("FAILED", number="VO-3")
    form_in("PENDING", number="VO-2")
    set_all("health_information", "updated_at = now() - interval '5 h'", "order_number = 'VO-1'")
    set_all("health_information", "due_at = now() - interval '2 h'", "order_number = 'VO-2'")
    viewer = dash.as_("viewer")
    assert numbers(viewer.get("/dispatches?age=1h").text) == ["VO-1", "VO-2"]
    assert numbers(viewer.get("/dispatches?age=4h").text) == ["VO-1"]
    assert numbers(viewer.get("/dispatches?age=1h&status=PENDING").text) == ["VO-2"]


def test_time_left_shows_the_most_urgent_first_and_others_apart(dash: Dashboard) -> None:
    for number in ("VO-1", "VO-2", "VO-3", "VO-4"):
        form_in("FAILED", number=number)
    for number, hours in (("VO-1", 20), ("VO-2", 2), ("VO-3", -1)):
        set_all("health_information", f"expires_at = now() + {hours} * interval '1 h'", f"order_number = '{number}'")
    viewer = dash.as_("viewer")
    text = viewer.get("/lanes/health_information?sort=left").text
    assert numbers(text) == ["VO-2", "VO-1"]
    apart = [unescape(found) for found in re.findall(r'<a href="([^"]+)">(?:without a deadline|past it)</a>', text)]
    assert [numbers(viewer.get(address).text) for address in apart] == [["VO-4"], ["VO-3"]]
    assert numbers(viewer.get("/lanes/health_information?left=4h").text) == ["VO-2"]
    assert numbers(viewer.get("/lanes/health_information?left=1d").text) == ["VO-2", "VO-1"]


def test_what_has_ended_stays_in_the_order_of_its_last_change(dash: Dashboard) -> None:
    form_in("SENT")
    assert numbers(dash.as_("viewer").get("/lanes/health_information?status=SENT&sort=left").text) == ["VO-20418"]


def test_every_order_pages_without_gaps_or_repeats(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE_ROWS", 3)
    for number in range(8):
        place_order(f"VO-{number}", kits=(f"KIT-{number}",))
    set_all("kit_registration", "expires_at = now() + interval '1 day'", "mod(seq, 2) = 0")
    set_all("kit_registration", "expires_at = now() + interval '1 day' + seq * interval '1 s'", "mod(seq, 2) = 1")
    viewer = dash.as_("viewer")
    for order in ("left", "waiting", "changed"):
        path, seen, before = f"/dispatches?sort={order}", [], ""
        while path:
            text = viewer.get(path).text
            seen.append(numbers(text))
            following = re.search(r'href="([^"]+)" rel="next"', text)
            previous = re.search(r'href="([^"]+)" rel="prev"', text)
            path = unescape(following.group(1)) if following else ""
            before = unescape(previous.group(1)) if previous else ""
        assert sorted(number for page in seen for number in page) == [f"VO-{number}" for number in range(8)], order
        assert numbers(viewer.get(before).text) == seen[-2], order


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("cause=%3Cscript%3E", "Cause “<script>” is not a code"),
        ("gateway=pigeon", "Provider “pigeon” is not known"),
        ("age=long", "Waiting longer than “long” is not known"),
        ("left=little", "Time left “little” is not known"),
        ("sort=size", "Order “size” is not known"),
    ],
)
def test_a_filter_that_cannot_be_read_is_named_and_the_rest_shown(dash: Dashboard, query: str, problem: str) -> None:
    form_in("SENT")
    answer = dash.as_("viewer").get(f"/dispatches?{query}&status=SENT")
    assert answer.status_code == 200
    assert problem in unescape(answer.text)
    assert len(numbers(answer.text)) == 2
    assert list(chips(answer.text)) == ["Status: Sent"]


def test_each_chip_takes_its_own_filter_away_and_keeps_the_others(dash: Dashboard) -> None:
    form_in("FAILED")
    viewer = dash.as_("viewer")
    address = (
        "/lanes/health_information?status=FAILED&status=IN_DOUBT&from=2026-01-01&to=2027-01-01&cause=SMTP_550"
        "&gateway=smtp&age=15m&left=none&q=VO-20&sort=changed"
    )
    set_all("health_information", "updated_at = now() - interval '1 h'")
    shown = chips(viewer.get(address).text)
    assert list(shown) == [
        "Search: VO-20",
        "Health-information forms",
        "Status: Failed",
        "Status: In doubt",
        "Changed from 2026-01-01",
        "Changed to 2027-01-01",
        "Cause: SMTP_550",
        "Provider: smtp",
        "Waiting longer than 15 minutes",
        "Without a deadline",
    ]
    for words, without in shown.items():
        assert list(chips(viewer.get(without).text)) == [other for other in shown if other != words]


def test_the_form_leads_to_an_address_that_shows_the_same_to_others(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1")
    viewer = dash.as_("viewer")
    viewer.get("/dispatches")
    answer = viewer.post(
        "/search", q="VO-1", lane="health_information", cause="SMTP_550", age="", left="", status="FAILED"
    )
    assert answer.location == "/lanes/health_information?status=FAILED&cause=SMTP_550&q=VO-1"
    assert numbers(dash.as_("auditor").get(answer.location).text) == ["VO-1"]


def test_a_search_for_a_person_is_masked_in_its_chip(dash: Dashboard) -> None:
    form_in("SENT", email="ada.lovelace@example.org")
    viewer = dash.as_("viewer")
    viewer.get("/dispatches")
    text = viewer.get(viewer.post("/search", q="ada.lovelace@example.org").location).text
    assert "Search: a•••@example.org" in chips(text)


def test_filters_know_every_lane(dash: Dashboard, settings_env: Settings) -> None:
    install(settings_env.database_url)
    lane = parcel_lane(FakeGateway(GatewayKind.BLIND, name="pigeon"))
    registry.register(lane)
    try:
        crowd(lane, 3)
        fail_all("parcel", code="WIND")
        viewer = dash.as_("support")
        assert sorted(numbers(viewer.get("/dispatches?gateway=pigeon&cause=WIND").text)) == ["VO-1", "VO-2", "VO-3"]
    finally:
        registry.unregister(lane)


def test_the_number_of_all_that_match_is_exact_until_it_says_so(
    dash: Dashboard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "COUNT_LIMIT", 3)
    monkeypatch.setattr(queries, "MATCH_LIMIT", 6)
    crowd("kit_registration", 6)
    support = dash.as_("support")
    assert "Act on all 6 matching…" in support.get("/dispatches").text
    crowd("kit_registration", 1, first=7)
    assert "Act on all 6+ matching…" in support.get("/dispatches").text


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01"])
def test_a_day_at_the_end_of_the_calendar_is_named_and_left_out(dash: Dashboard, day: str) -> None:
    shown = dash.as_("viewer").get(f"/dispatches?from={day}&to={day}")
    assert shown.status_code == 200
    assert shown.text.count("is too far away") == 2
