"""The story of one order over all lanes, and how one finds it."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from dispatchlog.engine.gateway import Receipt
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.browsing import Dashboard, page_of
from tests.dashboard.samples import form_in
from tests.engine.lane import enqueue, install, parcel_lane
from tests.engine.test_replay import settle


@pytest.fixture
def parcels(settings_env: Settings) -> Any:
    """A second system's lane."""
    install(settings_env.database_url)
    lane = parcel_lane(FakeGateway(name="post"))
    registry.register(lane)
    yield lane
    registry.unregister(lane)


def titles(text: str) -> list[str]:
    return re.findall(r"<p><strong>([^<]+)</strong>", text[text.index('id="story"') :])


def test_one_story_over_every_lane_in_the_order_of_time(dash: Dashboard, parcels: Any) -> None:
    row = form_in("FAILED", email="ada.lovelace@example.org")
    enqueue(parcels, subject_id=row["subject_id"], search_keys=["VO-20418", "PARCEL-1"])
    settle(parcels, Receipt("m-1"))
    text = dash.as_("viewer").get(f"/stories/story?subject={row['subject_id']}").text
    assert "<h1>VO-20418</h1>" in text
    assert "3 dispatches" in text
    assert titles(text) == [
        "Created",
        "Registering",
        "Try 1: accepted by the provider",
        "Created",
        "Registered",
        "Sending",
        "Try 1: refused for good",
        "Failed",
        "Created",
        "Sending",
        "Try 1: accepted by the provider",
        "Sent",
    ] or sorted(titles(text)) == sorted(
        [
            "Created",
            "Registering",
            "Try 1: accepted by the provider",
            "Created",
            "Registered",
            "Sending",
            "Try 1: refused for good",
            "Failed",
            "Created",
            "Sending",
            "Try 1: accepted by the provider",
            "Sent",
        ]
    )
    places = [text.index(f"{title}: ") for title in ("Kit registrations", "Health-information forms", "Parcels")]
    assert places == sorted(places)
    assert "ada.lovelace@" not in text


def test_the_story_is_reached_from_the_dispatch_and_the_order(dash: Dashboard) -> None:
    row = form_in("SENT")
    viewer = dash.as_("viewer")
    for path in (page_of(row), f"/kit-orders/{row['order_id']}"):
        found = re.search(r'href="(/stories/story\?[^"]+)"', viewer.get(path).text)
        assert found is not None, path
        assert "VO-20418" in viewer.get(html.unescape(found.group(1))).text


@pytest.mark.parametrize("query", ["VO-20418", "vo-204", "kit-vo", "ada@example.org"])
def test_a_search_with_one_find_goes_straight_to_the_story(dash: Dashboard, query: str) -> None:
    row = form_in("SENT")
    answer = dash.as_("viewer").post("/stories", q=query)
    assert answer.status_code == 303
    assert answer.location == f"/stories/story?subject={row['subject_id']}"


def test_a_search_with_several_finds_lets_choose_and_keeps_addresses_out_of_the_url(dash: Dashboard) -> None:
    form_in("SENT", number="VO-1")
    form_in("SENT", number="VO-2")
    viewer = dash.as_("viewer")
    answer = viewer.post("/stories", q="ada@example.org")
    assert answer.location == "/stories?found=1"
    text = viewer.get(answer.location).text
    assert text.count("/stories/story?") == 2
    assert viewer.post("/stories", q="VO-").location == "/stories?q=VO-"


@pytest.mark.parametrize(
    ("query", "sentence"), [("x", "Search for at least 2 characters."), ("100%", "No story begins like this")]
)
def test_a_search_without_a_find_says_so(dash: Dashboard, query: str, sentence: str) -> None:
    form_in("SENT")
    viewer = dash.as_("viewer")
    assert sentence in viewer.post("/stories", q=query, follow=True).text


def test_an_unknown_subject_is_not_found(dash: Dashboard) -> None:
    viewer = dash.as_("viewer")
    assert viewer.get("/stories/story").status_code == 404
    assert viewer.get("/stories/story?subject=order:none%00").status_code == 404
