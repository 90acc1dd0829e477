"""Keys, colours, time zones and the page that explains: comforts of one browser, and every page works without them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from dispatchlog.engine.database import connected
from tests.dashboard.browsing import Dashboard, page_of
from tests.dashboard.samples import form_in
from tests.dashboard.test_browser import Site, chromium, site, violations

__all__ = ["chromium", "site"]  # fixtures


def test_a_chosen_time_zone_is_what_times_are_shown_in_with_the_exact_utc_beside(dash: Dashboard) -> None:
    row = form_in("FAILED")
    at = row["updated_at"]
    visitor = dash.as_("viewer")
    assert f"{at:%H:%M} UTC" in visitor.get(page_of(row)).text
    visitor.get("/account")
    kept = visitor.post("/preferences", zone="Asia/Kathmandu", theme="dark", keys="on", follow=True)
    assert "Kept for this browser." in kept.text
    shown = visitor.get(page_of(row)).text
    assert "+0545" in shown
    assert f'title="{at.day} {at:%b} {at.year}, {at:%H:%M:%S} UTC"' in shown
    assert '<html lang="en" data-theme="dark" data-keys="on">' in shown


@pytest.mark.parametrize("zone", ["Mars/Base", "../etc/passwd", "UTC\x00"])
def test_a_time_zone_that_does_not_exist_changes_nothing(dash: Dashboard, zone: str) -> None:
    visitor = dash.as_("viewer")
    visitor.get("/account")
    refused = visitor.post("/preferences", zone=zone, theme="dark", follow=True)
    assert "is not a time zone" in refused.text
    assert 'data-theme="auto"' in refused.text


@pytest.mark.parametrize("cookie", ["Mars/Base", "../../etc/passwd", "%00", ""])
def test_a_cookie_that_was_tampered_with_is_as_none(dash: Dashboard, cookie: str) -> None:
    row = form_in("FAILED")
    visitor = dash.as_("viewer")
    visitor.client.set_cookie("zone", cookie)
    visitor.client.set_cookie("theme", cookie)
    shown = visitor.get(page_of(row))
    assert shown.status_code == 200
    assert f"{row['updated_at']:%H:%M} UTC" in shown.text
    assert 'data-theme="auto"' in shown.text


def test_help_explains_every_state_and_word(dash: Dashboard) -> None:
    shown = dash.as_("viewer").get("/help").text
    for word in ("In doubt", "Waiting", "Sweep", "Idempotency key"):
        assert re.search(rf">\s*{word}\s*<", shown) or f"</svg>{word}" in shown, word
    assert "<kbd>/</kbd>" in shown


def test_keys_open_pages_walk_lists_and_show_themselves(site: Site) -> None:
    with connected():
        for number in ("VO-1", "VO-2"):
            form_in("FAILED", number=number)
    page = site.signed_in("support")
    page.keyboard.press("g")
    page.keyboard.press("a")
    expect(page.get_by_role("heading", name="All dispatches", level=1)).to_be_visible()
    page.wait_for_load_state()  # keys are heard once the scripts are there
    for key, current in (("j", 0), ("j", 1), ("k", 0)):
        page.keyboard.press(key)
        expect(page.locator("table.rows tbody tr").nth(current).locator("a.row-link")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Where it is")).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("u")
    expect(page.get_by_role("heading", name="All dispatches", level=1)).to_be_visible()
    page.wait_for_load_state()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    expect(sheet).to_contain_text("In doubt")
    page.keyboard.press("Escape")
    expect(sheet).to_be_hidden()
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("g?")
    expect(sheet).to_be_hidden()


CLOSE_AND_TYPE = """(id) => {
  const dialog = document.getElementById(id);
  dialog.showModal();
  dialog.close();
  const heard = new KeyboardEvent("keydown", { key: "/", bubbles: true, cancelable: true });
  const left = dialog.contains(document.activeElement);
  document.activeElement.dispatchEvent(heard);
  return [left, heard.defaultPrevented, document.activeElement.id];
}"""


@pytest.mark.parametrize("dialog", ["keys", "retry-reason-dialog"])
def test_a_key_right_after_a_dialog_closed_is_the_pages(site: Site, dialog: str) -> None:
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches")
    # Until it draws the next frame, the browser leaves the focus in the closed dialog.
    assert page.evaluate(CLOSE_AND_TYPE, dialog) == [True, True, "q"]


def test_a_key_typed_in_an_open_dialog_is_no_shortcut(site: Site) -> None:
    page = site.signed_in("support")
    page.goto(f"{site.url}/dispatches")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    expect(page.get_by_label("Search")).not_to_be_focused()


def test_the_sheet_has_the_key_of_every_page(site: Site) -> None:
    page = site.signed_in("admin")
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog", name="Keys")
    expect(sheet).to_be_visible()
    opened = page.evaluate("Object.keys(pagesByKey)")
    told = [words.split()[1] for words in sheet.locator("dt").all_inner_texts() if words.startswith("g")]
    assert sorted(told) == sorted(opened)


@pytest.mark.parametrize(("path", "line"), [("/", "Overview"), ("/people", "People"), ("/roles", "Roles")])
def test_the_line_of_this_page_is_in_sight_in_a_menu_longer_than_the_screen(site: Site, path: str, line: str) -> None:
    page = site.signed_in("admin")
    page.set_viewport_size({"width": 1280, "height": 500})
    page.goto(site.url + path)
    page.wait_for_load_state()
    menu = page.get_by_role("navigation", name="Main")
    expect(menu.get_by_role("link", name=line, exact=True)).to_be_in_viewport(ratio=1)
    assert page.evaluate("scrollY") == 0


def test_keys_can_be_switched_off(site: Site) -> None:
    page = site.signed_in("viewer")
    page.goto(f"{site.url}/account")
    page.get_by_label("Single keys are shortcuts").uncheck()
    page.get_by_role("button", name="Keep for this browser").click()
    expect(page.get_by_role("status")).to_contain_text("Kept for this browser.")
    page.wait_for_load_state()
    page.locator("h1").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_hidden()
    page.goto(f"{site.url}/dispatches")
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).not_to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_chosen_colour_outweighs_the_systems_and_both_are_accessible(site: Site, scheme: str) -> None:
    page = site.signed_in("admin", scheme="dark" if scheme == "light" else "light")
    page.goto(f"{site.url}/account")
    page.get_by_label("Colours").select_option(scheme)
    page.get_by_role("button", name="Keep for this browser").click()
    expect(page.get_by_role("status")).to_contain_text("Kept for this browser.")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(245, 247, 247)", "dark": "rgb(15, 22, 23)"}[scheme]
    found = {}
    for path in ("/account", "/help", "/dispatches"):
        for width in (1280, 390):
            page.set_viewport_size({"width": width, "height": 844})
            page.goto(site.url + path)
            found[f"{path} {width}"] = violations(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}
