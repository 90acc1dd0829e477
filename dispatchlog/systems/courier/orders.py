"""Pharmacy orders: reporting them, their payment, marking them ready, and the gate that books a courier. Owns their table.

Everything that changes an order takes its row's lock first, and writes the change's `order_changes` row with it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

import peewee
import psycopg2

from dispatchlog.broker import get_waker
from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.row_content import PHARMACY_ORDERS
from dispatchlog.systems.courier.booking import booking_of, courier_booking_lane, request_dispatch
from dispatchlog.systems.courier.changes import OrderRow, lock_order, note_change, now
from dispatchlog.systems.courier.checks import PAID, PAYMENT_RANK, REFUNDED, check_order, check_payment
from dispatchlog.systems.courier.courier_gateway import chosen_courier
from dispatchlog.systems.courier.inputs import CourierError, OrderInput, PaymentInput
from dispatchlog.systems.courier.moves import newest_dispatch
from dispatchlog.systems.courier.states import DispatchStatus
from dispatchlog.systems.courier.withdrawing import call_off, free_booking
from dispatchlog.tracing import new_trace_id

__all__ = [
    "OrderRow",
    "ReadyResult",
    "Waiting",
    "capture_payment",
    "lock_order",
    "mark_many_ready",
    "mark_ready",
    "note_change",
    "open_gates",
    "put_order",
    "waiting_for",
]


class Waiting(StrEnum):
    """What the gate waits for before a courier is booked; stable codes."""

    PAYMENT_NOT_CAPTURED = "PAYMENT_NOT_CAPTURED"
    NOT_MARKED_READY = "NOT_MARKED_READY"
    NO_COURIER = "NO_COURIER"


@dataclass(frozen=True, slots=True)
class ReadyResult:
    """What marking an order ready came to.

    `waiting_for` is what the gate still waits for, empty once a dispatch exists; `changed` is false where nothing new
    happened; `retried`: a booking that had failed was set going again; `booking` is the newest dispatch's row of its lane.
    """

    order: OrderRow
    changed: bool
    waiting_for: Sequence[Waiting] = ()
    retried: bool = False
    booking: Mapping[str, Any] = field(default_factory=dict)


def put_order(order: OrderInput, *, source: str, trace_id: str) -> tuple[OrderRow, bool]:
    """Store the order; the row and whether it is new. The same report again changes nothing.

    What a courier has been told cannot be changed: once a dispatch exists, another report than the stored one is refused.
    Before that everything but the items may be corrected.

    Raises:
        CourierError: PHARMACY_NOT_FOUND, ORDER_NUMBER_TAKEN, ORDER_ALREADY_DISPATCHED, ORDER_ITEMS_FIXED, INVALID_* with
            the field.
    """
    check_order(order)
    with transaction(f"service:{source}"):
        columns = {**_columns(order), "pharmacy_id": _pharmacy_id(order.pharmacy)}
        if _insert(order, columns, source=source, trace_id=trace_id or new_trace_id()):
            return note_change(order.order_id, "created"), True
        known = _known(order)
        if bytes(known["document_sha256"]) == _fingerprint(order):
            return known, False
        return _correct(order, known, columns), False


def capture_payment(order_id: UUID, payment: PaymentInput, *, source: str) -> OrderRow:
    """Note what became of the payment; Paid books the courier where the order is ready. Saying the same twice is one.

    Reports may come late: one that says less than what is known changes nothing. A booking that has not left is taken back
    where the payment is not there any more.

    Raises:
        CourierError: ORDER_NOT_FOUND, PAYMENT_STATUS_UNKNOWN, PAYMENT_FINAL (Refunded does not become Paid again).
    """
    check_payment(payment)
    actor = f"service:{source}"
    with transaction(actor):
        order = lock_order(order_id)
        if order["payment_status"] == REFUNDED and payment.status == PAID:
            message = f"order {order['order_number']} was refunded, which is final; report a new order"
            raise CourierError(message, code="PAYMENT_FINAL", field="status")
        if PAYMENT_RANK[payment.status] <= PAYMENT_RANK[order["payment_status"]]:
            return order
        order = note_change(
            order_id,
            "paid",
            payment_status=payment.status,
            payment_reference=payment.reference or order["payment_reference"],
            paid_at=(payment.paid_at or now()) if payment.status == PAID else order["paid_at"],
        )
        if payment.status == REFUNDED:
            return _take_back(order, actor)
        return _pass_gate(order, actor)


def mark_ready(order_id: UUID, *, actor: str) -> ReadyResult:
    """The pharmacist has prepared the order: the courier is booked once it is paid too. Idempotent; with a booking that
    failed (and is not in doubt) it tries that again.

    Raises:
        CourierError: ORDER_NOT_FOUND.
    """
    with transaction(actor, "marked ready"):
        order = before = lock_order(order_id)
        if not order["is_ready_for_dispatch"]:
            order = note_change(order_id, "ready", is_ready_for_dispatch=True, ready_at=now(), ready_by=actor[:128])
        order = _pass_gate(order, actor)
        retried = _retry_failed(order, actor)
        if retried:
            order = note_change(order_id, "dispatch")
        changed = order["version"] != before["version"]
        if changed:
            operator.log_action(actor, "mark_order_ready", detail={"order_id": str(order_id), "retried": retried})
        booking = booking_of(order["dispatch_id"]) if order["dispatch_id"] else None
        return ReadyResult(order, changed, waiting_for(order), retried, booking or {})


def mark_many_ready(order_ids: Sequence[UUID], *, actor: str) -> Mapping[UUID, ReadyResult | str]:
    """Each on its own; for an order that could not be taken its code comes back."""
    results: dict[UUID, ReadyResult | str] = {}
    for order_id in dict.fromkeys(order_ids):
        try:
            results[order_id] = mark_ready(order_id, actor=actor)
        except CourierError as error:
            results[order_id] = error.code
    return results


def waiting_for(order: OrderRow) -> tuple[Waiting, ...]:
    """What the order's gate still waits for; nothing once a dispatch exists."""
    if order["dispatch_id"] is not None:
        return ()
    found = []
    if order["payment_status"] != PAID:
        found.append(Waiting.PAYMENT_NOT_CAPTURED)
    if not order["is_ready_for_dispatch"]:
        found.append(Waiting.NOT_MARKED_READY)
    if chosen_courier() is None:
        found.append(Waiting.NO_COURIER)
    return tuple(found)


# By the index of what waits at the gate, among however many were dispatched or never paid.
_SHUT = """
SELECT id FROM pharmacy_orders WHERE dispatch_id IS NULL AND payment_status = 'Paid' AND is_ready_for_dispatch
ORDER BY created_at, id LIMIT %s
"""
GATES_AT_ONCE = 500


def open_gates() -> int:
    """Book what is paid and ready and has no dispatch (a courier was configured later); how many. For the clock."""
    if chosen_courier() is None:
        return 0
    with connected():
        shut = [row[0] for row in fetch_all(_SHUT, (GATES_AT_ONCE,))]
    opened = 0
    for order_id in shut:
        with transaction("service:gate", "a courier is configured now"):
            before = lock_order(order_id)
            opened += _pass_gate(before, "service:gate")["dispatch_id"] != before["dispatch_id"]
    return opened


def _pass_gate(order: OrderRow, actor: str) -> OrderRow:
    """Book the locked order's first dispatch where nothing is waited for; later ones are a person's decision."""
    if order["dispatch_id"] is not None or waiting_for(order):
        return order
    request_dispatch(order, actor=actor)
    return lock_order(order["id"])


def _retry_failed(order: OrderRow, actor: str) -> bool:
    """Set a failed booking going again, where the courier certainly does not have it and nobody wants it back."""
    if order["dispatch_status"] != DispatchStatus.REQUESTED or order["payment_status"] != PAID:
        return False
    dispatch = newest_dispatch(order)
    if dispatch is None or dispatch["cancel_requested_at"] is not None:
        return False
    booking = free_booking(dispatch)
    if booking is None or booking["status"] != "FAILED" or booking["in_doubt"]:
        return False
    lane = courier_booking_lane()
    changed = operator.retry(lane, [booking["id"]], actor=actor, reason="marked ready again")[0].changed
    get_waker().after_commit(lane)
    return changed


def _take_back(order: OrderRow, actor: str) -> OrderRow:
    """A refunded order's booking does not leave any more, and one that is under way is taken back as soon as that is known;
    one that the courier has is for a person to cancel.
    """
    dispatch = newest_dispatch(order)
    if dispatch is None or dispatch["status"] != DispatchStatus.REQUESTED:
        return order
    return call_off(dispatch, actor=actor, reason="the payment was refunded") or order


def _columns(order: OrderInput) -> dict[str, Any]:
    columns = {
        "order_number": order.order_number,
        "patient_id": order.patient.patient_id,
        "patient_name": order.patient.name,
        "patient_phone": order.patient.phone,
        "patient_email": order.patient.email,
        "address": order.place.address,
        "city": order.place.city,
        "latitude": order.place.latitude,
        "longitude": order.place.longitude,
        "address_note": order.place.note,
        "currency": order.currency,
        "total_minor": order.total_minor,
        "deliver_by": order.deliver_by,
        "document_sha256": psycopg2.Binary(_fingerprint(order)),
        "sealed": None,
    }
    written = PHARMACY_ORDERS.sealing({"id": order.order_id, **columns})
    return {name: written[name] for name in columns}


def _fingerprint(order: OrderInput) -> bytes:
    document = json.dumps(asdict(order), sort_keys=True, default=_plain)
    return hashlib.sha256(document.encode()).digest()


def _plain(value: Any) -> str:
    """The same instant and number have the same text, however they were written."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def _pharmacy_id(code: str) -> UUID:
    rows = fetch_all("SELECT id FROM pharmacies WHERE code = %s", (code,))
    if not rows:
        message = "there is no pharmacy of this code; report it first"
        raise CourierError(message, code="PHARMACY_NOT_FOUND", field="pharmacy")
    return rows[0][0]


def _insert(order: OrderInput, columns: Mapping[str, Any], *, source: str, trace_id: str) -> bool:
    row = {**columns, "id": order.order_id, "source": source[:128], "trace_id": trace_id[:64], "version": 0}
    inserted = execute(
        f"INSERT INTO pharmacy_orders ({', '.join(row)}) VALUES ({', '.join(['%s'] * len(row))}) ON CONFLICT DO NOTHING",
        tuple(row.values()),
    )
    if not inserted.rowcount:
        return False
    execute(
        "INSERT INTO pharmacy_order_items (order_id, number, name, quantity) SELECT %s, number, name, quantity"
        " FROM unnest(%s::text[], %s::int[]) WITH ORDINALITY AS i (name, quantity, number)",
        (order.order_id, [item.name for item in order.items], [item.quantity for item in order.items]),
    )
    return True


def _known(order: OrderInput) -> OrderRow:
    try:
        return lock_order(order.order_id)
    except CourierError:
        # It was not inserted and is not there: another order has its number.
        raise _number_taken(order) from None


def _number_taken(order: OrderInput) -> CourierError:
    message = f"another order has the number {order.order_number}"
    return CourierError(message, code="ORDER_NUMBER_TAKEN", field="orderNumber")


def _correct(order: OrderInput, known: OrderRow, columns: Mapping[str, Any]) -> OrderRow:
    if known["dispatch_id"] is not None:
        message = f"order {known['order_number']} was dispatched already, so it cannot be changed any more"
        raise CourierError(message, code="ORDER_ALREADY_DISPATCHED", field="orderId")
    stored = fetch_all(
        "SELECT name, quantity FROM pharmacy_order_items WHERE order_id = %s ORDER BY number", (order.order_id,)
    )
    if stored != [(item.name, item.quantity) for item in order.items]:
        message = "the items of an order stay as they were reported; report a new order"
        raise CourierError(message, code="ORDER_ITEMS_FIXED", field="items")
    try:
        return note_change(order.order_id, "changed", **columns)
    except peewee.IntegrityError as error:
        raise _number_taken(order) from error
