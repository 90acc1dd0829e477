"""The courier system's gate: orders, payments and the ready mark, and how few bookings they come to."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from threading import Barrier, Event
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError, Transient
from dispatchlog.engine.gateway import Receipt
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.courier import Report
from dispatchlog.gateways.fake import Outcome, Play
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import cancellation_lane, cancelling, events, orders, pharmacies, reading
from dispatchlog.systems.courier.changes import order_of_dispatch
from dispatchlog.systems.courier.following import follow_up
from dispatchlog.systems.courier.inputs import (
    CourierError,
    ItemInput,
    PaymentInput,
    PharmacyInput,
    Place,
)
from dispatchlog.systems.courier.orders import Waiting
from dispatchlog.systems.courier.states import DispatchStatus
from tests.systems.courier_samples import (
    PAID,
    PATIENT,
    PHARMACY,
    CourierDesk,
    an_order,
    courier_desk,
    reported,
    requested,
    set_status,
)

STAFF = "pharmacist@example.org"


@pytest.fixture
def desk(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[CourierDesk]:
    with courier_desk(settings_env, monkeypatch) as desk:
        yield desk


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(CourierError) as refused:
        call()
    return refused.value.code, refused.value.field


def at_once(calls: list[Callable[[], object]]) -> list[object]:
    """What came of the calls, or the error of each, made by as many threads in the same moment."""
    together = Barrier(len(calls))

    def run(call: Callable[[], object]) -> object:
        together.wait()
        try:
            return call()
        except DispatchlogError as error:
            return error.code

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


# Reporting


def test_an_order_is_stored_once_however_often_it_is_reported(desk: CourierDesk) -> None:
    pharmacies.put_pharmacy(PHARMACY, source="test")
    order = an_order(deliver_by=datetime(2026, 3, 1, 12, tzinfo=UTC))
    first, new = orders.put_order(order, source="app", trace_id="trace-1")
    again, new_again = orders.put_order(order, source="app", trace_id="trace-2")
    assert (new, new_again) == (True, False)
    assert again == first
    assert (first["version"], first["trace_id"], first["payment_status"]) == (1, "trace-1", "Pending")
    items = desk.listing("SELECT name, quantity FROM pharmacy_order_items ORDER BY number")
    assert [(row["name"], row["quantity"]) for row in items] == [("Amlodipine 5 mg", 2), ("Metformin 500 mg", 1)]
    assert desk.changes() == ["created"]


def test_an_order_may_be_corrected_until_it_is_dispatched(desk: CourierDesk) -> None:
    pharmacies.put_pharmacy(PHARMACY, source="test")
    order = an_order()
    orders.put_order(order, source="app", trace_id="")
    corrected = replace(order, patient=replace(PATIENT, phone="+2348015559999"))
    row, new = orders.put_order(corrected, source="app", trace_id="")
    assert (row["patient_phone"], new, row["version"]) == ("+2348015559999", False, 2)
    assert refusal(
        lambda: orders.put_order(replace(corrected, items=(ItemInput("Aspirin", 1),)), source="app", trace_id="")
    ) == ("ORDER_ITEMS_FIXED", "items")
    orders.capture_payment(order.order_id, PAID, source="app")
    orders.mark_ready(order.order_id, actor=STAFF)
    assert orders.put_order(corrected, source="app", trace_id="")[1] is False
    assert refusal(lambda: orders.put_order(order, source="app", trace_id=""))[0] == "ORDER_ALREADY_DISPATCHED"
    assert desk.rows("pharmacy_orders")[0]["patient_phone"] == "+2348015559999"


def test_two_orders_cannot_have_one_number_even_when_reported_at_once(desk: CourierDesk) -> None:
    pharmacies.put_pharmacy(PHARMACY, source="test")
    calls = [lambda: orders.put_order(an_order(order_number="MS-1"), source="app", trace_id="") for _ in range(6)]
    found = at_once([*calls])
    assert found.count("ORDER_NUMBER_TAKEN") == 5
    assert len(desk.rows("pharmacy_orders")) == 1


def test_an_order_cannot_take_over_the_number_of_another(desk: CourierDesk) -> None:
    reported(order_number="MS-1")
    second = an_order(order_number="MS-2")
    orders.put_order(second, source="app", trace_id="")
    taken = replace(second, order_number="MS-1")
    assert refusal(lambda: orders.put_order(taken, source="app", trace_id="")) == ("ORDER_NUMBER_TAKEN", "orderNumber")


def test_an_order_needs_a_pharmacy_that_is_known(desk: CourierDesk) -> None:
    order = an_order(pharmacy="NOWHERE")
    assert refusal(lambda: orders.put_order(order, source="app", trace_id="")) == ("PHARMACY_NOT_FOUND", "pharmacy")
    assert desk.rows("pharmacy_orders") == []


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"order_number": "MS 1\n"}, "INVALID_ORDER_NUMBER", "orderNumber"),
        ({"order_number": ""}, "INVALID_ORDER_NUMBER", "orderNumber"),
        ({"patient": replace(PATIENT, name=" ")}, "INVALID_TEXT", "patient.name"),
        ({"patient": replace(PATIENT, name="A\x00B")}, "INVALID_TEXT", "patient.name"),
        ({"patient": replace(PATIENT, name="A" * 256)}, "INVALID_TEXT", "patient.name"),
        ({"patient": replace(PATIENT, phone="call me")}, "INVALID_PHONE", "patient.phone"),
        ({"patient": replace(PATIENT, phone="+" + "1" * 16)}, "INVALID_PHONE", "patient.phone"),
        ({"patient": replace(PATIENT, email="nobody")}, "INVALID_EMAIL", "patient.email"),
        ({"place": Place("3 Marina Road", 90.1, 3.0)}, "INVALID_COORDINATES", "delivery.latitude"),
        ({"place": Place("3 Marina Road", 6.4, float("nan"))}, "INVALID_COORDINATES", "delivery.longitude"),
        ({"place": Place("3 Marina Road", 0.0, 0.0)}, "INVALID_COORDINATES", "delivery.latitude"),
        ({"place": Place("3 Marina\r\nRoad", 6.4, 3.4)}, "INVALID_TEXT", "delivery.address"),
        ({"items": ()}, "INVALID_ITEMS", "items"),
        ({"items": (ItemInput("Aspirin", 0),)}, "INVALID_ITEMS", "items[0].quantity"),
        ({"currency": "naira"}, "INVALID_CURRENCY", "currency"),
        ({"total_minor": -1}, "INVALID_AMOUNT", "totalMinor"),
        ({"deliver_by": datetime(2026, 3, 1)}, "NAIVE_DATE", "deliverBy"),  # noqa: DTZ001  (that is the point)
    ],
)
def test_what_is_wrong_with_an_order_is_named(changes: dict[str, Any], code: str, field: str) -> None:
    order = an_order(**changes)
    assert refusal(lambda: orders.put_order(order, source="app", trace_id="")) == (code, field)


@pytest.mark.parametrize(
    ("pharmacy", "code", "field"),
    [
        (replace(PHARMACY, code="../x"), "INVALID_CODE", "code"),
        (replace(PHARMACY, name=""), "INVALID_TEXT", "name"),
        (replace(PHARMACY, phone="none"), "INVALID_PHONE", "phone"),
        (replace(PHARMACY, email="x@"), "INVALID_EMAIL", "email"),
        (replace(PHARMACY, place=Place("12 Allen Avenue", 6.6, 181.0)), "INVALID_COORDINATES", "place.longitude"),
    ],
)
def test_what_is_wrong_with_a_pharmacy_is_named(pharmacy: PharmacyInput, code: str, field: str) -> None:
    assert refusal(lambda: pharmacies.put_pharmacy(pharmacy, source="app")) == (code, field)


def test_a_pharmacy_that_says_the_same_again_is_not_changed(desk: CourierDesk) -> None:
    first = pharmacies.put_pharmacy(PHARMACY, source="app")
    assert pharmacies.put_pharmacy(PHARMACY, source="app") == first
    moved = pharmacies.put_pharmacy(replace(PHARMACY, phone="+234 1 555 0199"), source="app")
    assert (moved["id"], moved["phone"]) == (first["id"], "+234 1 555 0199")
    assert moved["updated_at"] > first["updated_at"]


# The gate


def test_ready_while_unpaid_is_kept_and_the_payment_books_by_itself(desk: CourierDesk) -> None:
    order_id = reported()
    result = orders.mark_ready(order_id, actor=STAFF)
    assert (result.changed, result.waiting_for, result.order["ready_by"]) == (
        True,
        (Waiting.PAYMENT_NOT_CAPTURED,),
        STAFF,
    )
    assert desk.dispatches() == []
    after = orders.capture_payment(order_id, PAID, source="app")
    assert (after["payment_status"], after["dispatch_status"]) == ("Paid", "REQUESTED")
    assert orders.waiting_for(after) == ()
    assert [row["status"] for row in desk.rows("courier_bookings")] == ["PENDING"]


def test_marking_ready_again_changes_nothing(desk: CourierDesk) -> None:
    order_id = requested()
    before = desk.rows("pharmacy_orders")
    result = orders.mark_ready(order_id, actor="somebody.else@example.org")
    assert (result.changed, result.retried, result.waiting_for) == (False, False, ())
    assert result.booking["status"] == "PENDING"
    assert desk.rows("pharmacy_orders") == before
    assert desk.changes() == ["created", "paid", "ready", "dispatch"]


def test_a_booking_tells_the_courier_what_it_needs_and_no_more(desk: CourierDesk) -> None:
    order_id = requested(deliver_by=datetime(2026, 3, 1, 12, tzinfo=UTC))
    desk.drain()
    (sent,) = desk.courier.booking.accepted
    document = json.loads(sent.body)
    assert document["items"] == 3
    assert document["deliverBy"] == "2026-03-01T12:00:00Z"
    assert document["pickup"]["address"] == "12 Allen Avenue"
    assert document["delivery"] == {
        "name": "Amina Rivers",
        "phone": "+2348015550123",
        "address": "3 Marina Road",
        "city": "Lagos",
        "latitude": 6.4281,
        "longitude": 3.4219,
        "note": "Blue gate",
    }
    assert b"Amlodipine" not in sent.body
    assert b"amina@example.com" not in sent.body
    (dispatch,) = desk.dispatches()
    assert (dispatch["status"], dispatch["courier_reference"]) == ("BOOKED", "fake-1")
    assert dispatch["poll_at"] is not None
    lane = registry.lane("courier_booking")
    assert lane.persons is not None
    named = set(lane.persons(operator.find(lane, sent.dispatch_id), sent.body))
    assert {"Amina Rivers", "+2348015550123", "3 Marina Road", "Blue gate"} <= named
    with connected():
        found = fetch_dicts("SELECT lane FROM dispatch_search WHERE key = 'fake-1'")
    assert [row["lane"] for row in found] == ["courier_booking"]
    assert reading.order_state(order_id).order["dispatch_status"] == "BOOKED"


def test_what_listeners_are_told_holds_nothing_of_a_person(desk: CourierDesk) -> None:
    order_id = requested()
    (told,) = desk.listing("SELECT payload, version FROM order_changes WHERE what = 'dispatch'")
    payload = told["payload"]
    assert (payload["orderId"], payload["dispatchStatus"], payload["bookingStatus"]) == (str(order_id), None, "PENDING")
    assert (payload["attempt"], payload["traceId"], payload["version"]) == (1, "trace-1", told["version"])
    assert "Amina" not in json.dumps(payload)
    assert set(payload) == {
        "orderId", "orderNumber", "what", "version", "dispatchId", "attempt", "dispatchStatus", "paymentStatus",
        "isReadyForDispatch", "etaAt", "bookingStatus", "traceId", "updatedAt",
    }  # fmt: skip


def test_late_reports_of_a_payment_do_not_take_it_back(desk: CourierDesk) -> None:
    order_id = reported()
    for status in ("Failed", "Paid", "Failed", "Pending"):
        order = orders.capture_payment(order_id, PaymentInput(status), source="app")
    assert order["payment_status"] == "Paid"
    orders.capture_payment(order_id, PaymentInput("Refunded"), source="app")
    assert refusal(lambda: orders.capture_payment(order_id, PAID, source="app")) == ("PAYMENT_FINAL", "status")
    assert refusal(lambda: orders.capture_payment(order_id, PaymentInput("Free"), source="app")) == (
        "PAYMENT_STATUS_UNKNOWN",
        "status",
    )


def test_a_refund_shuts_the_gate(desk: CourierDesk) -> None:
    order_id = reported()
    orders.capture_payment(order_id, PAID, source="app")
    orders.capture_payment(order_id, PaymentInput("Refunded"), source="app")
    result = orders.mark_ready(order_id, actor=STAFF)
    assert result.waiting_for == (Waiting.PAYMENT_NOT_CAPTURED,)
    assert desk.dispatches() == []


def test_a_refund_takes_back_a_booking_that_has_not_left(desk: CourierDesk) -> None:
    order_id = requested()
    orders.capture_payment(order_id, PaymentInput("Refunded"), source="app")
    desk.drain()
    assert desk.courier.booking.sends == 0
    assert desk.statuses() == ["CANCELED"]
    assert refusal(lambda: cancelling.redispatch(order_id, actor=STAFF))[0] == "PAYMENT_NOT_CAPTURED"


@pytest.mark.parametrize("looked_after", [True, False])
def test_a_refund_while_the_booking_is_under_way_brings_no_driver(
    desk: CourierDesk, monkeypatch: pytest.MonkeyPatch, looked_after: bool
) -> None:
    """Whether the clock or the next try comes first: what has not left does not leave, what has left is taken back."""
    order_id = requested()

    def refunded_meanwhile(*_: object, **__: object) -> Receipt:
        orders.capture_payment(order_id, PaymentInput("Refunded"), source="app")
        raise Transient("busy", code="BUSY")

    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(desk.courier.booking, "send", refunded_meanwhile)
        desk.drain()
    (booking,) = desk.rows("courier_bookings")
    if looked_after:
        follow_up()
    else:
        operator.retry(registry.lane("courier_booking"), [booking["id"]], actor=STAFF)
    desk.drain()
    desk.drain("courier_cancellation")
    assert desk.statuses() == ["CANCELED"]
    assert len(desk.courier.booking.accepted) == len(desk.courier.cancellation.accepted) == (0 if looked_after else 1)


def test_what_waits_at_the_gate_is_found_by_its_index(desk: CourierDesk) -> None:
    with transaction("test"):
        execute("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in fetch_all(f"EXPLAIN {orders._SHUT}", (10,)))
    assert "pharmacy_orders_gate" in plan
    assert "Filter" not in plan


def test_without_a_courier_the_gate_waits_and_opens_by_itself(
    desk: CourierDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as without:
        without.setattr("dispatchlog.systems.courier.couriers.booking_courier", lambda: None)
        order_id = requested()
        assert orders.mark_ready(order_id, actor=STAFF).waiting_for == (Waiting.NO_COURIER,)
        assert orders.open_gates() == 0
    assert orders.open_gates() == 1
    assert orders.open_gates() == 0
    assert desk.statuses() == ["REQUESTED"]


def test_a_cancelled_delivery_is_not_booked_again_by_the_clock_or_the_ready_mark(desk: CourierDesk) -> None:
    order_id = requested()
    cancelling.cancel_dispatch(order_id, actor=STAFF, reason="patient is away")
    assert orders.open_gates() == 0
    assert orders.mark_ready(order_id, actor=STAFF).changed is False
    assert desk.statuses() == ["CANCELED"]


def test_many_are_marked_ready_each_on_its_own(desk: CourierDesk) -> None:
    known, unknown = reported(), uuid4()
    results = orders.mark_many_ready([known, unknown, known], actor=STAFF)
    assert results[unknown] == "ORDER_NOT_FOUND"
    marked = results[known]
    assert isinstance(marked, orders.ReadyResult)
    assert marked.order["is_ready_for_dispatch"]
    assert len(results) == 2


# Never twice


def test_an_order_is_booked_once_however_many_ask_at_once(desk: CourierDesk) -> None:
    order_id = reported()
    calls: list[Callable[[], object]] = []
    for _ in range(6):
        calls += [
            lambda: orders.mark_ready(order_id, actor=STAFF),
            lambda: orders.capture_payment(order_id, PAID, source="app"),
            orders.open_gates,
            lambda: cancelling.redispatch(order_id, actor=STAFF),
        ]
    at_once(calls)
    assert desk.statuses() == ["REQUESTED"]
    assert len(desk.rows("courier_bookings")) == 1
    desk.drain()
    assert len(desk.courier.booking.accepted) == 1


def test_a_cancelled_order_is_begun_again_once_however_many_ask_at_once(desk: CourierDesk) -> None:
    order_id = requested()
    cancelling.cancel_dispatch(order_id, actor=STAFF)
    found = at_once([lambda: cancelling.redispatch(order_id, actor=STAFF)] * 8)
    assert found.count("DISPATCH_NOT_REPEATABLE") == 7
    assert desk.statuses() == ["CANCELED", "REQUESTED"]
    desk.drain()
    assert [json.loads(sent.body)["attempt"] for sent in desk.courier.booking.accepted] == [2]


def test_cancelling_while_it_is_sent_neither_deadlocks_nor_loses_either(desk: CourierDesk) -> None:
    """Each order ends as never sent, or as sent with its cancellation on the way."""
    ids = [requested() for _ in range(8)]
    cancels = [lambda order_id=order_id: cancelling.cancel_dispatch(order_id, actor=STAFF) for order_id in ids]
    found = at_once([*cancels, desk.drain, desk.drain])
    assert not [code for code in found if isinstance(code, str)]
    desk.drain()
    follow_up()
    desk.drain("courier_cancellation")
    assert desk.statuses() == ["CANCELED"] * 8
    accepted = {sent.dispatch_id for sent in desk.courier.booking.accepted}
    left = {row["id"] for row in desk.rows("courier_bookings") if row["status"] == "SENT"}
    assert accepted == left
    assert len(desk.courier.cancellation.accepted) == len(left)


def test_the_database_refuses_a_second_open_dispatch(desk: CourierDesk) -> None:
    order_id = requested()
    with connected(), pytest.raises(Exception, match="courier_dispatches_one_open"):
        execute(
            "INSERT INTO courier_dispatches (id, order_id, attempt, courier, trace_id) VALUES (%s, %s, 2, 'generic', 't')",
            (uuid4(), order_id),
        )


# A booking that failed


def test_marking_ready_again_retries_a_booking_that_failed(desk: CourierDesk) -> None:
    desk.courier.booking.script(Outcome.PERMANENT)
    order_id = requested()
    desk.drain()
    assert [row["status"] for row in desk.rows("courier_bookings")] == ["FAILED"]
    result = orders.mark_ready(order_id, actor=STAFF)
    assert (result.changed, result.retried, result.booking["status"]) == (True, True, "PENDING")
    desk.drain()
    assert desk.statuses() == ["BOOKED"]
    assert len(desk.courier.booking.accepted) == 1


def test_a_booking_in_doubt_is_not_tried_again_by_the_ready_mark(desk: CourierDesk) -> None:
    desk.courier.booking.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    order_id = requested()
    desk.drain()
    assert orders.mark_ready(order_id, actor=STAFF).retried is False
    desk.drain()
    assert len(desk.courier.booking.accepted) == 1


def test_a_failed_booking_is_told_to_whoever_looks_at_the_order(desk: CourierDesk) -> None:
    desk.courier.booking.script(Outcome.PERMANENT)
    requested()
    desk.drain()
    assert (follow_up(), follow_up()) == (1, 0)
    (told,) = desk.listing("SELECT payload FROM order_changes ORDER BY id DESC LIMIT 1")
    assert told["payload"]["bookingStatus"] == "FAILED"


# Cancelling and beginning again


def test_a_booking_cancelled_before_it_left_never_leaves(desk: CourierDesk) -> None:
    order_id = requested()
    after = cancelling.cancel_dispatch(order_id, actor=STAFF, reason="patient\nis away")
    assert after["dispatch_status"] == "CANCELED"
    desk.drain()
    assert desk.courier.booking.sends == 0
    assert [row["status"] for row in desk.rows("courier_bookings")] == ["CANCELLED"]
    assert desk.dispatches()[0]["cancel_reason"] == "patient is away"
    assert desk.rows("courier_cancellations") == []


@pytest.mark.parametrize("status", ["BOOKED", "ASSIGNED"])
def test_a_booked_delivery_is_cancelled_when_the_courier_has_accepted_that(desk: CourierDesk, status: str) -> None:
    order_id = requested()
    desk.drain()
    set_status(order_id, status)
    after = cancelling.cancel_dispatch(order_id, actor=STAFF, reason="wrong order")
    again = cancelling.cancel_dispatch(order_id, actor=STAFF)
    assert (after["dispatch_status"], again["version"]) == (status, after["version"])
    assert [row["status"] for row in desk.rows("courier_cancellations")] == ["PENDING"]
    desk.drain("courier_cancellation")
    assert desk.statuses() == ["CANCELED"]
    (sent,) = desk.courier.cancellation.accepted
    assert (sent.recipient, json.loads(sent.body)["reason"]) == ("fake-1", "wrong order")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("PICKED_UP", "DISPATCH_NOT_CANCELLABLE"),
        ("IN_TRANSIT", "DISPATCH_NOT_CANCELLABLE"),
        ("FAILED", "DISPATCH_NOT_CANCELLABLE"),
        ("CANCELED", "DISPATCH_NOT_CANCELLABLE"),
        ("DELIVERED", "DISPATCH_ALREADY_DELIVERED"),
    ],
)
def test_what_is_under_way_or_ended_cannot_be_cancelled(desk: CourierDesk, status: str, code: str) -> None:
    order_id = requested()
    desk.drain()
    set_status(order_id, status)
    assert refusal(lambda: cancelling.cancel_dispatch(order_id, actor=STAFF))[0] == code
    assert desk.rows("courier_cancellations") == []


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("REQUESTED", "DISPATCH_NOT_REPEATABLE"),
        ("BOOKED", "DISPATCH_NOT_REPEATABLE"),
        ("IN_TRANSIT", "DISPATCH_NOT_REPEATABLE"),
        ("DELIVERED", "DISPATCH_ALREADY_DELIVERED"),
    ],
)
def test_what_is_under_way_cannot_be_begun_again(desk: CourierDesk, status: str, code: str) -> None:
    order_id = requested()
    set_status(order_id, status)
    assert refusal(lambda: cancelling.redispatch(order_id, actor=STAFF))[0] == code
    assert len(desk.dispatches()) == 1


def test_what_the_courier_said_already_counts_before_another_driver_is_sent(desk: CourierDesk) -> None:
    order_id = requested()
    desk.drain()
    set_status(order_id, "FAILED")
    report = Report(event_id="e-1", courier_reference="fake-1", raw_status="DELIVERED", status="DELIVERED")
    events.store_reports(desk.courier.name, "webhook", [report], trace_id="")
    assert refusal(lambda: cancelling.redispatch(order_id, actor=STAFF))[0] == "DISPATCH_ALREADY_DELIVERED"
    assert len(desk.dispatches()) == 1


@pytest.mark.parametrize("by_hand", [True, False])
def test_what_only_a_person_ended_is_taken_back_before_another_driver_is_sent(desk: CourierDesk, by_hand: bool) -> None:
    order_id = requested()
    desk.drain()
    (dispatch,) = desk.dispatches()
    if by_hand:
        events.set_by_hand(dispatch["id"], DispatchStatus.FAILED, actor=STAFF, reason="the driver does not answer")
    else:
        report = Report(event_id="e-1", courier_reference="fake-1", raw_status="FAILED", status="FAILED")
        events.store_reports(desk.courier.name, "webhook", [report], trace_id="")
    cancelling.redispatch(order_id, actor=STAFF, reason="again")
    desk.drain()
    desk.drain("courier_cancellation")
    assert [sent.recipient for sent in desk.courier.cancellation.accepted] == (["fake-1"] if by_hand else [])
    assert desk.statuses() == ["FAILED", "BOOKED"]


def test_a_courier_s_event_cannot_stand_in_the_place_of_ours(desk: CourierDesk) -> None:
    requested()
    (dispatch,) = desk.dispatches()
    report = Report(event_id=f"booking:{dispatch['id']}", courier_reference="x", raw_status="?", status=None)
    events.store_reports(desk.courier.name, "webhook", [report], trace_id="")
    desk.drain()
    assert desk.statuses() == ["BOOKED"]


def test_an_order_without_a_dispatch_has_none_to_cancel_or_repeat(desk: CourierDesk) -> None:
    order_id = reported()
    assert refusal(lambda: cancelling.cancel_dispatch(order_id, actor=STAFF))[0] == "DISPATCH_NOT_FOUND"
    assert refusal(lambda: cancelling.redispatch(order_id, actor=STAFF))[0] == "DISPATCH_NOT_FOUND"
    assert refusal(lambda: cancelling.cancel_dispatch(uuid4(), actor=STAFF))[0] == "ORDER_NOT_FOUND"


def test_a_delivery_called_off_while_its_booking_is_in_doubt_is_taken_back_once_it_is_known(desk: CourierDesk) -> None:
    desk.courier.booking.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    order_id = requested()
    desk.drain()
    (booking,) = desk.rows("courier_bookings")
    assert booking["in_doubt"]
    cancelling.cancel_dispatch(order_id, actor=STAFF, reason="patient is away")
    assert desk.statuses() == ["REQUESTED"]
    operator.confirm_sent(registry.lane("courier_booking"), booking["id"], actor=STAFF, reason="the courier said so")
    assert desk.statuses() == ["BOOKED"]
    # Without the courier's number nobody can take it back by machine.
    assert refusal(lambda: cancelling.cancel_dispatch(order_id, actor=STAFF))[0] == "DISPATCH_NOT_CANCELLABLE"


def test_a_delivery_called_off_while_its_booking_is_on_its_way_is_taken_back(desk: CourierDesk) -> None:
    order_id = requested()

    def call_off() -> None:
        cancelling.cancel_dispatch(order_id, actor=STAFF, reason="patient is away")

    desk.courier.booking.script(Play(crash=call_off))
    desk.drain()
    assert desk.statuses() == ["BOOKED"]
    desk.drain("courier_cancellation")
    assert desk.statuses() == ["CANCELED"]
    assert len(desk.courier.cancellation.accepted) == 1


def test_a_cancellation_whose_doubt_is_being_settled_is_not_waited_for(
    desk: CourierDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever settles it has its row and waits for the order's lock, which is held here."""
    monkeypatch.setattr(cancellation_lane, "RetryPolicy", lambda **_: RetryPolicy(max_attempts=1))
    registry.forget()
    order_id = requested()
    desk.drain()
    cancelling.cancel_dispatch(order_id, actor=STAFF)
    desk.courier.cancellation.script(Outcome.UNKNOWN_BEFORE_ACCEPT)
    desk.drain("courier_cancellation")
    (doubtful,) = desk.rows("courier_cancellations")
    assert (doubtful["status"], doubtful["in_doubt"]) == ("FAILED", True)
    held, done = Event(), Event()

    def settle() -> None:
        with transaction("test"):
            execute("SELECT FROM courier_cancellations FOR UPDATE")
            held.set()
            done.wait()

    with ThreadPoolExecutor(1) as threads:
        settling = threads.submit(settle)
        held.wait()
        try:
            with transaction("test"):
                execute("SET LOCAL lock_timeout = '20s'")
                cancelling.cancel_dispatch(order_id, actor=STAFF)
        finally:
            done.set()
        settling.result()
    cancelling.cancel_dispatch(order_id, actor=STAFF)
    desk.drain("courier_cancellation")
    assert desk.statuses() == ["CANCELED"]


def test_a_doubt_settled_as_not_sent_does_not_send_what_was_called_off(desk: CourierDesk) -> None:
    desk.courier.booking.script(Outcome.UNKNOWN_BEFORE_ACCEPT)
    order_id = requested()
    desk.drain()
    cancelling.cancel_dispatch(order_id, actor=STAFF)
    lane = registry.lane("courier_booking")
    (booking,) = desk.rows("courier_bookings")
    operator.confirm_not_sent(lane, booking["id"], actor=STAFF, reason="the courier has nothing")
    desk.drain()
    assert desk.courier.booking.accepted == []
    assert follow_up() == 1
    assert desk.statuses() == ["CANCELED"]


def test_a_booking_cancelled_in_its_lane_ends_the_dispatch(desk: CourierDesk) -> None:
    order_id = requested()
    (booking,) = desk.rows("courier_bookings")
    operator.cancel(registry.lane("courier_booking"), [booking["id"]], actor=STAFF, reason="by hand")
    assert follow_up() == 1
    assert desk.statuses() == ["CANCELED"]
    cancelling.redispatch(order_id, actor=STAFF, reason="now")
    assert desk.statuses() == ["CANCELED", "REQUESTED"]


def test_a_refused_cancellation_is_said_and_can_be_asked_for_again(desk: CourierDesk) -> None:
    order_id = requested()
    desk.drain()
    desk.courier.cancellation.script(Play(Outcome.PERMANENT, code="ALREADY_PICKED_UP"))
    cancelling.cancel_dispatch(order_id, actor=STAFF)
    desk.drain("courier_cancellation")
    assert (follow_up(), follow_up()) == (1, 0)
    (dispatch,) = desk.dispatches()
    assert dispatch["status"] == "BOOKED"
    assert dispatch["cancel_refused"].startswith("ALREADY_PICKED_UP")
    cancelling.cancel_dispatch(order_id, actor=STAFF)
    assert [row["request"] for row in desk.rows("courier_cancellations")] == [1, 2]
    assert desk.dispatches()[0]["cancel_refused"] is None
    desk.drain("courier_cancellation")
    assert desk.statuses() == ["CANCELED"]


def test_a_second_attempt_does_not_begin_while_the_first_may_still_leave(desk: CourierDesk) -> None:
    desk.courier.booking.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    order_id = requested()
    desk.drain()
    set_status(order_id, "FAILED")  # by hand, while nobody knows whether the courier has it
    assert refusal(lambda: cancelling.redispatch(order_id, actor=STAFF))[0] == "BOOKING_IN_DOUBT"
    assert len(desk.dispatches()) == 1


def test_a_second_attempt_ends_the_first_ones_waiting_booking(desk: CourierDesk) -> None:
    order_id = requested()
    set_status(order_id, "FAILED")  # by hand, before it left
    cancelling.redispatch(order_id, actor=STAFF)
    desk.drain()
    assert [json.loads(sent.body)["attempt"] for sent in desk.courier.booking.accepted] == [2]
    first, second = desk.rows("courier_bookings")
    assert (first["status"], second["status"]) == ("CANCELLED", "SENT")


def test_a_number_that_another_dispatch_has_is_not_taken_over(desk: CourierDesk) -> None:
    requested()
    desk.drain()
    with connected():
        execute("UPDATE courier_dispatches SET courier_reference = 'fake-2'")
    requested()
    desk.drain()
    first, second = desk.dispatches()
    assert (first["courier_reference"], second["courier_reference"]) == ("fake-2", None)
    assert second["status"] == "BOOKED"
    assert "another dispatch" in second["disagreement"]


# Reading


def test_an_order_is_read_with_everything_about_it(desk: CourierDesk) -> None:
    order_id = requested()
    cancelling.cancel_dispatch(order_id, actor=STAFF)
    cancelling.redispatch(order_id, actor=STAFF)
    state = reading.order_state(order_id)
    assert (state.pharmacy["code"], len(state.items)) == ("PH-IKEJA", 2)
    assert [(row["attempt"], row["status"]) for row in state.dispatches] == [(2, "REQUESTED"), (1, "CANCELED")]
    assert state.dispatch is not None
    assert (state.dispatch["booking"]["status"], state.waiting_for) == ("PENDING", ())
    assert order_of_dispatch(state.dispatch["id"]) == order_id
    assert refusal(lambda: reading.order_state(uuid4()))[0] == "ORDER_NOT_FOUND"
    assert refusal(lambda: order_of_dispatch(uuid4()))[0] == "DISPATCH_NOT_FOUND"


def test_orders_come_page_by_page_newest_first(desk: CourierDesk) -> None:
    ids: list[UUID] = [reported() for _ in range(4)] + [requested()]
    first = reading.order_page(page=1, page_size=2)
    last = reading.order_page(page=3, page_size=2)
    assert [row["id"] for row in (*first.orders, *last.orders)] == [ids[4], ids[3], ids[0]]
    assert (first.total, first.total_is_exact) == (5, True)
    assert first.orders[0]["booking_status"] == "PENDING"
    only = reading.order_page(page=1, page_size=10, status="REQUESTED")
    assert [row["id"] for row in only.orders] == [ids[4]]
    assert refusal(lambda: reading.order_page(page=10_000, page_size=100))[0] == "INVALID_PAGE"
