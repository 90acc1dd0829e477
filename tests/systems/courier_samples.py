"""A courier that reaches nobody, and pharmacy orders as upstream services report them, for tests of the courier system."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, connected, database, execute, fetch_dicts
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.courier import Report
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import couriers, orders, pharmacies
from dispatchlog.systems.courier.inputs import ItemInput, OrderInput, PatientInput, PaymentInput, PharmacyInput, Place
from tests.at_rest import opened_rows

PHARMACY = PharmacyInput(
    code="PH-IKEJA",
    name="Ikeja Pharmacy",
    phone="+234 1 555 0100",
    place=Place("12 Allen Avenue", 6.6018, 3.3515, city="Lagos"),
    email="pharmacy@example.org",
)
PATIENT = PatientInput("Amina Rivers", "+2348015550123", "amina@example.com", patient_id="P-77")
PAID = PaymentInput("Paid", reference="pay-1")


class FakeCourier:
    """A courier in memory: two scriptable gateways and nothing that is heard by itself."""

    title = "Test courier"
    tells = False
    poll_seconds = 20.0

    def __init__(self, kind: GatewayKind = GatewayKind.LOOKUP, *, name: str = "generic") -> None:
        self.name = name
        self.booking = FakeGateway(kind, name=f"{name}-booking")
        self.cancellation = FakeGateway(GatewayKind.IDEMPOTENT, name=f"{name}-cancellation")

    def ask(self, courier_reference: str, job_references: Mapping[str, Any], *, deadline: Deadline) -> Report:
        raise NotImplementedError

    def read_webhook(self, headers: Mapping[str, str], body: bytes) -> Sequence[Report]:
        raise NotImplementedError

    def close(self) -> None:
        self.booking.close()
        self.cancellation.close()


class CourierDesk:
    """One in-process worker of the courier's lanes, and what the courier got."""

    def __init__(self, runtime: Runtime, courier: FakeCourier) -> None:
        self.runtime = runtime
        self.courier = courier

    def drain(self, lane: str = "courier_booking") -> None:
        drain(registry.lane(lane), self.runtime)

    def rows(self, table: str) -> list[dict[str, Any]]:
        with connected():
            return opened_rows(table, fetch_dicts(f"SELECT * FROM {table} ORDER BY created_at, id"))

    def dispatches(self) -> list[dict[str, Any]]:
        return self.rows("courier_dispatches")

    def statuses(self) -> list[str]:
        """Of all dispatches, in the order of their making."""
        return [str(row["status"]) for row in self.dispatches()]

    def changes(self) -> list[str]:
        return [str(row["what"]) for row in self.listing("SELECT what FROM order_changes ORDER BY id")]

    def listing(self, sql: str) -> list[dict[str, Any]]:
        with connected():
            return fetch_dicts(sql)


@contextmanager
def courier_desk(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *, kind: GatewayKind = GatewayKind.LOOKUP
) -> Iterator[CourierDesk]:
    """The process as a worker of both lanes, with a courier in memory as the configured one."""
    courier = FakeCourier(kind)
    monkeypatch.setenv("DISPATCHLOG_COURIER", courier.name)
    monkeypatch.setattr(couriers, "couriers", lambda: {courier.name: courier})
    monkeypatch.setattr(couriers, "booking_courier", lambda: courier)
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    registry.forget()
    configure(settings.database_url, role=settings.application_role, max_connections=60, by_index=True)
    presence = Presence(settings.database_url, role=settings.application_role)
    presence.open()
    try:
        yield CourierDesk(Runtime(presence, get_waker(), Breaker(settings.effective_redis_url)), courier)
    finally:
        presence.close()
        database.close_all()
        for cache in (get_settings, get_broker, get_waker):
            cache.cache_clear()
        registry.forget()


def an_order(**changes: Any) -> OrderInput:
    order = OrderInput(
        order_id=uuid4(),
        order_number=f"MS-{uuid4().hex[:8]}",
        pharmacy=PHARMACY.code,
        patient=PATIENT,
        place=Place("3 Marina Road", 6.4281, 3.4219, city="Lagos", note="Blue gate"),
        items=(ItemInput("Amlodipine 5 mg", 2), ItemInput("Metformin 500 mg", 1)),
        currency="NGN",
        total_minor=1_250_000,
    )
    return replace(order, **changes)


def reported(**changes: Any) -> UUID:
    """The id of an order that was just reported, with its pharmacy."""
    pharmacies.put_pharmacy(PHARMACY, source="test")
    order = an_order(**changes)
    orders.put_order(order, source="test", trace_id="trace-1")
    return order.order_id


def requested(**changes: Any) -> UUID:
    """The id of an order that is paid and ready, so that its booking waits in the lane."""
    order_id = reported(**changes)
    orders.capture_payment(order_id, PAID, source="test")
    orders.mark_ready(order_id, actor="pharmacist@example.org")
    return order_id


def set_status(order_id: UUID, status: str) -> None:
    """Bring the order's newest dispatch to a status as if the courier had said so."""
    ended = status in ("DELIVERED", "FAILED", "CANCELED")
    with connected():
        execute(
            "UPDATE courier_dispatches d SET status = %s, ended_at = CASE WHEN %s THEN now() END,"
            " confirmed_by = CASE WHEN %s THEN 'courier' END FROM pharmacy_orders o"
            " WHERE o.id = %s AND d.id = o.dispatch_id",
            (status, ended, status == "DELIVERED", order_id),
        )
        execute("UPDATE pharmacy_orders SET dispatch_status = %s WHERE id = %s", (status, order_id))
