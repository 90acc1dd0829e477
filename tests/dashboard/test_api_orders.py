"""Reporting orders and shipments over HTTP: what is stored, what is refused, and that a refusal stores nothing."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.service_tokens import create_token
from dispatchlog.settings import Settings
from tests.dashboard.api_support import Api, order, row_counts, rows, running_api


@pytest.fixture
def api(settings_env: Settings) -> Iterator[Api]:
    with running_api(settings_env) as running:
        yield running


def test_a_shipped_practitioner_order_gets_one_registration_per_kit(api: Api) -> None:
    order_id = uuid4()
    answer = api.call("PUT", f"/kit-orders/{order_id}", json=order())
    assert answer.status_code == 200
    body = answer.get_json()
    assert body["registration"]["state"] == "REGISTERING"
    assert [kit["registrationStatus"] for kit in body["kits"]] == ["PENDING", "PENDING"]
    assert rows("SELECT kit_id FROM kit_registrations WHERE order_id = %s ORDER BY kit_id", order_id) == [
        ("KIT-1",),
        ("KIT-2",),
    ]


def test_the_answer_masks_every_address(api: Api) -> None:
    text = api.call("PUT", f"/kit-orders/{uuid4()}", json=order()).get_data(as_text=True)
    assert "one@example.org" not in text
    assert "ada@example.org" not in text


def test_the_order_reads_back_as_it_was_put(api: Api) -> None:
    order_id, document = uuid4(), order()
    api.call("PUT", f"/kit-orders/{order_id}", json=document)
    body = api.call("GET", f"/kit-orders/{order_id}").get_json()
    assert body["orderId"] == str(order_id)
    assert body["orderNumber"] == document["orderNumber"]
    assert body["shippingDate"] == document["shippingDate"]
    assert body["practitioner"]["id"] == document["practitioner"]["id"]
    assert body["registration"]["sources"] == ["vitract-orders"]


def test_the_same_order_twice_changes_nothing(api: Api) -> None:
    order_id, document = uuid4(), order()
    first = api.call("PUT", f"/kit-orders/{order_id}", json=document).get_json()
    before = row_counts()
    second = api.call("PUT", f"/kit-orders/{order_id}", json=document).get_json()
    assert row_counts() == before
    assert second["kits"] == first["kits"]


def test_a_shipment_report_registers_the_kits(api: Api) -> None:
    order_id = uuid4()
    api.call("PUT", f"/kit-orders/{order_id}", json=unshipped())
    assert row_counts()["kit_registrations"] == 0
    answer = api.call("PATCH", f"/kit-orders/{order_id}/shipment", json={"trackingNumber": "1Z999"})
    assert answer.status_code == 200
    assert row_counts()["kit_registrations"] == 2


def test_the_trace_id_of_the_request_goes_with_its_dispatches(api: Api) -> None:
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", json=order(), headers={"X-Trace-Id": "upstream-42"})
    assert answer.headers["X-Trace-Id"] == answer.get_json()["traceId"] == "upstream-42"
    assert set(rows("SELECT trace_id FROM kit_registrations")) == {("upstream-42",)}


@pytest.mark.parametrize("offered", ["", "a" * 65, "two words", "ümlaut", "x\ty"])
def test_a_trace_id_that_is_not_sane_is_replaced(api: Api, offered: str) -> None:
    answer = api.call("GET", f"/kit-orders/{uuid4()}", headers={"X-Trace-Id": offered})
    assert answer.headers["X-Trace-Id"] != offered
    assert len(answer.headers["X-Trace-Id"]) == 32


def test_an_order_without_practitioner_is_kept_and_explained(api: Api) -> None:
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", json=order(practitioner=None))
    registration = answer.get_json()["registration"]
    assert (registration["state"], registration["code"]) == ("NOT_APPLICABLE", "NOT_PRACTITIONER_ORDER")
    assert "practitioner" in registration["detail"]
    assert row_counts()["kit_registrations"] == 0


def test_a_missing_recipient_and_a_practitioner_without_address_are_accepted(api: Api) -> None:
    document = order(practitioner={"id": str(uuid4()), "name": "Dr. Ada Example"}, kits=[{"kitId": "KIT-1"}])
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", json=document)
    assert answer.status_code == 200
    assert answer.get_json()["kits"][0]["recipientEmail"] is None


def test_registering_does_what_the_message_does(api: Api) -> None:
    order_id = uuid4()
    api.call("PUT", f"/kit-orders/{order_id}", json=unshipped())
    body = api.call("POST", f"/kit-orders/{order_id}/register").get_json()
    assert (body["state"], body["code"], body["kits"]) == ("WAITING", "NOT_SHIPPED", 2)


def test_registering_an_unknown_order_is_refused_and_leaves_nothing(api: Api) -> None:
    before = row_counts()
    answer = api.call("POST", f"/kit-orders/{uuid4()}/register")
    assert api.error(answer) == (404, "ORDER_NOT_FOUND", "orderId")
    assert row_counts() == before


KIT = {"kitId": "KIT-1"}
BAD_ORDERS: dict[str, tuple[dict[str, Any], str, str | None]] = {
    "duplicate kit": ({"kits": [KIT, KIT]}, "DUPLICATE_KIT", "kits[1].kitId"),
    "duplicate kit in lower case": ({"kits": [KIT, {"kitId": "kit-1"}]}, "DUPLICATE_KIT", "kits[1].kitId"),
    "kit id": ({"kits": [{"kitId": "a b"}]}, "INVALID_KIT_ID", "kits[0].kitId"),
    "empty kit id": ({"kits": [{"kitId": ""}]}, "INVALID_KIT_ID", "kits[0].kitId"),
    "recipient": ({"kits": [{**KIT, "recipientEmail": "nobody"}]}, "INVALID_EMAIL", "kits[0].recipientEmail"),
    "header injection": (
        {"kits": [{**KIT, "recipientEmail": "a@example.org\r\nBcc: b@example.org"}]},
        "INVALID_VALUE",
        "kits[0].recipientEmail",
    ),
    "practitioner address": (
        {"practitioner": {"id": str(uuid4()), "name": "Ada", "email": "@example.org"}},
        "INVALID_EMAIL",
        "practitioner.email",
    ),
    "practitioner id": ({"practitioner": {"id": "7", "name": "Ada"}}, "INVALID_UUID", "practitioner.id"),
    "practitioner name": ({"practitioner": {"id": str(uuid4())}}, "MISSING_FIELD", "practitioner.name"),
    "long name": ({"practitioner": {"id": str(uuid4()), "name": "a" * 256}}, "TOO_LONG", "practitioner.name"),
    "NUL": ({"practitioner": {"id": str(uuid4()), "name": "a\x00b"}}, "INVALID_VALUE", "practitioner.name"),
    "no such day": ({"shippingDate": "2026-02-30T00:00:00Z"}, "INVALID_DATE", "shippingDate"),
    "bare date": ({"shippingDate": "2026-02-03"}, "INVALID_DATE", "shippingDate"),
    "number as date": ({"shippingDate": 1767225600}, "INVALID_DATE", "shippingDate"),
    "number as text as date": ({"shippingDate": "1767225600"}, "INVALID_DATE", "shippingDate"),
    "date before Christ, in UTC": ({"shippingDate": "0001-01-01T00:00:00+14:00"}, "INVALID_DATE", "shippingDate"),
    "naive date": ({"shippingDate": "2026-02-03T04:05:06"}, "NAIVE_DATE", "shippingDate"),
    "status": ({"status": "sent"}, "UNKNOWN_STATUS", "status"),
    "tracking URL": ({"trackingUrl": "javascript:alert(1)"}, "INVALID_TRACKING_URL", "trackingUrl"),
    "number": ({"orderNumber": 1001}, "WRONG_TYPE", "orderNumber"),
    "blank number": ({"orderNumber": " "}, "INVALID_ORDER_NUMBER", "orderNumber"),
    "unknown field": ({"isAdmin": True}, "UNKNOWN_FIELD", "isAdmin"),
    "unknown field of a kit": ({"kits": [{**KIT, "status": "SENT"}]}, "UNKNOWN_FIELD", "kits[0].status"),
    "our own field": ({"registrationStatus": "registered"}, "UNKNOWN_FIELD", "registrationStatus"),
    "kits": ({"kits": None}, "WRONG_TYPE", "kits"),
    "too many kits": ({"kits": [{"kitId": f"K{n}"} for n in range(501)]}, "TOO_LONG", "kits"),
    "another id": ({"orderId": str(uuid4())}, "ORDER_ID_MISMATCH", "orderId"),
}


@pytest.mark.parametrize("case", BAD_ORDERS)
def test_a_bad_order_is_refused_with_its_field_and_nothing_is_stored(api: Api, case: str) -> None:
    changes, code, place = BAD_ORDERS[case]
    before = row_counts()
    answer = api.call("PUT", f"/kit-orders/{uuid4()}", json=order(**changes))
    assert api.error(answer) == (400, code, place)
    assert row_counts() == before


@pytest.mark.parametrize("case", BAD_ORDERS)
def test_a_bad_update_leaves_the_order_as_it_was(api: Api, case: str) -> None:
    order_id = uuid4()
    api.call("PUT", f"/kit-orders/{order_id}", json=unshipped())
    before, known = row_counts(), rows("SELECT * FROM orders")
    api.call("PUT", f"/kit-orders/{order_id}", json=order(**BAD_ORDERS[case][0]))
    assert row_counts() == before
    assert rows("SELECT * FROM orders") == known


def test_an_unknown_order_is_not_found_and_its_shipment_is_not_kept(api: Api) -> None:
    before = row_counts()
    report = api.call("PATCH", f"/kit-orders/{uuid4()}/shipment", json={"status": "shipped"})
    assert api.error(report) == (404, "ORDER_NOT_FOUND", "orderId")
    assert api.error(api.call("GET", f"/kit-orders/{uuid4()}")) == (404, "ORDER_NOT_FOUND", "orderId")
    assert row_counts() == before


@pytest.mark.parametrize("bad", ["7", "not-a-uuid", "%7B2f1d3a52-9c1b-4c58-8a3e-5b7f6f0f8a11%7D", "' OR 1=1 --"])
@pytest.mark.parametrize(("method", "tail"), [("PUT", ""), ("GET", ""), ("PATCH", "/shipment"), ("POST", "/register")])
def test_a_malformed_order_id_is_refused(api: Api, method: str, tail: str, bad: str) -> None:
    body = {"PUT": order(), "PATCH": {"status": "shipped"}}.get(method)
    answer = api.call(method, f"/kit-orders/{bad}{tail}", **({"json": body} if body else {}))
    assert api.error(answer) == (400, "INVALID_UUID", "orderId")


def test_an_empty_shipment_report_is_refused(api: Api) -> None:
    order_id = uuid4()
    api.call("PUT", f"/kit-orders/{order_id}", json=unshipped())
    answer = api.call("PATCH", f"/kit-orders/{order_id}/shipment", json={"status": None})
    assert api.error(answer) == (400, "EMPTY_REPORT", None)


def test_twenty_reports_at_once_from_two_services_make_one_row_per_kit(api: Api) -> None:
    order_id = uuid4()
    api.call("PUT", f"/kit-orders/{order_id}", json=unshipped())
    other = create_token("vitract-kit-api-v1", ["orders:write"], "tests")

    def report(number: int) -> int:
        token = other if number % 2 else api.token
        body = {"trackingNumber": f"1Z{number}", "status": "shipped"}
        return api.call("PATCH", f"/kit-orders/{order_id}/shipment", token=token, json=body).status_code

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(report, range(20))) == {200}
    assert rows("SELECT kit_id, count(*) FROM kit_registrations GROUP BY 1 ORDER BY 1") == [("KIT-1", 1), ("KIT-2", 1)]
    [(sources, reports)] = rows("SELECT sources, reports FROM order_registrations")
    assert sorted(sources) == ["vitract-kit-api-v1", "vitract-orders"]
    assert reports == 20


def test_other_orders_of_the_same_number_are_stored_and_named(api: Api) -> None:
    first, second, other = uuid4(), uuid4(), uuid4()
    api.call("PUT", f"/kit-orders/{other}", json=order(orderNumber="VT-7"))
    alone = api.call("PUT", f"/kit-orders/{first}", json=order(orderNumber="VT-8")).get_json()
    both = api.call("PUT", f"/kit-orders/{second}", json=order(orderNumber="VT-8")).get_json()
    assert (alone["sameNumberOrderIds"], both["sameNumberOrderIds"]) == ([], [str(first)])
    assert api.call("GET", f"/kit-orders/{first}").get_json()["sameNumberOrderIds"] == [str(second)]
    assert row_counts()["kit_registrations"] == 6


def test_an_order_id_is_the_same_in_upper_and_lower_case(api: Api) -> None:
    order_id = str(uuid4())
    api.call("PUT", f"/kit-orders/{order_id.upper()}", json=order(orderId=order_id))
    assert api.call("PUT", f"/kit-orders/{order_id}", json=order(orderId=order_id.upper())).status_code == 200
    assert (row_counts()["orders"], row_counts()["kit_registrations"]) == (1, 2)


def unshipped() -> dict[str, Any]:
    return order(status="paid", shippingDate=None, trackingNumber=None, trackingUrl=None)
