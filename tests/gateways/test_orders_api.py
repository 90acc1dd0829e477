"""Reading orders upstream: what is understood, what is refused and which field is blamed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest

from dispatchlog.engine.errors import GatewayError, NaiveInstant, Permanent, Transient
from dispatchlog.gateways.orders_api import (
    MalformedOrder,
    OrderDocument,
    OrderKitDocument,
    OrdersApi,
    PractitionerDocument,
    parse_order,
)
from tests.ports import free_port

from .servers import LOOPBACK, RawServer, raw_server

ORDER: dict[str, Any] = {
    "orderId": "o-1",
    "orderNumber": "A-17",
    "status": "shipped",
    "practitioner": {"id": "p-1", "name": "Dr. Roe", "email": "roe@clinic.test"},
    "shippingDate": "2026-03-01T10:00:00+02:00",
    "trackingNumber": "T1",
    "trackingUrl": "https://track.test/T1",
    "kits": [{"kitId": "K1", "recipientEmail": "pat@home.test"}, {"kitId": "K2", "recipientEmail": None}],
    "somethingNew": 1,
}
PARSED = OrderDocument(
    order_id="o-1",
    order_number="A-17",
    status="shipped",
    practitioner=PractitionerDocument("p-1", "Dr. Roe", "roe@clinic.test"),
    shipping_date=datetime(2026, 3, 1, 8, tzinfo=UTC),
    tracking_number="T1",
    tracking_url="https://track.test/T1",
    cancelled_at=None,
    kits=(OrderKitDocument("K1", "pat@home.test"), OrderKitDocument("K2", None)),
)


@contextmanager
def upstream(status: int, document: Any) -> Iterator[tuple[OrdersApi, RawServer]]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()

    def talk(connection: socket.socket, server: RawServer) -> None:
        server.take(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)
        server.stopped.wait(60)

    with raw_server(talk) as server:
        api = OrdersApi(f"http://{LOOPBACK}:{server.port}/api", "s3cret", deadline_seconds=30)
        try:
            yield api, server
        finally:
            api.close()


def test_an_order_is_fetched_with_the_token_and_a_quoted_id() -> None:
    with upstream(200, ORDER) as (api, server):
        assert api.fetch_order("o/1 ä") == PARSED
        asked = bytes(server.taken).decode()
    assert asked.startswith("GET /api/orders/o%2F1%20%C3%A4 HTTP/1.1\r\n")
    assert "Authorization: Bearer s3cret\r\n" in asked


def test_an_order_that_upstream_does_not_know_is_none() -> None:
    with upstream(404, {}) as (api, _):
        assert api.fetch_order("o-1") is None


def test_shipped_orders_come_in_pages_and_a_malformed_one_holds_up_no_other() -> None:
    page = {"orders": [{"orderId": "bad", "status": 3}, ORDER, "junk"], "nextCursor": "c2"}
    with upstream(200, page) as (api, server):
        listed = api.list_shipped(datetime(2026, 3, 1, tzinfo=UTC), "c1")
        asked = bytes(server.taken).decode().split("\r\n")[0]
    assert asked == "GET /api/orders?status=shipped&updatedSince=2026-03-01T00%3A00%3A00Z&cursor=c1 HTTP/1.1"
    assert listed.orders == (PARSED,)
    assert listed.next_cursor == "c2"
    assert listed.malformed == (MalformedOrder("bad", "status"), MalformedOrder(None, "order"))


def test_a_naive_since_is_refused() -> None:
    with upstream(200, {}) as (api, _), pytest.raises(NaiveInstant):
        api.list_shipped(datetime(2026, 3, 1))  # noqa: DTZ001  (naive on purpose)


@pytest.mark.parametrize(
    ("status", "document", "kind", "code"),
    [
        (500, {}, Transient, "HTTP_500"),
        (429, {}, Transient, "HTTP_429"),
        (302, {}, Transient, "HTTP_302"),
        (401, {}, Transient, "UNAUTHORISED"),
        (400, {"code": "BAD_CURSOR"}, Permanent, "BAD_CURSOR"),
        (200, b"<html>", Transient, "MALFORMED_REPLY"),
        (200, [], Permanent, "MALFORMED_DOCUMENT"),
    ],
)
def test_each_answer_means_what_a_reader_needs(status: int, document: Any, kind: type[GatewayError], code: str) -> None:
    with upstream(status, document) as (api, _), pytest.raises(GatewayError) as failed:
        api.fetch_order("o-1")
    assert (type(failed.value), failed.value.code) == (kind, code)


def test_a_hanging_or_absent_upstream_is_transient_because_reading_changes_nothing() -> None:
    def silent(connection: socket.socket, server: RawServer) -> None:
        server.stopped.wait(60)

    with raw_server(silent) as server:
        api = OrdersApi(f"http://{LOOPBACK}:{server.port}", "", deadline_seconds=0.3)
        with pytest.raises(Transient) as slow:
            api.fetch_order("o-1")
        api.close()
    assert slow.value.code == "TIMEOUT"
    with pytest.raises(Transient):
        OrdersApi(f"http://{LOOPBACK}:{free_port()}", "").fetch_order("o-1")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"orderId": None}, "orderId"),
        ({"status": ""}, "status"),
        ({"practitioner": "p-1"}, "practitioner"),
        ({"practitioner": {"id": 5}}, "practitioner.id"),
        ({"shippingDate": "yesterday"}, "shippingDate"),
        ({"trackingNumber": 9}, "trackingNumber"),
        ({"kits": {}}, "kits"),
        ({"kits": [{"kitId": "K1"}, {}]}, "kits[1].kitId"),
        ({"kits": [{"kitId": "K1", "recipientEmail": 1}]}, "kits[0].recipientEmail"),
    ],
)
def test_a_malformed_order_names_its_field(change: dict[str, Any], field: str) -> None:
    with pytest.raises(Permanent) as malformed:
        parse_order(ORDER | change)
    assert malformed.value.evidence == {"field": field}
    assert field in str(malformed.value)


def test_what_may_be_missing_may_be_missing() -> None:
    order = parse_order(
        {"orderId": "o-1", "status": "cancelled", "practitionerId": "p-1", "shippingDate": "2026-03-01"}
    )
    assert order.order_number == "o-1"
    assert order.practitioner == PractitionerDocument("p-1")
    assert order.shipping_date == datetime(2026, 3, 1, tzinfo=UTC)
    assert (order.cancelled, order.kits) == (True, ())
    assert parse_order({"orderId": "o-1", "status": "shipped"}).practitioner is None
    assert parse_order(ORDER | {"cancelledAt": "2026-03-02T00:00:00Z"}).cancelled
