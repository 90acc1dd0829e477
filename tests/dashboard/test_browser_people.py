"""The second factor, people, roles and who did what in a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from dispatchlog import people
from dispatchlog.engine.database import connected, fetch_one
from dispatchlog.engine.operator import log_action
from tests.dashboard.browsing import PASSWORD
from tests.dashboard.samples import form_in
from tests.dashboard.second_factors import App, forget_used_codes, give_second_factor
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_browser_doors import sign_in
from tests.dashboard.ticket_accounts import link_accounts

__all__ = ["chromium", "site"]  # fixtures

NARROW = 390


def id_of(email: str) -> int:
    with connected():
        return int(fetch_one("SELECT id FROM staff_users WHERE email = %s", (email,))[0])


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_somebody_sets_up_a_second_factor_and_signs_in_with_it(site: Site, scripts: bool) -> None:
    page = site.signed_in("support", scripts=scripts)
    page.goto(f"{site.url}/account")
    page.get_by_role("link", name="Set it up").click()
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("img", name="QR code for your authenticator app")).to_be_visible()
    page.get_by_text("It cannot scan? Type this key instead").click()
    app = App((page.locator("#typed-key").text_content() or "").replace(" ", ""), [])
    page.get_by_label("Code", exact=True).fill(app.code())
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="Keep your recovery codes")).to_be_visible()
    expect(page.locator("#recovery-codes li")).to_have_count(10)
    kept = page.locator("#recovery-codes li").all_text_contents()
    page.get_by_role("link", name="I have kept them").click()
    expect(page.get_by_text("10 recovery codes are left.")).to_be_visible()
    page.goto(f"{site.url}/")
    if page.get_by_role("button", name="Sign out").is_visible():
        page.get_by_role("button", name="Sign out").click()
    sign_in(page, "support@example.org", PASSWORD)
    expect(page.get_by_role("heading", name="Enter your code")).to_be_visible()
    page.get_by_label("Code from your authenticator app").fill("000000")
    page.get_by_role("button", name="Sign in").first.click()
    expect(page.get_by_role("alert")).to_contain_text("That code is not right.")
    page.get_by_text("No app at hand? Use a recovery code").click()
    page.get_by_label("Recovery code").fill(kept[0])
    page.locator("details.more").get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("9 are left")


def test_an_administrator_makes_and_closes_an_account(site: Site) -> None:
    page = site.signed_in("admin")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.get_by_role("navigation", name="Main").get_by_role("link", name="People").click()
    page.get_by_role("link", name="New account").click()
    page.get_by_label("E-mail address").fill("new@example.org")
    page.get_by_label(re.compile(r"^\s*support")).check()
    page.get_by_role("button", name="Make the account").click()
    given = page.locator("#one-time-password").text_content()
    assert given
    page.get_by_role("link", name="I have it").click()
    expect(page.get_by_role("heading", name="new@example.org")).to_be_visible()
    page.get_by_text("Close the account…").click()
    page.get_by_label("Reason", exact=True).and_(page.locator("#disable-reason")).fill("made by mistake")
    page.get_by_role("button", name="Close the account", exact=True).click()
    expect(page.get_by_role("status")).to_contain_text("new@example.org is closed and signed out.")
    page.get_by_role("link", name="Who did what").click()
    expect(
        page.get_by_role("row", name=re.compile("Closed an account.*made by mistake.*new@example.org"))
    ).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    assert download.value.suggested_filename.endswith(".csv")
    assert errors == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_are_accessible_and_fit_a_telephone(site: Site, scheme: str) -> None:
    fill(site)
    found: dict[str, list[str]] = {}

    def look(page: Page, name: str) -> None:
        for details in page.locator("details.act, details.more").all():
            details.evaluate("element => { element.open = true }")
        for width in (1280, NARROW):
            page.set_viewport_size({"width": width, "height": 900})
            found[f"{name} {width}"] = violations(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)

    tour(site, scheme, look)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def fill(site: Site) -> None:
    """What makes these pages show all they can show."""
    with connected():
        row = form_in("FAILED", number="VO-31415")
    people.create_user("new@example.org", roles=["viewer"], actor="admin@example.org")
    people.disable_user("auditor@example.org", actor="admin@example.org", reason="left the company")
    people.set_roles("pharmacist@example.org", ["pharmacist", "auditor"], actor="admin@example.org")
    log_action("support@example.org", "reveal", lane="health_information", dispatch_id=row["id"])
    log_action(
        "support@example.org", "cancel", lane="health_information", dispatch_id=row["id"], reason="ordered twice"
    )


def tour(site: Site, scheme: str, look: object) -> None:
    """Every page of this piece, in turn."""
    assert callable(look)
    site.signed_in("support")
    page = site.signed_in("admin", scheme=scheme)
    support = id_of("support@example.org")
    for name, path in {
        "people": "/people",
        "new": "/people/new",
        "person": f"/people/{support}",
        "closed": f"/people/{id_of('auditor@example.org')}",
        "own": f"/people/{id_of('admin@example.org')}",
        "roles": "/roles",
        "audit": "/audit",
        "audit filtered": "/audit?action=kind-accounts&from=x",
        "audit empty": "/audit?q=nothing-like-it",
        "account": "/account",
        "prove first": "/account/second-factor",
    }.items():
        page.goto(site.url + path)
        look(page, name)
    page.get_by_label("Your password").fill("a wrong password")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, "prove refused")
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Set up your second factor")).to_be_visible()
    look(page, "set up")
    app = App((page.locator("#typed-key").text_content() or "").replace(" ", ""), [])
    page.get_by_label("Code", exact=True).fill("000000")
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, "set up refused")
    page.get_by_label("Code", exact=True).fill(app.code())
    page.get_by_role("button", name="Turn it on").click()
    expect(page.get_by_role("heading", name="Keep your recovery codes")).to_be_visible()
    look(page, "recovery codes")
    page.goto(f"{site.url}/account/second-factor")
    look(page, "prove again")
    page.goto(f"{site.url}/account")
    look(page, "account with")
    page.goto(f"{site.url}/people/{support}")
    page.get_by_text("Reset password…").click()
    page.locator("#password-reason").fill("forgotten")
    page.get_by_role("button", name="Make a one-time password").click()
    expect(page.locator("#one-time-password")).to_be_visible()
    look(page, "one-time password")
    give_second_factor("viewer@example.org")
    forget_used_codes()
    page.goto(f"{site.url}/people/{id_of('viewer@example.org')}")
    look(page, "person with")
    visitor = site.visitor(scheme=scheme)
    visitor.goto(f"{site.url}/sign-in")
    sign_in(visitor, "viewer@example.org", PASSWORD)
    expect(visitor.get_by_role("heading", name="Enter your code")).to_be_visible()
    look(visitor, "code")
    visitor.get_by_label("Code from your authenticator app").fill("000000")
    visitor.get_by_role("button", name="Sign in").first.click()
    expect(visitor.get_by_role("alert")).to_be_visible()
    look(visitor, "code refused")


def test_an_administrator_links_an_account_to_whom_it_acts_for(site: Site) -> None:
    page = site.signed_in("admin")
    page.goto(f"{site.url}/people/{id_of('doctor@example.org')}")
    page.get_by_text("Link to a party…").click()
    page.get_by_label("For whom they act").select_option(label="A new doctor")
    page.get_by_label("Their name").fill("Dr Sample North")
    page.locator("#link-reason").fill("at the desk from today on")
    found = {"form": violations(page)}
    page.get_by_role("button", name="Link the account").click()
    expect(page.get_by_role("status")).to_contain_text("doctor@example.org acts for Dr Sample North now.")
    page.get_by_text("Unlink…").click()
    found["linked"] = violations(page)
    page.locator("#unlink-reason").fill("made by mistake")
    page.get_by_role("button", name="Unlink the account").click()
    expect(page.get_by_role("status")).to_contain_text("doctor@example.org acts for nobody any more.")
    assert found == {"form": [], "linked": []}


@pytest.mark.parametrize("role", ["doctor", "patient"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_party_of_tickets_works_here_without_a_request_that_is_refused(site: Site, role: str, scheme: str) -> None:
    link_accounts()
    page = site.visitor(scheme=scheme)
    page.goto(f"{site.url}/sign-in?next=/account")
    sign_in(page, f"{role}@example.org", PASSWORD)
    expect(page.get_by_role("button", name="Sign out", exact=True)).to_be_visible()
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    page.on("console", lambda message: refused.append(message.text) if message.type == "error" else None)
    found = {}
    for path in ("/account", "/help", "/account/second-factor"):
        page.goto(site.url + path)
        found[path] = violations(page)
    page.set_viewport_size({"width": NARROW, "height": 844})
    page.goto(f"{site.url}/account")
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW
    assert (refused, found) == ([], {path: [] for path in found})
