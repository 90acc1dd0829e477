"""The order pages in a real Chromium: readable in every theme and width, the code's dialog, selecting, and toasts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from dispatchlog.systems.courier import codes
from dispatchlog.systems.courier.code_rules import code_of
from tests.dashboard.order_samples import attempt, event, one_of_each, order, the_order
from tests.dashboard.test_browser import Site, chromium, site, violations
from tests.dashboard.test_order_page import another, dispatch_of, give_code

__all__ = ["chromium", "site"]  # fixtures


def on_its_way() -> tuple[dict[str, Any], str]:
    """An order in transit with much to show, and its code."""
    row = order(
        "IN_TRANSIT",
        dispatch={"driver_name": "Musa", "tracking_url": "https://t.example/1", "disagreement": "two words"},
    )
    event(row["dispatch_id"], "PICKED_UP", source="poll")
    event(row["dispatch_id"], None)
    give_code(row)
    return row, code_of(row["dispatch_id"], dispatch_of(row)["code_counter"])


def wide(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 390), ("dark", 390)])
def test_axe_finds_nothing_wrong_with_any_page(site: Site, scheme: str, width: int) -> None:
    each = one_of_each()
    row, _ = on_its_way()
    attempt(each["FAILED"]["id"], "CANCELED", number=2)
    page = site.signed_in("admin", scheme=scheme, width=width)
    found = {}
    for path in (
        "/orders",
        f"/orders/{row['id']}",
        f"/orders/{each['UNPAID']['id']}",
        f"/orders/{each['BOOKING_FAILED']['id']}",
        f"/orders/{each['FAILED']['id']}",
        f"/orders/{row['id']}/deliver",
        "/orders/ready?status=UNPAID",
        "/orders/analytics",
        "/pharmacies",
        "/pharmacies/PH-01",
    ):
        page.goto(f"{site.url}{path}")
        expect(page.locator("h1")).to_be_visible()
        found[path] = violations(page) + (["it is wider than the screen"] if wide(page) else [])
    page.goto(f"{site.url}/orders/{row['id']}")
    page.get_by_role("link", name="Confirm delivery…").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found["dialog"] = violations(page)
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


def test_the_code_is_checked_before_it_is_sent_and_errors_stay_in_the_dialog(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codes, "RESEND_AFTER", timedelta(hours=1))
    row, code = on_its_way()
    page = site.signed_in("pharmacist")
    page.goto(f"{site.url}/orders/{row['id']}")
    page.get_by_role("link", name="Confirm delivery…").click()
    dialog = page.get_by_role("dialog")
    field = dialog.get_by_label("Delivery code")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("inputmode", "numeric")
    field.fill("12a")
    expect(dialog.get_by_role("status").first).to_have_text("A code has digits only.")
    field.fill("1234")
    dialog.get_by_role("button", name="Confirm delivery").click()
    expect(dialog.get_by_role("status").first).to_have_text("A code has 6 digits; these are 4.")
    assert dispatch_of(row)["code_tries"] == 0
    field.fill(another(code))
    dialog.get_by_role("button", name="Confirm delivery").click()
    expect(dialog.get_by_role("alert")).to_contain_text("That is not the code.")
    expect(dialog).to_contain_text("4 tries left of 5")
    expect(dialog).to_contain_text("It can be sent again in")
    dialog.get_by_label("Delivery code").fill(f"{code[:3]} {code[3:]}")
    dialog.get_by_role("button", name="Confirm delivery").click()
    expect(page.get_by_label("Where it is")).to_contain_text("Delivered")
    expect(page.get_by_role("status").first).to_contain_text("Delivered. The code was right.")
    assert the_order(row["id"])["dispatch_status"] == "DELIVERED"


def test_the_code_works_without_scripts(site: Site) -> None:
    row, code = on_its_way()
    page = site.signed_in("pharmacist", scripts=False)
    page.goto(f"{site.url}/orders/{row['id']}")
    page.get_by_role("link", name="Confirm delivery…").click()
    expect(page.get_by_role("heading", name="Confirm the delivery")).to_be_visible()
    page.get_by_label("Delivery code").fill(another(code))
    page.get_by_role("button", name="Confirm delivery").click()
    expect(page.get_by_role("alert")).to_contain_text("That is not the code.")
    page.get_by_label("Delivery code").fill(code)
    page.get_by_role("button", name="Confirm delivery").click()
    expect(page.get_by_label("Where it is")).to_contain_text("Delivered")


def test_an_update_is_said_and_the_arrival_is_counted_down(site: Site) -> None:
    row = order("BOOKED", dispatch={"eta_at": datetime.now(UTC) + timedelta(minutes=90, seconds=30)})
    page = site.signed_in("viewer")
    page.goto(f"{site.url}/orders/{row['id']}")
    countdown = page.locator("time[data-countdown]")
    expect(countdown).to_contain_text("in 1 h")
    tell = "payload => document.dispatchEvent(new CustomEvent('dispatchlog:order-updated', { detail: payload }))"
    page.evaluate(tell, {"orderId": "another", "what": "status", "dispatchStatus": "FAILED"})
    page.evaluate(
        tell,
        {
            "orderId": str(row["id"]),
            "orderNumber": row["order_number"],
            "what": "status",
            "dispatchStatus": "ASSIGNED",
            "version": 99,
        },
    )
    expect(page.locator(".toasts")).to_have_text(f"{row['order_number']}: Driver assigned")


def test_ticked_orders_are_marked_ready_after_they_were_confirmed(site: Site) -> None:
    rows = [order(paid=False) for _ in range(2)]
    order("BOOKED")
    page = site.signed_in("pharmacist")
    page.goto(f"{site.url}/orders")
    button = page.get_by_role("button", name="Mark selected ready")
    expect(button).to_be_disabled()
    page.get_by_label("This page").check()
    page.get_by_role("button", name="Mark 2 ready").click()
    page.get_by_role("dialog").get_by_role("button", name="Mark the selected ready").click()
    expect(page.get_by_role("status").first).to_contain_text("2 marked ready, 2 waiting for the payment.")
    assert [the_order(row["id"])["is_ready_for_dispatch"] for row in rows] == [True, True]
