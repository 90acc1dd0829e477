"""The kits system: which orders are taken up, what follows from a registration, and who gets which form."""

from __future__ import annotations

import email
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.policy import default
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.local.mailbox import list_messages
from dispatchlog.settings import get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.form_links import verify_form_token
from dispatchlog.systems.kit_orders import (
    KitInput,
    OrderError,
    OrderInput,
    PractitionerInput,
    ShipmentInput,
    order_state,
    put_order,
    report_shipment,
)
from dispatchlog.systems.kit_registering import cancel_for_cancelled_orders, register_missing, register_order
from tests.systems.conftest import Desk

PRACTITIONER = PractitionerInput(UUID("018f0000-0000-7000-8000-000000000001"), "Dr. Rivers", "practice@example.org")


def an_order(**changes: object) -> OrderInput:
    order = OrderInput(
        order_id=uuid4(),
        order_number="ORD-1001",
        practitioner=PRACTITIONER,
        status="paid",
        kits=(KitInput("KIT-A", "a@example.com"), KitInput("KIT-B")),
    )
    return replace(order, **changes)  # type: ignore[arg-type]


def count(table: str) -> int:
    with connected():
        return int(fetch_one(f"SELECT count(*) FROM {table}")[0])


@pytest.mark.parametrize(
    "shipment",
    [
        ShipmentInput(shipping_date=datetime(2026, 3, 1, tzinfo=UTC)),
        ShipmentInput(tracking_number="T-1"),
        ShipmentInput(tracking_url="https://tracking.example.com/T-1"),
        ShipmentInput(status="shipped"),
    ],
    ids=["shipping date", "tracking number", "tracking url", "status"],
)
def test_any_sign_of_shipment_registers_the_kits(desk: Desk, shipment: ShipmentInput) -> None:
    order = an_order()
    put_order(order, source="vitract-orders")
    assert desk.rows("kit_registration") == []
    report_shipment(order.order_id, shipment, source="vitract-kit-api-v1")
    assert [row["kit_id"] for row in desk.rows("kit_registration")] == ["KIT-A", "KIT-B"]


def test_a_registration_creates_the_form_row_and_the_registration_fields(desk: Desk) -> None:
    order = an_order(status="shipped")
    put_order(order, source="vitract-orders")
    desk.register()
    forms = desk.rows("health_information")
    assert [(row["kit_id"], row["status"], row["recipient_email"]) for row in forms] == [
        ("KIT-A", "PENDING", "a@example.com"),
        ("KIT-B", "PENDING", "practice@example.org"),
    ]
    state = order_state(order.order_id)
    assert state.order["registration_status"] == "registered"
    assert state.order["registered_at"] is not None
    assert all(kit["registered_at"] and kit["registration_id"] for kit in state.kits)


def test_the_form_waits_for_its_day_and_then_for_the_sweep(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS", "86400")
    get_settings.cache_clear()
    put_order(an_order(status="shipped"), source="vitract-orders")
    desk.register()
    desk.sweep()
    rows = desk.rows("health_information")
    assert {row["status"] for row in rows} == {"PENDING"}
    for row in rows:
        assert row["due_at"] - row["registered_at"] == timedelta(days=1)  # type: ignore[operator]
    with transaction("test"):
        execute("UPDATE health_information_dispatch_logs SET due_at = now()")
    desk.drain("health_information")
    assert {row["status"] for row in desk.rows("health_information")} == {"PENDING"}, "sent before any sweep"
    desk.sweep()
    assert {row["status"] for row in desk.rows("health_information")} == {"SENT"}


def mails_to(desk: Desk, recipient: str) -> list[Path]:
    keys = [mail.key for mail in list_messages(desk.mail, limit=1000) if recipient in mail.to]
    return [desk.mail / "new" / key for key in keys]


def test_the_mail_has_a_signed_expiring_link_and_nothing_about_health(desk: Desk) -> None:
    recipient = f"{uuid4().hex[:12]}@example.com"
    order = an_order(status="shipped", kits=(KitInput("KIT-SECRET-4711", recipient),))
    put_order(order, source="vitract-orders")
    desk.register()
    desk.sweep()
    (row,) = desk.rows("health_information")
    assert row["status"] == "SENT"
    (path,) = mails_to(desk, recipient)
    message = email.message_from_bytes(path.read_bytes(), policy=default)
    text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    link = re.search(r"https?://\S+/form/(\S+)", text)
    assert link is not None
    secret = get_settings().secret_key.get_secret_value()
    token = verify_form_token(secret, link[1], now=datetime.now(UTC))
    assert token.dispatch_id == row["id"]
    assert timedelta(days=29) < token.expires_at - datetime.now(UTC) <= timedelta(days=30)
    assert message["Message-ID"].strip("<>") == row["provider_message_id"]
    whole = path.read_text()
    for private in ("KIT-SECRET-4711", "practice@example.org"):
        assert private not in whole


def test_twenty_reports_of_one_shipment_by_two_services_make_one_row_per_kit(desk: Desk) -> None:
    order = an_order(kits=tuple(KitInput(f"KIT-{n}") for n in range(10)))
    put_order(order, source="vitract-orders")

    def report(number: int) -> None:
        source = ("vitract-orders", "vitract-kit-api-v1")[number % 2]
        report_shipment(order.order_id, ShipmentInput(status="shipped"), source=source)

    with ThreadPoolExecutor(20) as services:
        list(services.map(report, range(20)))
    assert len(desk.rows("kit_registration")) == 10
    registration = order_state(order.order_id).registration
    assert registration is not None
    assert registration["reports"] == 20
    assert sorted(registration["sources"]) == ["vitract-kit-api-v1", "vitract-orders"]


def test_reports_and_recorded_registrations_of_the_same_orders_never_deadlock(desk: Desk) -> None:
    orders = [an_order(order_number=f"ORD-{n}", kits=tuple(KitInput(f"K{n}-{k}") for k in range(4))) for n in range(30)]
    for order in orders:
        put_order(order, source="vitract-orders")

    def report(order: OrderInput) -> None:
        for source in ("vitract-orders", "vitract-kit-api-v1"):
            report_shipment(order.order_id, ShipmentInput(status="shipped", tracking_number="T"), source=source)

    with ThreadPoolExecutor(12) as pool:
        reports = [pool.submit(report, order) for order in orders for _ in range(3)]
        drains = [pool.submit(desk.register) for _ in range(60)]
        for done in [*reports, *drains]:
            done.result()
    desk.register()
    assert {row["status"] for row in desk.rows("kit_registration")} == {"SENT"}
    assert len(desk.rows("health_information")) == 120


@pytest.mark.parametrize(
    ("changes", "state", "code"),
    [
        ({"practitioner": None, "status": "shipped"}, "NOT_APPLICABLE", "NOT_PRACTITIONER_ORDER"),
        ({"status": "paid"}, "WAITING", "NOT_SHIPPED"),
        ({"status": "cancelled"}, "CANCELLED", "ORDER_CANCELLED"),
        ({"status": "shipped", "kits": ()}, "WAITING", "NO_KITS"),
    ],
    ids=["no practitioner", "not shipped", "cancelled", "no kits"],
)
def test_an_order_that_cannot_be_registered_is_explained(
    desk: Desk, changes: dict[str, object], state: str, code: str
) -> None:
    order = an_order(**changes)
    put_order(order, source="vitract-orders")
    report = register_order(order.order_id, source="queue")
    assert (report.state, report.code) == (state, code)
    registration = order_state(order.order_id).registration
    assert registration is not None
    assert (registration["state"], registration["code"]) == (state, code)
    assert registration["detail"]
    assert desk.rows("kit_registration") == []


def test_a_message_about_an_unknown_order_is_noted_and_made_good_when_the_order_comes(desk: Desk) -> None:
    order = an_order(status="shipped")
    report = register_order(order.order_id, source="queue")
    assert (report.state, report.code) == ("WAITING", "ORDER_NOT_FOUND")
    put_order(order, source="vitract-orders")
    assert len(desk.rows("kit_registration")) == 2


def test_an_order_that_gets_its_kits_later_registers_them_then(desk: Desk) -> None:
    order = an_order(status="shipped", kits=())
    put_order(order, source="vitract-orders")
    put_order(replace(order, kits=(KitInput("KIT-LATE"),)), source="vitract-orders")
    assert [row["kit_id"] for row in desk.rows("kit_registration")] == ["KIT-LATE"]


def test_a_kit_added_after_registration_is_registered_and_its_siblings_are_left_alone(desk: Desk) -> None:
    order = an_order(status="shipped")
    put_order(order, source="vitract-orders")
    desk.register()
    put_order(replace(order, kits=(*order.kits, KitInput("KIT-C"))), source="vitract-orders")
    assert order_state(order.order_id).order["registration_status"] == "registering"
    desk.register()
    assert order_state(order.order_id).order["registration_status"] == "registered"
    assert [row["claims"] for row in desk.rows("kit_registration")] == [1, 1, 1]
    assert len(desk.rows("health_information")) == 3


def test_one_kit_refused_by_the_registry_does_not_stop_its_siblings_and_a_retry_completes_the_rest(desk: Desk) -> None:
    order = an_order(status="shipped")
    put_order(order, source="vitract-orders")
    with transaction("test"):
        # Stored by an upstream service whose rules are laxer than the registry's.
        execute(
            "INSERT INTO order_kits (id, order_id, kit_id) VALUES (gen_random_uuid(), %s, 'bad kit')", (order.order_id,)
        )
    register_order(order.order_id, source="queue")
    desk.register()
    states = {row["kit_id"]: (row["status"], row["last_error_code"]) for row in desk.rows("kit_registration")}
    assert states == {"KIT-A": ("SENT", None), "KIT-B": ("SENT", None), "bad kit": ("FAILED", "KIT_ID_INVALID")}
    assert order_state(order.order_id).order["registration_status"] == "registering"


def test_a_kit_without_any_recipient_has_a_visible_failed_row_that_can_be_corrected_and_retried(desk: Desk) -> None:
    nobody = replace(PRACTITIONER, id=uuid4(), email=None)
    put_order(an_order(status="shipped", practitioner=nobody, kits=(KitInput("KIT-A"),)), source="vitract-orders")
    desk.register()
    lane = registry.lane("health_information")
    (row,) = desk.rows(lane.name)
    assert (row["status"], row["last_error_code"], row["in_doubt"]) == ("FAILED", "NO_RECIPIENT", False)
    dispatch_id = row["id"]
    assert isinstance(dispatch_id, UUID)
    assert operator.correct_recipient(lane, dispatch_id, "found@example.com", actor="support", reason="asked").changed
    assert operator.retry(lane, [dispatch_id], actor="support")[0].changed
    desk.drain(lane.name)
    (row,) = desk.rows(lane.name)
    assert (row["status"], row["recipient_email"]) == ("SENT", "found@example.com")


def test_a_recipient_added_upstream_frees_the_form_that_waited_for_one(desk: Desk) -> None:
    nobody = replace(PRACTITIONER, id=uuid4(), email=None)
    order = an_order(status="shipped", practitioner=nobody, kits=(KitInput("KIT-A"),))
    put_order(order, source="vitract-orders")
    desk.register()
    put_order(replace(order, kits=(KitInput("KIT-A", "new@example.com"),)), source="vitract-orders")
    desk.sweep()
    (row,) = desk.rows("health_information")
    assert (row["status"], row["recipient_email"]) == ("SENT", "new@example.com")


def test_cancelling_an_order_cancels_what_has_not_left_with_the_reason(desk: Desk) -> None:
    order = an_order(status="shipped")
    put_order(order, source="vitract-orders")
    desk.register()
    put_order(replace(order, status="cancelled"), source="vitract-orders")
    rows = desk.rows("health_information")
    assert {row["status"] for row in rows} == {"CANCELLED"}
    with connected():
        reasons = fetch_all("SELECT DISTINCT reason FROM dispatch_transitions WHERE to_status = 'CANCELLED'")
    assert reasons == [("the order was cancelled",)]
    desk.sweep()
    assert {row["status"] for row in desk.rows("health_information")} == {"CANCELLED"}


def test_an_order_cancelled_behind_our_back_is_noticed_by_the_sweep(desk: Desk) -> None:
    order = an_order(status="shipped")
    put_order(order, source="vitract-orders")
    desk.register()
    with transaction("upstream"):
        execute("UPDATE orders SET status = 'cancelled' WHERE id = %s", (order.order_id,))
    assert cancel_for_cancelled_orders() == 2
    assert {row["status"] for row in desk.rows("health_information")} == {"CANCELLED"}


def test_the_sweep_finds_shipped_orders_that_no_message_told_of(desk: Desk) -> None:
    order = an_order()
    put_order(order, source="vitract-orders")
    with transaction("upstream"):
        execute("UPDATE orders SET tracking_number = 'T-9' WHERE id = %s", (order.order_id,))
    assert register_missing() == 1
    assert register_missing() == 0
    assert len(desk.rows("kit_registration")) == 2


def test_the_furthest_status_wins_whatever_order_the_reports_come_in(desk: Desk) -> None:
    order = an_order(status="shipped")
    put_order(order, source="vitract-orders")
    put_order(replace(order, status="paid"), source="vitract-kit-api-v1")
    report_shipment(order.order_id, ShipmentInput(status="processing"), source="vitract-kit-api-v1")
    assert order_state(order.order_id).order["status"] == "shipped"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"order_number": ""}, "INVALID_ORDER_NUMBER", "orderNumber"),
        ({"order_number": "x" * 65}, "INVALID_ORDER_NUMBER", "orderNumber"),
        ({"status": "lost"}, "UNKNOWN_STATUS", "status"),
        ({"shipping_date": datetime(2026, 3, 1)}, "NAIVE_DATE", "shippingDate"),  # noqa: DTZ001
        ({"tracking_url": "javascript:alert(1)"}, "INVALID_TRACKING_URL", "trackingUrl"),
        ({"kits": (KitInput("A"), KitInput("A"))}, "DUPLICATE_KIT", "kits[1].kitId"),
        ({"kits": (KitInput("a b"),)}, "INVALID_KIT_ID", "kits[0].kitId"),
        ({"kits": (KitInput("A", "nobody"),)}, "INVALID_EMAIL", "kits[0].recipientEmail"),
        ({"practitioner": replace(PRACTITIONER, email="x@")}, "INVALID_EMAIL", "practitioner.email"),
    ],
)
def test_bad_input_is_refused_with_code_and_field_and_nothing_is_stored(
    desk: Desk, changes: dict[str, object], code: str, field: str
) -> None:
    with pytest.raises(OrderError) as refused:
        put_order(an_order(**changes), source="vitract-orders")
    assert (refused.value.code, refused.value.field) == (code, field)
    assert [count(table) for table in ("orders", "order_kits", "practitioners", "order_registrations")] == [0] * 4


def test_a_shipment_of_an_unknown_order_is_refused(desk: Desk) -> None:
    with pytest.raises(OrderError) as refused:
        report_shipment(uuid4(), ShipmentInput(status="shipped"), source="vitract-orders")
    assert refused.value.code == "ORDER_NOT_FOUND"
    assert count("order_registrations") == 0


def test_an_order_is_traceable_from_order_to_kit_to_dispatch(desk: Desk) -> None:
    order = an_order(status="shipped")
    put_order(order, source="vitract-orders")
    desk.register()
    desk.sweep()
    document = order_state(order.order_id).as_dict()
    assert document["registration"]["state"] == "REGISTERED"
    for kit in document["kits"]:
        assert (kit["registrationStatus"], kit["formStatus"]) == ("SENT", "SENT")
        assert kit["registrationDispatchId"]
        assert kit["formDispatchId"]
    with connected():
        found = fetch_all("SELECT lane FROM dispatch_search WHERE key = 'kit-a' ORDER BY lane")
    assert found == [("health_information",), ("kit_registration",)]
