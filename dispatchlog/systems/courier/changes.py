"""The lock of an order, and what those who listen are told of its changes. Owns `order_changes` and an order's version.

Whoever changes an order or one of its dispatches takes the order's lock first, and never waits for a row of a lane while
holding it: the engine takes them the other way round.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_dicts, fetch_one, require_transaction
from dispatchlog.row_content import PHARMACY_ORDERS
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.states import shown

OrderRow = Mapping[str, Any]
SUBJECT = "pharmacy-order:"


def lock_order(order_id: UUID) -> OrderRow:
    """The order's row, locked until the transaction ends.

    Raises:
        CourierError: ORDER_NOT_FOUND.
        NotInTransaction: outside a transaction, where the lock would be gone at once.
    """
    require_transaction()
    rows = fetch_dicts("SELECT * FROM pharmacy_orders WHERE id = %s FOR NO KEY UPDATE", (order_id,))
    if not rows:
        raise order_not_found(order_id)
    return PHARMACY_ORDERS.opened(rows[0])


def order_not_found(order_id: UUID) -> CourierError:
    return CourierError(f"there is no order {order_id}", code="ORDER_NOT_FOUND", field="orderId")


def order_of_dispatch(dispatch_id: UUID) -> UUID:
    """The id of the order that this courier dispatch belongs to.

    Raises:
        CourierError: DISPATCH_NOT_FOUND.
    """
    with connected():
        rows = fetch_dicts("SELECT order_id FROM courier_dispatches WHERE id = %s", (dispatch_id,))
    if not rows:
        message = f"there is no courier dispatch {dispatch_id}"
        raise CourierError(message, code="DISPATCH_NOT_FOUND", field="dispatchId")
    return UUID(str(rows[0]["order_id"]))


def subject_of(order_id: UUID) -> str:
    """What every dispatch of this order has as its subject."""
    return f"{SUBJECT}{order_id}"


def now() -> datetime:
    """The database's time, which every instant of an order is in."""
    return fetch_one("SELECT clock_timestamp()")[0]


def note_change(order_id: UUID, what: str, **columns: Any) -> OrderRow:
    """Set columns of a locked order, raise its version and write what those who listen are told; the row comes back.

    `what` is a stable word: created, changed, paid, ready, dispatch, status, cancelling, code, tracking.
    """
    require_transaction()
    settings = "".join(f", {column} = %s" for column in columns)
    rows = fetch_dicts(
        f"UPDATE pharmacy_orders SET version = version + 1, updated_at = clock_timestamp(){settings}"
        " WHERE id = %s RETURNING *",
        (*columns.values(), order_id),
    )
    if not rows:
        raise order_not_found(order_id)
    order = PHARMACY_ORDERS.opened(rows[0])
    execute(
        "INSERT INTO order_changes (order_id, version, what, payload, trace_id) VALUES (%s, %s, %s, %s, %s)",
        (order_id, order["version"], what, json.dumps(payload_of(order, what)), order["trace_id"]),
    )
    return order


def payload_of(order: OrderRow, what: str) -> dict[str, Any]:
    """What is said of the order as it stands: ids, statuses and instants, never anything of a person."""
    dispatch = _newest(order)
    return {
        "orderId": str(order["id"]),
        "orderNumber": order["order_number"],
        "what": what,
        "version": order["version"],
        "dispatchId": _text(order["dispatch_id"]),
        "attempt": dispatch.get("attempt"),
        "dispatchStatus": shown(order["dispatch_status"]),
        "paymentStatus": order["payment_status"],
        "isReadyForDispatch": order["is_ready_for_dispatch"],
        "etaAt": _instant(dispatch.get("eta_at")),
        "bookingStatus": dispatch.get("booking_status"),
        "traceId": order["trace_id"],
        "updatedAt": _instant(order["updated_at"]),
    }


def _newest(order: OrderRow) -> Mapping[str, Any]:
    if order["dispatch_id"] is None:
        return {}
    rows = fetch_dicts(
        "SELECT d.attempt, d.eta_at, b.status AS booking_status FROM courier_dispatches d"
        " LEFT JOIN courier_bookings b ON b.courier_dispatch_id = d.id WHERE d.id = %s",
        (order["dispatch_id"],),
    )
    return rows[0] if rows else {}


def _text(value: UUID | None) -> str | None:
    return None if value is None else str(value)


def _instant(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
