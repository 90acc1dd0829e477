"""Pharmacy orders in every state, written as rows: what pages show, without the courier system at work."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import connected, execute, fetch_dicts, fetch_one
from dispatchlog.engine.tables import new_id

NAME, PHONE, EMAIL, ADDRESS = "Adaeze Obiorah", "+2348031234567", "adaeze@patients.example", "14 Adeola Odeku Street"
SECRETS = ("Adaeze", "Obiorah", "8031234567", "adaeze@", "Adeola")
COURIER = "kwik"
STATUSES = ("REQUESTED", "BOOKED", "ASSIGNED", "PICKED_UP", "IN_TRANSIT", "DELIVERED", "FAILED", "CANCELED")
_INSTANTS = ("requested_at", "booked_at", "assigned_at", "picked_up_at", "in_transit_at")
_REACHED = {
    "REQUESTED": 1,
    "BOOKED": 2,
    "ASSIGNED": 3,
    "PICKED_UP": 4,
    "IN_TRANSIT": 5,
    "DELIVERED": 5,
    "FAILED": 5,
    "CANCELED": 2,
}
_numbers = itertools.count(10_001)


def insert(table: str, **columns: Any) -> None:
    with connected():
        marks = ", ".join(["%s"] * len(columns))
        execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", tuple(columns.values()))


def pharmacy(code: str = "PH-01", name: str = "Harbour Pharmacy", **columns: Any) -> UUID:
    """The pharmacy of this code, made where there is none."""
    with connected():
        found = fetch_dicts("SELECT id FROM pharmacies WHERE code = %s", (code,))
    if found:
        known: UUID = found[0]["id"]
        return known
    identity = new_id()
    place = {"address": "1 Marina", "city": "Lagos", "latitude": 6.45, "longitude": 3.39}
    insert("pharmacies", id=identity, code=code, name=name, phone="+23412700000", **{**place, **columns})
    return identity


def order(
    status: str | None = None,
    *,
    paid: bool = True,
    ready: bool | None = None,
    code: str = "PH-01",
    at: datetime | None = None,
    booking: str | None = None,
    dispatch: dict[str, Any] | None = None,
    **columns: Any,
) -> dict[str, Any]:
    """An order, with a courier dispatch of this status (None: without one) and its booking; the order's row comes back."""
    at = at or datetime.now(UTC) - timedelta(minutes=40)
    marked = status is not None if ready is None else ready
    identity, number = new_id(), f"MS-{next(_numbers)}"
    insert(
        "pharmacy_orders",
        **{
            "id": identity,
            "order_number": number,
            "pharmacy_id": pharmacy(code),
            "patient_name": NAME,
            "patient_phone": PHONE,
            "patient_email": EMAIL,
            "address": ADDRESS,
            "city": "Lagos",
            "latitude": 6.43,
            "longitude": 3.42,
            "currency": "NGN",
            "total_minor": 1_250_000,
            "payment_status": "Paid" if paid else "Pending",
            "paid_at": at + timedelta(minutes=1) if paid else None,
            "is_ready_for_dispatch": marked,
            "ready_at": at + timedelta(minutes=5) if marked else None,
            "ready_by": "pharmacist@example.org" if marked else None,
            "document_sha256": b"0" * 32,
            "source": "service:shop",
            "trace_id": f"trace-{identity.hex[:12]}",
            "created_at": at,
            **columns,
        },
    )
    insert("pharmacy_order_items", order_id=identity, number=1, name="Amoxicillin 500 mg", quantity=2)
    if status is not None:
        attempt(identity, status, at=at + timedelta(minutes=5), booking=booking, **(dispatch or {}))
    return the_order(identity)


def attempt(
    order_id: UUID,
    status: str,
    *,
    number: int = 1,
    at: datetime | None = None,
    booking: str | None = None,
    **columns: Any,
) -> UUID:
    """A courier dispatch of the order, its newest from now on."""
    at = at or datetime.now(UTC)
    identity = new_id()
    reached = _INSTANTS[: _REACHED[status]]
    ended = status in ("DELIVERED", "FAILED", "CANCELED")
    insert(
        "courier_dispatches",
        **{
            "id": identity,
            "order_id": order_id,
            "attempt": number,
            "courier": COURIER,
            "status": status,
            "courier_reference": None if status == "REQUESTED" else f"KW-{identity.hex[-8:]}",
            **{name: at + timedelta(minutes=4 * place) for place, name in enumerate(reached)},
            "ended_at": at + timedelta(minutes=30) if ended else None,
            "confirmed_by": "otp" if status == "DELIVERED" else None,
            "trace_id": "trace",
            "created_at": at,
            **columns,
        },
    )
    with connected():
        execute(
            "UPDATE pharmacy_orders SET dispatch_id = %s, dispatch_status = %s, version = version + 1 WHERE id = %s",
            (identity, status, order_id),
        )
    book(order_id, identity, number, booking or ("PENDING" if status == "REQUESTED" else "SENT"))
    return identity


def book(order_id: UUID, dispatch_id: UUID, number: int, status: str) -> None:
    """The dispatch's booking, moved through the states that the database allows."""
    identity = new_id()
    with connected():
        found = fetch_one("SELECT order_number FROM pharmacy_orders WHERE id = %s", (order_id,))
    insert(
        "courier_bookings",
        id=identity,
        order_id=order_id,
        courier_dispatch_id=dispatch_id,
        order_number=found[0],
        attempt=number,
        courier=COURIER,
        subject_id=f"pharmacy-order:{order_id}",
        search_keys=[found[0], str(order_id), str(dispatch_id)],
    )
    if status == "PENDING":
        return
    in_doubt = status == "IN_DOUBT"
    with connected():
        execute(
            "UPDATE courier_bookings SET status = 'QUEUED', claim_token = %s, claimed_by = 1, claimed_at = now(),"
            " claims = 1, first_claimed_at = now(), attempts = 1 WHERE id = %s",
            (uuid4(), identity),
        )
        if status == "SENT":
            execute("UPDATE courier_bookings SET status = 'SENT', sent_at = now() WHERE id = %s", (identity,))
        else:
            execute(
                "UPDATE courier_bookings SET status = 'FAILED', in_doubt = %s, last_error_code = 'COURIER_REFUSED',"
                " last_error = 'no vehicle in this zone' WHERE id = %s",
                (in_doubt, identity),
            )


def event(dispatch_id: UUID, status: str | None, **columns: Any) -> None:
    """Something that was heard of a dispatch, applied."""
    insert(
        "courier_events",
        **{
            "courier": COURIER,
            "event_id": str(uuid4()),
            "source": "webhook",
            "dispatch_id": dispatch_id,
            "raw_status": status or "REROUTED",
            "status": status,
            "applied_at": datetime.now(UTC),
            "effect": "MOVED" if status else "UNKNOWN",
            **columns,
        },
    )


def the_order(order_id: UUID) -> dict[str, Any]:
    with connected():
        return fetch_dicts("SELECT * FROM pharmacy_orders WHERE id = %s", (order_id,))[0]


def one_of_each() -> dict[str, dict[str, Any]]:
    """An order in every state of the pages, by the state's key."""
    soon = datetime.now(UTC) + timedelta(minutes=23)
    found = {
        "UNPAID": order(paid=False),
        "NOT_READY": order(),
        "NO_COURIER": order(ready=True),
        "REFUNDED": order(paid=False, payment_status="Refunded"),
        "BOOKING": order("REQUESTED"),
        "BOOKING_FAILED": order("REQUESTED", booking="FAILED"),
    }
    for status in STATUSES[1:]:
        found[status] = order(status, deliver_by=soon, dispatch={"eta_at": soon})
    return found
