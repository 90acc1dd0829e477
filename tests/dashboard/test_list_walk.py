"""Working through a filtered list row by row from a dispatch's page: previous, next, the ends, and a row that left."""

from __future__ import annotations

import html
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import expect

from dispatchlog.engine.database import connected
from tests.dashboard.browsing import Dashboard, Visitor, action, page_of
from tests.dashboard.samples import form_in, place_order
from tests.dashboard.test_browser import Site, chromium, site, violations

__all__ = ["chromium", "site"]  # fixtures

FAILED = "/dispatches?status=FAILED"


def opened(visitor: Visitor, row: Any, back: str = FAILED, lane: str = "health_information", **more: Any) -> str:
    return visitor.get(f"{page_of(row, lane)}?{urlencode({'back': back, **more})}").text


def standing(text: str) -> str:
    [found] = re.findall(r'aria-label="Within the list">\s*<p><strong>([^<]+)<', text)
    return html.unescape(found)


def neighbour(text: str, rel: str) -> str:
    found = re.search(rf'href="([^"]+)" rel="{rel}" data-walk', text)
    return html.unescape(found.group(1)) if found else ""


def title(text: str) -> str:
    [found] = re.findall(r"<h1>([^<]+)</h1>", text)
    return html.unescape(found).partition(" ")[0]


def walked(visitor: Visitor, text: str, rel: str) -> list[str]:
    """The titles of the pages that come by following one kind of link to its end."""
    found = [title(text)]
    while address := neighbour(text, rel):
        text = visitor.get(address).text
        found.append(title(text))
        assert len(found) < 20
    return found


@pytest.mark.parametrize(
    ("back", "order"),
    [
        (FAILED, ["VO-3", "VO-2", "VO-1"]),
        ("/lanes/health_information?status=FAILED&sort=waiting", ["VO-1", "VO-2", "VO-3"]),
        ("/dispatches?status=FAILED&q=VO-", ["VO-3", "VO-2", "VO-1"]),
        ("/lanes/health_information", ["VO-9", "VO-3", "VO-2", "VO-1"]),
    ],
)
def test_next_and_previous_go_through_the_list_in_its_order(dash: Dashboard, back: str, order: list[str]) -> None:
    rows = {number: form_in("FAILED", number=number) for number in ("VO-1", "VO-2", "VO-3")}
    rows["VO-9"] = form_in("SENT", number="VO-9")
    viewer = dash.as_("viewer")
    first = opened(viewer, rows[order[0]], back)
    assert standing(first) == f"1 of {len(order)} in this list"
    assert "First of the list" in first
    assert walked(viewer, first, "next") == order
    last = opened(viewer, rows[order[-1]], back)
    assert standing(last) == f"{len(order)} of {len(order)} in this list"
    assert "Last of the list" in last
    assert walked(viewer, last, "prev") == order[::-1]


def test_the_list_gives_each_row_its_place_and_the_filter_stays(dash: Dashboard) -> None:
    for number in ("VO-1", "VO-2"):
        form_in("FAILED", number=number)
    viewer = dash.as_("viewer")
    [link, *_] = re.findall(r'class="row-link" href="([^"]+)"', viewer.get(FAILED).text)
    text = viewer.get(html.unescape(link)).text
    assert "Status: Failed" in text
    text = viewer.get(neighbour(text, "next")).text
    assert title(text) == "VO-1"
    [crumb] = re.findall(r'class="crumb"><a href="([^"]+)"', text)
    assert html.unescape(crumb) == FAILED


def test_a_row_that_left_the_list_by_an_action_still_leads_on_from_where_it_stood(dash: Dashboard) -> None:
    rows = {number: form_in("FAILED", number=number) for number in ("VO-1", "VO-2", "VO-3")}
    support = dash.as_("support")
    text = opened(support, rows["VO-2"])
    [place] = set(re.findall(r'name="place" value="(\d+)"', text))
    text = support.post(
        action(rows["VO-2"], "cancel"), follow=True, reason="wrong person", back=FAILED, place=place
    ).text
    assert standing(text) == "No longer in this list, which holds 2"
    assert title(support.get(neighbour(text, "next")).text) == "VO-1"
    assert title(support.get(neighbour(text, "prev")).text) == "VO-3"
    for number in ("VO-1", "VO-3"):
        support.post(action(rows[number], "cancel"), reason="wrong person")
    text = opened(support, rows["VO-2"], place=place)
    assert standing(text) == "No longer in this list, which is empty now"
    assert "None before it" in text
    assert "None after it" in text


def test_a_row_that_an_action_moved_within_the_list_is_not_its_own_neighbour(dash: Dashboard) -> None:
    rows = {number: form_in("FAILED", number=number) for number in ("VO-1", "VO-2", "VO-3")}
    support = dash.as_("support")
    back = "/lanes/health_information"
    [place] = set(re.findall(r'name="place" value="(\d+)"', opened(support, rows["VO-2"], back)))
    support.post(action(rows["VO-2"], "cancel"), reason="wrong person")
    text = opened(support, rows["VO-2"], back, place=place)
    assert standing(text) == "2 of 3 in this list"
    assert title(support.get(neighbour(text, "prev")).text) == "VO-3"
    assert title(support.get(neighbour(text, "next")).text) == "VO-1"


def test_all_lanes_are_gone_through_as_one_list(dash: Dashboard) -> None:
    form_in("FAILED", number="VO-1")
    place_order("VO-2", kits=("KIT-A", "KIT-B"))
    form_in("SENT", number="VO-3")
    viewer = dash.as_("viewer")
    links = [
        html.unescape(link) for link in re.findall(r'class="row-link" href="([^"]+)"', viewer.get("/dispatches").text)
    ]
    assert len(links) == 8
    met, address = [], links[0]
    while address:
        met.append(address)
        address = neighbour(viewer.get(address).text, "next")
    assert [link.partition("?")[0] for link in met] == [link.partition("?")[0] for link in links]


@pytest.mark.parametrize(
    "back",
    ["", "/stories/", "/lanes/nope", "/dispatches/health_information/x", "//evil.example/dispatches", "/\x00?a[]=%ff"],
)
def test_whoever_comes_from_no_list_sees_none(dash: Dashboard, back: str) -> None:
    text = opened(dash.as_("viewer"), form_in("FAILED"), back)
    assert "Within the list" not in text


@pytest.mark.parametrize("place", ["x", "9" * 40, "-1", "1.5", ""])
def test_a_place_that_cannot_be_read_is_as_none(dash: Dashboard, place: str) -> None:
    assert "in this list" in standing(opened(dash.as_("viewer"), form_in("FAILED"), place=place))


def test_a_list_by_time_left_has_no_place_for_a_row_without_a_deadline(dash: Dashboard) -> None:
    text = opened(dash.as_("viewer"), form_in("FAILED"), "/dispatches?status=FAILED&sort=left")
    assert "Within the list" not in text


def test_keys_go_through_a_list(site: Site) -> None:
    with connected():
        for number in ("VO-1", "VO-2"):
            form_in("FAILED", number=number)
    page = site.signed_in("support", scheme="dark", width=390)
    page.goto(f"{site.url}{FAILED}")
    page.locator("a.row-link").first.click()
    walk = page.get_by_role("navigation", name="Within the list")
    expect(walk).to_contain_text("1 of 2 in this list")
    page.wait_for_load_state()  # keys are heard once the scripts are there
    page.keyboard.press("n")
    expect(walk).to_contain_text("2 of 2 in this list")
    expect(walk).to_contain_text("Last of the list")
    assert violations(page) == []
    page.keyboard.press("p")
    expect(walk).to_contain_text("First of the list")
    page.wait_for_load_state()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_contain_text("the next of its list")
