"""The parties' lists and the writing of a prescription in a real Chromium: in every theme and width, by keyboard, live."""

from __future__ import annotations

import re
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import Page, expect

from dispatchlog.systems.tickets.prescribing import keep_draft, kept_draft
from dispatchlog.systems.tickets.reading import ticket_state
from dispatchlog.systems.tickets.states import Side, TicketStatus, TicketType
from tests.dashboard.browsing import PASSWORD
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.ticket_accounts import link_accounts, new_patient, say, ticket
from tests.engine.processes import until

__all__ = ["chromium", "site"]  # fixtures

WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
TOLD = "document.dispatchEvent(new CustomEvent('dispatchlog:ticket', { detail: { what: 'ticket' } }))"


def signed_in(site: Site, role: str, *, scheme: str = "light", width: int = 1280, scripts: bool = True) -> Page:
    """A party of tickets at its list."""
    page = site.visitor(scheme=scheme, width=width, scripts=scripts)
    page.goto(f"{site.url}/sign-in?next=/tickets")
    page.get_by_label("E-mail address").fill(f"{role}@example.org")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{site.url}/tickets")
    expect(page.locator("h1")).to_be_visible()
    page.wait_for_load_state()  # its scripts are there
    return page


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_wrong_with_any_page(site: Site, scheme: str, width: int) -> None:
    care = link_accounts()
    for status in TicketStatus:
        row = ticket(care, status, patient=new_patient("A Patient With A Rather Long Name Of Several Parts"))
    say(care.doctor, ticket(care), "please")
    say(care.pharmacy, ticket(care), "gladly")
    row = ticket(care, TicketStatus.CREATED)
    keep_draft(care.doctor, row["id"], {"items": [{"name": "Amoxicillin", "dosage": "1"}, {"name": "x"}], "notes": "n"})
    lab = ticket(care, TicketStatus.CREATED, receiver=care.laboratory, ticket_type=TicketType.LAB_REQUEST)
    found: dict[str, list[str]] = {}

    def look(page: Page, name: str) -> None:
        expect(page.locator("h1")).to_be_visible()
        found[name] = violations(page) + (["it is wider than the screen"] if page.evaluate(WIDER) else [])

    for role, paths in {
        "pharmacist": ["/tickets", "/tickets?status=all", "/tickets?status=cancelled&unread=1&type=referral"],
        "patient": ["/tickets", "/tickets?status=ended"],
        "doctor": [
            "/tickets",
            "/tickets/new",
            f"/tickets/{row['id']}/prescription",
            f"/tickets/{lab['id']}/prescription",
        ],
    }.items():
        page = signed_in(site, role, scheme=scheme, width=width)
        for path in paths:
            page.goto(f"{site.url}{path}")
            look(page, f"{role} {path}")
    page.goto(f"{site.url}/tickets/{row['id']}/prescription?find=")
    page.get_by_role("button", name=re.compile("Save and send")).click()
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, "faults")
    page.locator("#items-1-quantity").fill("20")
    page.get_by_role("button", name=re.compile("Save and send")).click()
    expect(page).to_have_url(re.compile("/confirm$"))
    look(page, "confirm")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def test_a_doctor_begins_writes_looks_over_and_sends_a_prescription(site: Site) -> None:
    care = link_accounts()
    page = signed_in(site, "doctor")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.get_by_role("link", name="New ticket").first.click()
    page.get_by_label("Appointment").fill(str(uuid4()))
    page.get_by_label("Patient").fill("sample.patient@example.org")
    page.get_by_label("Search by name").fill("harb")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("radio")).to_have_count(1)
    expect(page.get_by_label("Harbour Pharmacy")).to_be_checked()
    page.get_by_role("button", name="Begin writing").click()
    first = page.get_by_role("group", name="Medicine 1")
    first.get_by_label("Medicine (needed)").fill("Amoxicillin")
    page.wait_for_load_state()
    page.get_by_role("button", name="Add another medicine").click()
    second = page.get_by_role("group", name="Medicine 2")
    expect(second.get_by_label("Medicine (needed)")).to_be_focused()
    second.get_by_label("Medicine (needed)").fill("Paracetamol")
    second.get_by_label("Quantity").fill("20 tablets")
    page.get_by_role("button", name="Save and send to Harbour Pharmacy…").click()
    expect(page.get_by_text("A medicine needs a dosage or a quantity.")).to_be_visible()
    expect(first.get_by_label("Dosage")).to_have_attribute("aria-invalid", "true")
    first.get_by_label("Dosage").fill("1 capsule")
    page.get_by_text("Choose another pharmacy").click()
    page.get_by_label("Linden Pharmacy").check()
    page.get_by_role("button", name="Save and send to Linden Pharmacy…").click()
    expect(page.get_by_role("heading", name="Send to Linden Pharmacy?")).to_be_visible()
    expect(page.locator("main")).to_contain_text("Sample Patient")
    expect(page.get_by_role("listitem").filter(has_text="Paracetamol")).to_contain_text("20 tablets")
    ticket_id = page.url.split("/")[4]
    with page.expect_navigation(url=f"{site.url}/tickets/{ticket_id}"):
        page.get_by_role("button", name="Send to Linden Pharmacy").click()
    state = ticket_state(care.pharmacy, UUID(ticket_id))
    assert [item["name"] for item in state.items] == ["Amoxicillin", "Paracetamol"]
    assert state.ticket["status"] == TicketStatus.SENT
    assert errors == []


def test_a_prescription_is_written_without_scripts(site: Site) -> None:
    care = link_accounts()
    row = ticket(care, TicketStatus.CREATED)
    page = signed_in(site, "doctor", scripts=False, width=390)
    page.get_by_role("link", name=row["ticket_number"]).click()
    page.get_by_label("Medicine (needed)").fill("Amoxicillin")
    page.get_by_role("button", name="Add another medicine").click()
    expect(page.get_by_role("group", name="Medicine 2")).to_be_visible()
    page.locator("#items-1-name").fill("Paracetamol")
    page.get_by_role("button", name="Remove medicine 1").click()
    expect(page.get_by_role("group", name="Medicine 2")).to_have_count(0)
    expect(page.locator("#items-0-name")).to_have_value("Paracetamol")
    page.locator("#items-0-dosage").fill("1 tablet")
    # Enter keeps the draft; it never sends.
    page.locator("#items-0-dosage").press("Enter")
    expect(page.get_by_role("status").first).to_contain_text("The draft is kept. Nothing was sent.")
    page.get_by_role("button", name=re.compile("Save and send")).click()
    with page.expect_navigation(url=f"{site.url}/tickets/{row['id']}"):
        page.get_by_role("button", name="Send to Linden Pharmacy").click()
    assert [item["name"] for item in ticket_state(care.doctor, row["id"]).items] == ["Paracetamol"]


def test_a_draft_keeps_itself_and_rows_go_by_keyboard(site: Site) -> None:
    care = link_accounts()
    row = ticket(care, TicketStatus.CREATED)
    page = signed_in(site, "doctor")
    page.goto(f"{site.url}/tickets/{row['id']}/prescription")
    page.locator("#items-0-name").fill("Amoxicillin")
    expect(page.locator("[data-kept]")).to_have_text("The draft is kept.")
    assert kept_draft(care.doctor, row["id"]) == {"items": [{"name": "Amoxicillin"}], "notes": ""}
    page.get_by_role("button", name="Add another medicine").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#items-1-name")).to_be_focused()
    page.keyboard.type("Paracetamol")
    page.get_by_role("button", name="Remove medicine 1").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#items-1-name")).to_be_focused()
    expect(page.get_by_role("group", name="Medicine 1")).to_be_visible()
    expect(page.get_by_role("group", name="Medicine 2")).to_have_count(0)
    until(lambda: kept_draft(care.doctor, row["id"]) == {"items": [{"name": "Paracetamol"}], "notes": ""})
    page.reload()
    expect(page.locator("#items-0-name")).to_have_value("Paracetamol")


def test_the_inbox_reads_itself_anew_when_told_and_keeps_the_focus(site: Site) -> None:
    care = link_accounts()
    old = ticket(care)
    page = signed_in(site, "pharmacist")
    link = page.get_by_role("link", name=old["ticket_number"])
    page.keyboard.press("j")
    expect(link).to_be_focused()
    page.get_by_role("link", name="Newest").click()
    expect(page.get_by_role("navigation", name="Order").get_by_role("link", name="Newest")).to_have_attribute(
        "aria-current", "true"
    )
    page.wait_for_load_state()
    link.focus()
    fresh = ticket(care)
    page.evaluate(TOLD)
    expect(page.get_by_role("link", name=fresh["ticket_number"])).to_be_visible()
    expect(link).to_be_focused()
    say(care.doctor, old, "please call")
    page.evaluate(TOLD)
    expect(page.get_by_role("row").filter(has_text=old["ticket_number"])).to_contain_text("1 unread")
    expect(link).to_be_focused()


def test_the_inbox_is_searched_by_keyboard_on_a_narrow_screen(site: Site) -> None:
    care = link_accounts()
    hers = ticket(care, patient=new_patient("Zora Canary"))
    ticket(care)
    page = signed_in(site, "pharmacist", width=390)
    expect(page.locator("tbody tr")).to_have_count(2)
    page.keyboard.press("/")
    expect(page.get_by_label("Search")).to_be_focused()
    page.keyboard.type("zora")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.get_by_role("link", name=hers["ticket_number"])).to_be_visible()
    assert "zora" not in page.url.lower()
    page.get_by_role("link", name="Clear").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert ticket_state(care.pharmacy, hers["id"]).parties[Side.PATIENT]["name"] == "Zora Canary"
