"""Signing in, the account, the orders and the API's page in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from dispatchlog import people
from dispatchlog.engine.database import connected
from tests.dashboard.browsing import PASSWORD
from tests.dashboard.samples import form_in, place_order
from tests.dashboard.test_browser import Site, chromium, site, violations

__all__ = ["chromium", "site"]  # fixtures

NARROW = 390
NEW = "eleven geese at dawn"


def test_a_newcomer_chooses_a_password_and_begins(site: Site) -> None:
    with connected():
        _, given = people.create_user("new@example.org", roles=["support"])
    page = site.visitor()
    page.goto(f"{site.url}/kit-orders")
    sign_in(page, "new@example.org", given)
    expect(page.get_by_role("heading", name="Choose your own password")).to_be_visible()
    page.get_by_label("The password you were given").fill(given)
    page.get_by_label("New password", exact=True).fill(NEW)
    page.get_by_label("New password, once more").fill("eleven geese at dusk")
    page.get_by_role("button", name="Use this password").click()
    expect(page.get_by_role("alert")).to_have_text("The two new passwords are not the same.")
    page.get_by_label("The password you were given").fill(given)
    page.get_by_label("New password", exact=True).fill(NEW)
    page.get_by_label("New password, once more").fill(NEW)
    page.get_by_role("button", name="Use this password").click()
    expect(page.get_by_role("heading", name="Kit orders")).to_be_visible()
    expect(page.get_by_role("status")).to_contain_text("Your new password is in force.")


def test_somebody_signs_out_everywhere_from_their_account(site: Site) -> None:
    elsewhere = site.signed_in("support")
    page = site.signed_in("support")
    page.get_by_role("link", name="support@example.org").click()
    expect(page.get_by_text("This one")).to_have_count(1)
    page.wait_for_load_state()  # its scripts ask first
    page.get_by_role("button", name="Sign out everywhere").click()
    page.get_by_role("dialog").get_by_role("button", name="Sign out everywhere").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    # The overview that is open there asks anew by itself.
    expect(elsewhere.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_these_pages_are_accessible_and_fit_a_telephone(site: Site, scheme: str) -> None:
    with connected():
        given = people.set_password("viewer@example.org")
        orders = [
            place_order("VO-0", status="paid"),
            place_order("VO-1", practitioner=None),
            place_order("VO-2", kits=()),
        ]
        orders.append(form_in("FAILED", number="VO-3")["order_id"])
    found: dict[str, list[str]] = {}

    def look(page: Page, name: str) -> None:
        for width in (1440, NARROW):
            page.set_viewport_size({"width": width, "height": 844})
            found[f"{name} {width}"] = violations(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)

    visitor = site.visitor(scheme=scheme)
    visitor.goto(f"{site.url}/api/docs")
    look(visitor, "api docs")
    visitor.goto(f"{site.url}/sign-in")
    sign_in(visitor, "viewer@example.org", "a wrong password")
    expect(visitor.get_by_role("alert")).to_be_visible()
    look(visitor, "refused")
    sign_in(visitor, "viewer@example.org", given)
    expect(visitor.get_by_role("heading", name="Choose your own password")).to_be_visible()
    look(visitor, "choose a password")
    page = site.signed_in("admin", scheme=scheme)
    for path in ("/account", "/kit-orders", *[f"/kit-orders/{order}" for order in orders]):
        page.goto(site.url + path)
        look(page, path)
    page.goto(f"{site.url}/account")
    page.get_by_label("Current password").fill(PASSWORD)
    page.get_by_label("New password", exact=True).fill("Password1234!")
    page.get_by_label("New password, once more").fill("Password1234!")
    page.get_by_role("button", name="Change password").click()
    expect(page.get_by_role("alert")).to_be_visible()
    look(page, "not accepted")
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


def sign_in(page: Page, email: str, password: str) -> None:
    page.get_by_label("E-mail address").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
