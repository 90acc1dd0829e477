"""An admin puts failed HL7 messages right in a real Chromium: all of them, some, one, and one by editing it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from dispatchlog.engine.lanes import Row
from dispatchlog.systems.hl7.endpoints import routes
from tests.dashboard.hl7_samples import add_school, found, message
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_browser_bulk import errors_of
from tests.systems.hl7.visits import VISIT

__all__ = ["chromium", "site"]  # fixtures

NARROW = 390


@pytest.fixture
def failed(site: Site) -> list[Row]:
    """Three failed messages of one school and one of another, none of which leaves."""
    routes.forget()
    add_school("SCH-01", "Palm Grove School")
    add_school("SCH-02", "Harbour School")
    rows = [
        message("FAILED", visit=replace(VISIT, student=replace(VISIT.student, id=f"S-1004{number}")))
        for number in range(3)
    ]
    return [*rows, message("FAILED", school="SCH-02")]


def test_failed_messages_are_retried_all_some_and_one(site: Site, failed: list[Row]) -> None:
    page = site.signed_in("admin")
    errors = errors_of(page)
    page.get_by_role("link", name="HL7 Messages", exact=True).click()
    expect(page.get_by_role("heading", name="HL7 Messages", exact=True)).to_be_visible()
    page.get_by_label("Status", exact=True).select_option("FAILED")
    page.get_by_label("School", exact=True).select_option("SCH-01")
    page.get_by_role("button", name="Show").click()
    rows = page.locator("table.hl7-rows tbody tr")
    expect(rows).to_have_count(3)
    expect(page).to_have_url(f"{site.url}/admin/hl7?status=FAILED&school=SCH-01&from=&to=")
    page.get_by_role("button", name=f"Retry {failed[0]['control_id']}").click()
    expect(page.get_by_role("status").first).to_contain_text("Its retry count is 0 again.")
    expect(rows).to_have_count(2)
    selected = page.get_by_role("button", name="Retry selected")
    expect(selected).to_be_disabled()
    page.get_by_label(f"Select {failed[1]['control_id']}").check()
    page.get_by_role("button", name="Retry 1 selected").click()
    expect(page.get_by_role("status").first).to_contain_text("1 selected message is due now.")
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="Clear").click()
    expect(rows).to_have_count(4)
    page.wait_for_load_state()  # its scripts ask first
    page.get_by_role("button", name="Retry all failed 2").click()
    page.get_by_role("dialog").get_by_role("button", name="Retry all failed").click()
    expect(page.get_by_role("status").first).to_contain_text("2 failed messages are due now.")
    assert {found(row["id"])["status"] for row in failed} == {"PENDING"}
    assert errors == []


def test_a_button_says_that_it_is_at_work_and_sends_its_form_once(site: Site, failed: list[Row]) -> None:
    page = site.signed_in("admin")
    page.goto(f"{site.url}/admin/hl7?school=SCH-02")
    # What would be sent is counted after the page's own listeners, and goes nowhere.
    page.evaluate(
        "window.sent = 0; window.addEventListener('submit', (event) => {"
        " window.sent += event.defaultPrevented ? 0 : 1; event.preventDefault(); })"
    )
    page.get_by_role("button", name=f"Retry {failed[3]['control_id']}").click()
    button = page.locator("table.hl7-rows td.actions button")
    expect(button).to_have_text("Retrying…")
    expect(button).to_have_attribute("aria-busy", "true")
    refreshed = "live => { delete live.dataset.last; return refresh(live); }"
    assert page.locator("#live").evaluate(refreshed) is False  # it stays, with what it says
    button.evaluate("button => button.click()")
    assert page.evaluate("window.sent") == 1


def test_a_message_is_looked_at_unmasked_edited_and_sent_anew(site: Site, failed: list[Row]) -> None:
    page = site.signed_in("admin")
    errors = errors_of(page)
    page.goto(f"{site.url}/admin/hl7?school=SCH-02")
    page.get_by_role("link", name="Assessment").click()
    expect(page.get_by_role("heading", name=f"Assessment {failed[3]['control_id']}")).to_be_visible()
    expect(page.locator("#message")).to_contain_text("Body temperature")
    expect(page.locator("#tries")).to_contain_text("Table value not found")
    expect(page.get_by_text("Mansoori")).to_have_count(0)
    page.get_by_text("Show it unmasked…").click()
    page.get_by_label("Why do you need to see whom it is about?").fill("the school asks")
    page.get_by_role("button", name="Show it unmasked").click()
    expect(page.locator("#message")).to_contain_text("Al Mansoori · Maryam")
    page.get_by_text("Edit and send as a new message…").click()
    page.get_by_label("Why does it have to be edited?").fill("the name is misspelt")
    page.get_by_role("button", name="Open the form").click()
    expect(page.get_by_role("heading", name="Edit and send as a new message")).to_be_visible()
    page.get_by_label("Body temperature (°C)").fill("99")
    page.get_by_role("group", name="Student").get_by_label("Given name", exact=True).fill("Mariam")
    page.get_by_role("button", name="Send as a new message").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was sent: 1 field has to be put right")
    expect(page.get_by_label("Body temperature (°C)")).to_have_attribute("aria-invalid", "true")
    page.get_by_label("Body temperature (°C)").fill("37.2")
    page.get_by_role("button", name="Send as a new message").click()
    expect(page.get_by_role("status").first).to_contain_text("A new message is queued to be sent.")
    expect(page.locator("#message")).to_contain_text("37.2")
    page.get_by_role("link", name=f"message {failed[3]['control_id']}").click()
    expect(page.get_by_label("Where it is")).to_contain_text("Cancelled")
    expect(page.get_by_label("Where it is")).to_contain_text("in its place")
    assert [error for error in errors if "400" not in error] == []


def test_it_all_works_without_scripts(site: Site, failed: list[Row]) -> None:
    page = site.signed_in("admin", scripts=False)
    page.goto(f"{site.url}/admin/hl7?status=FAILED")
    page.get_by_label(f"Select {failed[0]['control_id']}").check()
    page.get_by_role("button", name="Retry selected").click()
    expect(page.get_by_role("status").first).to_contain_text("1 selected message is due now.")
    page.get_by_role("button", name="Retry all failed 3").click()
    expect(page.get_by_role("status").first).to_contain_text("3 failed messages are due now.")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", NARROW)])
def test_the_pages_are_accessible_and_fit_their_width(site: Site, failed: list[Row], scheme: str, width: int) -> None:
    message("SENT")
    message("RETRYING", school="SCH-02")
    page = site.signed_in("admin", scheme=scheme, width=width)
    place = f"{site.url}/admin/hl7"
    one = f"{place}/{failed[0]['id']}"
    for address in (place, f"{place}?status=CANCELLED", f"{place}/retry-all?status=FAILED", one):
        page.goto(address)
        assert violations(page) == [], address
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    page.get_by_text("Edit and send as a new message…").click()
    page.get_by_label("Why does it have to be edited?").fill("the name is misspelt")
    page.get_by_role("button", name="Open the form").click()
    expect(page.get_by_role("heading", name="Edit and send as a new message")).to_be_visible()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
