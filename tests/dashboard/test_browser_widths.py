"""No page of lists cuts off a button at the widths of laptops and tablets, in a real Chromium."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.dashboard import patient_rows
from tests.dashboard.samples import form_in, place_order
from tests.dashboard.test_browser import Site, chromium, site
from tests.outreach import builders

__all__ = ["chromium", "site"]

HIDDEN = """() => [...document.querySelectorAll("table.dispatch-rows td.actions .button")].filter((button) => {
  const card = button.closest(".table-card").getBoundingClientRect();
  return button.getBoundingClientRect().right > card.right + 0.5;
}).length"""


@pytest.mark.parametrize("width", [1024, 1280, 1440])
def test_every_button_of_the_list_is_in_sight(site: Site, width: int) -> None:
    form_in("FAILED", number="VO-20418")
    form_in("PENDING", number="VO-20419", email="somebody.with.a.long.name@mail.practice.example.org")
    place_order("VO-20420")
    page = site.signed_in("support", width=width)
    page.goto(f"{site.url}/dispatches")
    expect(page.get_by_role("link", name="Make due now").first).to_be_visible()
    assert page.evaluate(HIDDEN) == 0
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")


@pytest.mark.parametrize("width", [390, 1280])
def test_messages_to_patients_are_listed_within_the_page(site: Site, width: int) -> None:
    patient_id = builders.patient()
    key = f"event:{'d' * 64}"
    patient_rows.planned(patient_id, request_key=key, search_keys=[key])
    page = site.signed_in("support", width=width)
    page.goto(f"{site.url}/lanes/comm_job")
    expect(page.get_by_role("link", name="Appointment reminder by SMS").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert page.evaluate(HIDDEN) == 0
