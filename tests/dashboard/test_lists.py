"""The lists: filters, paging, search, and what a bad address shows."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from dashboard import order_queries, queries
from dashboard.filters import ListFilter, Position
from dashboard.masking import mask
from dashboard.queries import Count, list_dispatches
from dispatchlog.engine.database import connected
from dispatchlog.systems import registry
from tests.dashboard import patient_rows
from tests.dashboard.browsing import Dashboard
from tests.dashboard.samples import form_in, place_order
from tests.outreach import builders


def numbers(text: str) -> list[str]:
    """The business keys of the rows shown, in their order."""
    return re.findall(r'class="row-link"[^>]*>([^<]+)</a>', text)


def test_an_empty_log_says_what_will_appear(dash: Dashboard) -> None:
    assert "They appear here as soon as" in dash.as_("viewer").get("/dispatches").text


def test_a_status_filter_shows_those_rows(dash: Dashboard) -> None:
    form_in("SENT", number="VO-1")
    form_in("FAILED", number="VO-2")
    form_in("IN_DOUBT", number="VO-3")
    viewer = dash.as_("viewer")
    assert numbers(viewer.get("/dispatches?status=FAILED").text) == ["VO-2"]
    assert numbers(viewer.get("/dispatches?status=IN_DOUBT").text) == ["VO-3"]
    assert numbers(viewer.get("/dispatches?status=FAILED&status=IN_DOUBT").text) == ["VO-3", "VO-2"]
    assert numbers(viewer.get("/lanes/health_information?status=SENT").text) == ["VO-1"]
    assert len(numbers(viewer.get("/lanes/kit_registration?status=SENT").text)) == 3
    assert len(numbers(viewer.get("/dispatches").text)) == 6


def test_the_last_changed_comes_first(dash: Dashboard) -> None:
    for number in ("VO-1", "VO-2", "VO-3"):
        form_in("SENT", number=number)
    assert numbers(dash.as_("viewer").get("/lanes/health_information").text) == ["VO-3", "VO-2", "VO-1"]


def test_days_are_counted_by_last_change(dash: Dashboard) -> None:
    form_in("SENT")
    today = datetime.now(UTC).date()
    viewer = dash.as_("viewer")
    assert len(numbers(viewer.get(f"/dispatches?from={today}&to={today}").text)) == 2
    assert numbers(viewer.get(f"/dispatches?from={today + timedelta(days=1)}").text) == []
    assert numbers(viewer.get(f"/dispatches?to={today - timedelta(days=1)}").text) == []


@pytest.mark.parametrize("query", ["vo-77", "VO-771", "kit-vo-771"])
def test_search_finds_the_beginning_of_a_business_key_in_any_case(dash: Dashboard, query: str) -> None:
    form_in("SENT", number="VO-771")
    form_in("SENT", number="VO-888")
    viewer = dash.as_("viewer")
    viewer.get("/dispatches")
    assert set(numbers(viewer.post("/search", q=query, follow=True).text)) == {"VO-771"}


@pytest.mark.parametrize("wildcard", ["%%", "__", "\\\\"])
def test_wildcards_mean_themselves(dash: Dashboard, wildcard: str) -> None:
    form_in("SENT")
    assert numbers(dash.as_("viewer").get("/dispatches", query_string={"q": wildcard}).text) == []


def test_a_dispatch_is_found_by_its_id(dash: Dashboard) -> None:
    row = form_in("SENT")
    assert numbers(dash.as_("viewer").get(f"/dispatches?q={row['id']}").text) == ["VO-20418"]


def test_a_search_for_a_person_stays_out_of_the_address(dash: Dashboard) -> None:
    form_in("SENT", email="ada@example.org")
    viewer = dash.as_("viewer")
    viewer.get("/dispatches")
    answer = viewer.post("/search", q="ada@example.org", lane="health_information")
    assert "ada@" not in answer.location
    assert "%40" not in answer.location
    shown = viewer.get(answer.location)
    assert numbers(shown.text) == ["VO-20418"]
    assert all("ada%40" not in link and "ada@" not in link for link in re.findall(r'href="([^"]+)"', shown.text))


def test_a_search_that_ended_with_its_session_is_named(dash: Dashboard) -> None:
    assert "That search has ended" in dash.as_("viewer").get("/dispatches?found=gone").text


def test_recipients_are_masked(dash: Dashboard) -> None:
    form_in("FAILED", email="ada.lovelace@example.org")
    text = dash.as_("admin").get("/dispatches").text
    assert "a•••@example.org" in text
    assert "ada.lovelace@" not in text


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("status=LOST", "Status “LOST” is not known"),
        ("from=yesterday", "From “yesterday” is not a date"),
        ("to=2026-13-01", "To “2026-13-01” is not a date"),
        ("at=rubbish", "The place in the list could not be read"),
        ("lane=parcels", "Lane “parcels” is not known"),
        ("q=x", "Search for at least 2 characters"),
    ],
)
def test_a_filter_that_cannot_be_read_is_named_and_the_rest_shown(dash: Dashboard, query: str, problem: str) -> None:
    form_in("SENT")
    answer = dash.as_("viewer").get(f"/dispatches?{query}")
    assert answer.status_code == 200
    assert problem in answer.text
    assert len(numbers(answer.text)) == 2


def test_pages_follow_each_other_without_gaps_or_repeats(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE_ROWS", 3)
    for number in range(8):
        place_order(f"VO-{number}", kits=(f"KIT-{number}",))
    viewer = dash.as_("viewer")
    path, seen, pages = "/dispatches", [], 0
    while path:
        text = viewer.get(path).text
        seen += numbers(text)
        found = re.search(r'href="([^"]+)" rel="next"', text)
        path, pages = (found.group(1).replace("&amp;", "&") if found else ""), pages + 1
    assert seen == [f"VO-{number}" for number in range(7, -1, -1)]
    assert pages == 3


def test_going_back_shows_the_page_before(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "PAGE_ROWS", 3)
    for number in range(8):
        place_order(f"VO-{number}", kits=(f"KIT-{number}",))
    with connected():
        first = list_dispatches(ListFilter(), registry.lanes())
        second = list_dispatches(ListFilter(position=first.older), registry.lanes())
        third = list_dispatches(ListFilter(position=second.older), registry.lanes())
        back = list_dispatches(ListFilter(position=third.newer), registry.lanes())
        front = list_dispatches(ListFilter(position=back.newer), registry.lanes())
    assert first.newer is None
    assert third.older is None
    assert [row["id"] for row in back.rows] == [row["id"] for row in second.rows]
    assert [row["id"] for row in front.rows] == [row["id"] for row in first.rows]
    assert front.newer is None


def test_a_position_reads_back_as_it_was_written() -> None:
    from werkzeug.datastructures import MultiDict

    from dashboard.filters import parse_filter
    from dispatchlog.engine.tables import new_id

    position = Position(datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC), new_id(), newer=True)
    assert parse_filter(MultiDict({"at": str(position)}), lane=None).position == position


def test_counts_stop_at_a_thousand() -> None:
    assert str(Count(1_000)) == "1,000"
    assert str(Count(1_001)) == "1,000+"


def test_an_unknown_lane_is_not_found(dash: Dashboard) -> None:
    assert dash.as_("viewer").get("/lanes/parcels").status_code == 404


def test_overview_numbers_lead_to_exactly_those_rows(dash: Dashboard) -> None:
    form_in("SENT", number="VO-1")
    form_in("FAILED", number="VO-2")
    form_in("IN_DOUBT", number="VO-3")
    viewer = dash.as_("viewer")
    text = viewer.get("/").text
    stats = re.findall(r'class="stat [^"]*" href="([^"]+)".*?<strong>([^<]+)</strong>', text, re.S)
    assert len(stats) == 5 * len(registry.lanes())
    for address, number in stats:
        assert len(numbers(viewer.get(address.replace("&amp;", "&")).text)) == int(number), address
    assert "1 in doubt" in text


def test_the_latest_moves_tell_a_doubt_from_a_failure(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1")
    form_in("IN_DOUBT", number="VO-2")
    text = dash.as_("viewer").get("/").text
    feed = text[text.index('id="feed-title"') :]
    told = re.findall(r"<strong>(VO-\d) · [^<]+</strong>.*?</svg>([\w ]+)</span>", feed, re.S)
    assert told == [("VO-2", "In doubt"), ("VO-2", "Registered"), ("VO-1", "Failed"), ("VO-1", "Registered")]


def test_order_list_explains_orders_that_were_not_registered(dash: Dashboard) -> None:
    place_order("VO-9", practitioner=None)
    text = dash.as_("viewer").get("/kit-orders").text
    assert "The order belongs to no practitioner" in text


@pytest.mark.parametrize("query", ["VO-5", "kit-5"])
def test_orders_are_found_by_number_and_kit(dash: Dashboard, query: str) -> None:
    place_order("VO-5", kits=("KIT-5",))
    place_order("VO-6", kits=("KIT-6",))
    assert numbers(dash.as_("viewer").get(f"/kit-orders?q={query}").text) == ["VO-5"]


def test_order_pages_follow_each_other(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order_queries, "PAGE_ROWS", 2)
    for number in range(3):
        place_order(f"VO-{number}", kits=(f"KIT-{number}",))
    viewer = dash.as_("viewer")
    text = viewer.get("/kit-orders").text
    older = re.search(r'href="([^"]+)" rel="next"', text).group(1).replace("&amp;", "&")  # type: ignore[union-attr]
    assert numbers(text) + numbers(viewer.get(older).text) == ["VO-2", "VO-1", "VO-0"]


def test_a_message_to_a_patient_is_called_by_what_it_is_and_its_recipient_is_masked(dash: Dashboard) -> None:
    patient_id = builders.patient()
    key = f"appointment:{'a' * 40}:appt_reminder:24"
    soon = patient_rows.NOW + timedelta(hours=2)
    job_id = patient_rows.planned(patient_id, request_key=key, search_keys=[key], due_at=soon)
    patient_rows.failed(patient_id, in_doubt=True, search_keys=[key], last_error_code="TIMEOUT")
    viewer = dash.as_("viewer")
    page, story = f"/dispatches/comm_job/{job_id}", f"/stories/story?subject=patient:{patient_id}"
    for path in ("/lanes/comm_job", "/upcoming?within=day", story, "/in-doubt", page):
        text = viewer.get(path).text.partition("For engineers")[0]
        assert "Appointment reminder by SMS" in text, path
        assert mask(builders.PHONE) in text, path
        for hidden in (builders.PHONE, key):
            assert hidden not in text, path
    assert key in viewer.get(page).text
    assert "Correct the recipient" not in dash.as_("support").get(page).text
