"""Pharmacy orders over HTTP: reported, paid, ready, dispatched, confirmed, at both addresses; and what is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.api import BLUEPRINT, ROUTES
from dashboard.sockets.tickets import read_ticket
from dispatchlog.engine.database import connected, fetch_one, transaction
from dispatchlog.gateways.fake import Outcome, Play
from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.courier import events, orders, reading
from dispatchlog.systems.courier.code_rules import code_of
from dispatchlog.systems.courier.states import DispatchStatus
from tests.dashboard.api_support import Api, running_api
from tests.systems.courier_samples import CourierDesk, courier_desk

PHARMACY: dict[str, Any] = {
    "name": "Al Noor Pharmacy",
    "phone": "+97145550100",
    "email": "desk@alnoor.example.org",
    "place": {"address": "1 Harbour Road", "city": "Dubai", "latitude": 25.2, "longitude": 55.27},
}


@pytest.fixture
def desk(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[CourierDesk]:
    with courier_desk(settings_env, monkeypatch) as desk:
        yield desk


@pytest.fixture
def api(desk: CourierDesk, settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        assert running.call("PUT", "/pharmacies/AL-NOOR", json=PHARMACY).status_code == 200
        yield running


def order(**changes: Any) -> dict[str, Any]:
    return {
        "orderNumber": f"PO-{uuid4().hex[:8]}",
        "pharmacy": "AL-NOOR",
        "patient": {"name": "Amina Rivers", "phone": "+971501234567", "email": "amina@example.com", "patientId": "P-1"},
        "delivery": {
            "address": "3 Marina Road",
            "city": "Dubai",
            "latitude": 25.08,
            "longitude": 55.14,
            "note": "ring",
        },
        "items": [{"name": "Amlodipine 5 mg", "quantity": 2}],
        "currency": "AED",
        "totalMinor": 4500,
        **changes,
    }


def report(api: Api, **changes: Any) -> str:
    order_id = str(uuid4())
    answer = api.call("PUT", f"/orders/{order_id}", json=order(**changes), headers={"X-Trace-Id": "shop-9"})
    assert answer.status_code == 200, answer.get_json()
    return order_id


def pay(api: Api, order_id: str, status: str = "Paid") -> TestResponse:
    return api.call("PUT", f"/orders/{order_id}/payment", json={"status": status, "reference": "pay-1"})


def ready(api: Api, order_id: str) -> dict[str, Any]:
    answer = api.call("POST", f"/orders/{order_id}/ready")
    assert answer.status_code == 200
    return dict(answer.get_json())


def booked(api: Api, desk: CourierDesk) -> dict[str, Any]:
    order_id = report(api)
    pay(api, order_id)
    ready(api, order_id)
    desk.drain()
    return shown(api, order_id)


def shown(api: Api, order_id: str) -> dict[str, Any]:
    return dict(api.call("GET", f"/orders/{order_id}").get_json()["order"])


def move(order_id: str, status: str) -> None:
    row = reading.order_state(UUID(order_id)).dispatch
    assert row is not None
    with transaction("test"):
        orders.lock_order(row["order_id"])
        events.note_own(row, DispatchStatus(status), source="staff", event_id=f"t:{uuid4()}", actor="test")


def right_code(dispatch_id: str) -> str:
    with connected():
        counter = fetch_one("SELECT code_counter FROM courier_dispatches WHERE id = %s", (dispatch_id,))[0]
    return code_of(UUID(dispatch_id), counter)


def unversioned(api: Api, path: str, **request: Any) -> TestResponse:
    headers = {"Authorization": f"Bearer {api.token}"}
    return api.app.test_client().post(path, headers=headers, **request)


# --- from order to booking


def test_an_order_waits_for_payment_and_pharmacist_and_is_then_booked_by_itself(api: Api, desk: CourierDesk) -> None:
    order_id = report(api)
    assert shown(api, order_id)["waitingFor"] == ["PAYMENT_NOT_CAPTURED", "NOT_MARKED_READY"]
    first = ready(api, order_id)
    assert (first["waitingFor"], first["changed"], first["order"]["isReadyForDispatch"]) == (
        ["PAYMENT_NOT_CAPTURED"],
        True,
        True,
    )
    assert ready(api, order_id)["changed"] is False
    paid = pay(api, order_id).get_json()["order"]
    assert (paid["waitingFor"], paid["dispatchStatus"], paid["dispatch"]["booking"]["status"]) == ([], None, "PENDING")
    desk.drain()
    now = shown(api, order_id)
    assert (now["dispatchStatus"], now["dispatch"]["status"], now["actions"]) == ("BOOKED", "BOOKED", ["cancel"])
    assert now["traceId"] == "shop-9"


def test_ready_twice_at_both_addresses_books_one_courier(api: Api, desk: CourierDesk) -> None:
    order_id = report(api)
    pay(api, order_id)
    for _ in range(2):
        ready(api, order_id)
        assert unversioned(api, f"/orders/{order_id}/ready").status_code == 200
    desk.drain()
    assert desk.courier.booking.sends == 1
    assert len(shown(api, order_id)["dispatches"]) == 1


def test_a_booking_that_failed_is_said_and_ready_tries_it_again(api: Api, desk: CourierDesk) -> None:
    desk.courier.booking.script(Play(Outcome.PERMANENT))
    order_id = report(api)
    pay(api, order_id)
    ready(api, order_id)
    desk.drain()
    failed = shown(api, order_id)
    assert failed["dispatchStatus"] is None
    assert failed["dispatch"]["booking"]["error"] == "DISPATCH_CREATION_FAILED"
    assert ready(api, order_id)["bookingRetried"] is True
    desk.drain()
    assert shown(api, order_id)["dispatchStatus"] == "BOOKED"
    assert len(shown(api, order_id)["dispatches"]) == 1


def test_nothing_personal_is_answered(api: Api, desk: CourierDesk) -> None:
    now = booked(api, desk)
    text = str(now)
    assert now["patient"] == {"patientId": "P-1", "name": "A••• R•••", "phone": "•••67", "email": "a•••@example.com"}
    for secret in ("Amina", "Rivers", "501234567", "amina@", "Marina"):
        assert secret not in text


# --- lists


def test_the_list_is_paged_and_filtered_by_status(api: Api, desk: CourierDesk) -> None:
    one = booked(api, desk)["orderId"]
    waiting = [report(api) for _ in range(3)]
    everything = api.call("GET", "/orders?page=1&pageSize=3").get_json()
    assert [entry["orderId"] for entry in everything["orders"]] == waiting[::-1]
    assert (everything["total"], everything["totalIsExact"], everything["pageSize"]) == (4, True, 3)
    assert [entry["orderId"] for entry in api.call("GET", "/orders?page=2&pageSize=3").get_json()["orders"]] == [one]
    only = api.call("GET", "/orders?page=1&pageSize=10&status=BOOKED").get_json()
    assert [(entry["orderId"], entry["dispatchStatus"]) for entry in only["orders"]] == [(one, "BOOKED")]


@pytest.mark.parametrize(
    ("query", "code", "field"),
    [
        ("page=0", "INVALID_PAGE", "page"),
        ("pageSize=101", "INVALID_PAGE", "pageSize"),
        ("page=2000&pageSize=10", "INVALID_PAGE", "page"),
        ("status=REQUESTED", "UNKNOWN_STATUS", "status"),
        ("size=3", "UNKNOWN_FIELD", "size"),
    ],
)
def test_a_bad_question_is_refused_by_name(api: Api, query: str, code: str, field: str) -> None:
    assert api.error(api.call("GET", f"/orders?{query}")) == (400, code, field)


# --- under way


@pytest.mark.parametrize("versioned", [True, False])
def test_the_right_code_delivers_and_a_second_one_is_shown_how_it_is(
    api: Api, desk: CourierDesk, versioned: bool
) -> None:
    order_id = booked(api, desk)["orderId"]
    move(order_id, "IN_TRANSIT")
    on_way = shown(api, order_id)
    dispatch_id = on_way["dispatch"]["dispatchId"]
    assert on_way["actions"] == ["confirmDelivery"]
    assert on_way["dispatch"]["deliveryCode"]["triesLeft"] == 5
    path = f"/dispatch/{dispatch_id}/otp/verify"
    body = {"json": {"code": right_code(dispatch_id)}}
    answer = api.call("POST", path, **body) if versioned else unversioned(api, path, **body)
    assert answer.status_code == 200
    assert answer.get_json()["order"]["dispatchStatus"] == "DELIVERED"
    again = api.call("POST", path, **body)
    assert api.error(again)[:2] == (409, "DISPATCH_ALREADY_DELIVERED")
    assert again.get_json()["present"]["order"]["dispatchStatus"] == "DELIVERED"


def test_wrong_codes_are_counted_and_then_locked(api: Api, desk: CourierDesk) -> None:
    order_id = booked(api, desk)["orderId"]
    move(order_id, "IN_TRANSIT")
    dispatch_id = shown(api, order_id)["dispatch"]["dispatchId"]
    path, wrong = f"/dispatch/{dispatch_id}/otp/verify", str((int(right_code(dispatch_id)) + 1) % 10**6).zfill(6)
    assert api.error(api.call("POST", path, json={"code": "12345"})) == (422, "OTP_MALFORMED", "code")
    assert api.error(api.call("POST", path, json={"code": wrong})) == (422, "OTP_INVALID", "code")
    assert shown(api, order_id)["dispatch"]["deliveryCode"]["triesLeft"] == 4
    for _ in range(4):
        last = api.call("POST", path, json={"code": wrong})
    assert api.error(last) == (409, "OTP_LOCKED", "code")
    assert shown(api, order_id)["dispatch"]["deliveryCode"] | {"expiresAt": ""} == {
        "expiresAt": "",
        "triesLeft": 0,
        "locked": True,
    }


def test_cancelling_and_beginning_again(api: Api, desk: CourierDesk) -> None:
    order_id = booked(api, desk)["orderId"]
    early = api.call("POST", f"/orders/{order_id}/redispatch")
    assert api.error(early)[:2] == (409, "DISPATCH_NOT_REPEATABLE")
    answer = unversioned(api, f"/orders/{order_id}/dispatch/cancel", json={"reason": "patient asked"})
    assert answer.status_code == 200
    desk.drain("courier_cancellation")
    now = shown(api, order_id)
    assert (now["dispatchStatus"], now["actions"]) == ("CANCELED", ["redispatch"])
    assert api.call("POST", f"/orders/{order_id}/redispatch", json={"reason": "wants it after all"}).status_code == 200
    desk.drain()
    now = shown(api, order_id)
    assert (now["dispatchStatus"], now["dispatch"]["attempt"], len(now["dispatches"])) == ("BOOKED", 2, 2)


@pytest.mark.parametrize("status", ["PICKED_UP", "IN_TRANSIT"])
def test_what_was_picked_up_cannot_be_cancelled(api: Api, desk: CourierDesk, status: str) -> None:
    order_id = booked(api, desk)["orderId"]
    move(order_id, status)
    answer = api.call("POST", f"/orders/{order_id}/dispatch/cancel")
    assert api.error(answer)[:2] == (409, "DISPATCH_NOT_CANCELLABLE")


def test_a_socket_ticket_opens_the_room_of_its_order_alone(api: Api, settings_env: Settings) -> None:
    order_id = report(api)
    answer = api.call("POST", f"/orders/{order_id}/socket-ticket").get_json()
    ticket = read_ticket(answer["ticket"], settings=get_settings())
    assert ticket is not None
    assert (str(ticket.order_id), ticket.room) == (order_id, answer["room"])
    assert api.error(api.call("POST", f"/orders/{uuid4()}/socket-ticket"))[:2] == (404, "ORDER_NOT_FOUND")


# --- who may, and bad input


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("PUT", "/orders/{id}", "pharmacy:write"),
        ("POST", "/orders/{id}/ready", "pharmacy:write"),
        ("GET", "/orders/{id}", "pharmacy:read"),
        ("GET", "/orders", "pharmacy:read"),
        ("POST", "/orders/{id}/dispatch/cancel", "pharmacy:act"),
        ("POST", "/dispatch/{id}/otp/verify", "pharmacy:act"),
    ],
)
def test_every_route_wants_its_scope(api: Api, method: str, path: str, scope: str) -> None:
    others = [each for each in ("pharmacy:write", "pharmacy:read", "pharmacy:act") if each != scope]
    token = create_token(f"narrow-{uuid4().hex[:8]}", others, "tests")
    answer = api.call(method, path.format(id=uuid4()), token=token, json={})
    assert api.error(answer)[:2] == (403, "FORBIDDEN_SCOPE")


def test_unversioned_addresses_answer_errors_as_json_and_pages_beside_them_do_not(api: Api) -> None:
    anonymous = api.app.test_client().post(f"/orders/{uuid4()}/ready")
    assert (anonymous.status_code, anonymous.get_json()["error"]["code"]) == (401, "UNAUTHENTICATED")
    assert api.error(unversioned(api, f"/orders/{uuid4()}/ready"))[:2] == (404, "ORDER_NOT_FOUND")
    assert api.app.test_client().get(f"/orders/{uuid4()}/ready").get_json()["error"]["code"] == "METHOD_NOT_ALLOWED"


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"pharmacy": "NOBODY"}, "PHARMACY_NOT_FOUND", "pharmacy"),
        ({"items": []}, "INVALID_VALUE", "items"),
        ({"items": [{"name": "x", "quantity": 0}]}, "INVALID_VALUE", "items[0].quantity"),
        ({"totalMinor": -1}, "INVALID_VALUE", "totalMinor"),
        ({"totalMinor": 1.5}, "WRONG_TYPE", "totalMinor"),
        ({"currency": "A1D"}, "INVALID_CURRENCY", "currency"),
        ({"orderNumber": "a\nb"}, "INVALID_VALUE", "orderNumber"),
        ({"deliverBy": "2026-03-01T10:00:00"}, "NAIVE_DATE", "deliverBy"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_and_nothing_is_stored(
    api: Api, changes: dict[str, Any], code: str, field: str
) -> None:
    answer = api.call("PUT", f"/orders/{uuid4()}", json=order(**changes))
    assert api.error(answer)[1:] == (code, field)
    assert api.call("GET", "/orders").get_json()["total"] == 0


@pytest.mark.parametrize(
    ("part", "name", "value", "code"),
    [
        ("patient", "email", "not an address", "INVALID_EMAIL"),
        ("patient", "phone", "call me", "INVALID_PHONE"),
        ("delivery", "latitude", 91.0, "INVALID_COORDINATES"),
        ("delivery", "longitude", -181.0, "INVALID_COORDINATES"),
    ],
)
def test_what_a_courier_or_a_patient_could_not_use_is_refused(
    api: Api, part: str, name: str, value: Any, code: str
) -> None:
    wanted = order()
    wanted[part] = {**wanted[part], name: value}
    answer = api.call("PUT", f"/orders/{uuid4()}", json=wanted)
    assert api.error(answer) == (400, code, f"{part}.{name}")


def test_a_dispatched_order_cannot_be_reported_differently(api: Api, desk: CourierDesk) -> None:
    order_id, wanted = str(uuid4()), order()
    api.call("PUT", f"/orders/{order_id}", json=wanted)
    pay(api, order_id)
    ready(api, order_id)
    assert api.call("PUT", f"/orders/{order_id}", json=wanted).status_code == 200
    changed = api.call("PUT", f"/orders/{order_id}", json={**wanted, "totalMinor": 1})
    assert api.error(changed)[:2] == (409, "ORDER_ALREADY_DISPATCHED")


def test_a_refund_is_final(api: Api) -> None:
    order_id = report(api)
    assert pay(api, order_id).status_code == 200
    assert pay(api, order_id, "Refunded").status_code == 200
    assert api.error(pay(api, order_id)) == (409, "PAYMENT_FINAL", "status")
    assert api.error(pay(api, order_id, "Maybe")) == (400, "PAYMENT_STATUS_UNKNOWN", "status")


def test_no_page_of_the_dashboard_stands_in_the_way_of_an_address_of_the_api(settings_env: Settings) -> None:
    addresses = create_app(settings_env).url_map.bind("localhost")
    for route in ROUTES:
        for rule in filter(None, (route.rule, route.unversioned)):
            endpoint, _ = addresses.match(re.sub("<[^>]+>", str(uuid4()), rule), method=route.method)
            assert endpoint.startswith(f"{BLUEPRINT}."), rule
