"""Pharmacy orders as the API and the pages read them. Owns the SQL of one order and of the API's list; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, fetch_dicts, fetch_one
from dispatchlog.row_content import COURIER_EVENTS, PHARMACY_ORDERS
from dispatchlog.systems.courier.changes import order_not_found
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.orders import waiting_for


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order with everything about it, as rows by column name.

    `dispatch` is the newest courier dispatch with its `booking` row (None: none), `dispatches` all attempts, newest first,
    each with its `booking` and its `cancellations`, `events` those of all attempts, oldest first.
    """

    order: Mapping[str, Any]
    pharmacy: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    dispatch: Mapping[str, Any] | None
    dispatches: Sequence[Mapping[str, Any]]
    events: Sequence[Mapping[str, Any]]
    waiting_for: Sequence[str]


@dataclass(frozen=True, slots=True)
class OrderPage:
    """One page of orders, newest first; `total` is exact up to 10,000, then that."""

    orders: Sequence[Mapping[str, Any]]
    total: int
    total_is_exact: bool


MOST = 10_000

_PHARMACY = "SELECT id, code, name, phone, email, address, city, latitude, longitude FROM pharmacies WHERE id = %s"
_BOOKING = (
    "id, status, in_doubt, due_at, attempts, last_error, last_error_code, provider_message_id, sent_at, created_at,"
    " updated_at"
)


def order_state(order_id: UUID) -> OrderState:
    """The order as it stands.

    Raises:
        CourierError: ORDER_NOT_FOUND.
    """
    with connected():
        orders = fetch_dicts("SELECT * FROM pharmacy_orders WHERE id = %s", (order_id,))
        if not orders:
            raise order_not_found(order_id)
        order = PHARMACY_ORDERS.opened(orders[0])
        pharmacy = fetch_dicts(_PHARMACY, (order["pharmacy_id"],))[0]
        items = fetch_dicts(
            "SELECT number, name, quantity FROM pharmacy_order_items WHERE order_id = %s ORDER BY number", (order_id,)
        )
        dispatches = _dispatches(order_id)
        events = fetch_dicts(
            "SELECT e.*, d.attempt FROM courier_dispatches d JOIN courier_events e ON e.dispatch_id = d.id"
            " WHERE d.order_id = %s ORDER BY e.id LIMIT %s",
            (order_id, MOST),
        )
    return OrderState(
        order=order,
        pharmacy=pharmacy,
        items=items,
        dispatch=dispatches[0] if dispatches else None,
        dispatches=dispatches,
        events=[COURIER_EVENTS.opened(event) for event in events],
        waiting_for=tuple(str(code) for code in waiting_for(order)),
    )


def order_page(*, page: int, page_size: int, status: str | None = None) -> OrderPage:
    """Page `page` (from 1) of `page_size` orders whose `dispatch_status` is `status` (None: all).

    Besides its own columns each has its pharmacy's code and name, and of its newest dispatch attempt, eta_at, tracking_url,
    cancel_requested_at, booking_status, booking_in_doubt and booking_error_code.

    Raises:
        CourierError: INVALID_PAGE (none, or beyond the first 10,000 orders).
    """
    if page < 1 or not 1 <= page_size <= 100:
        raise CourierError("page is 1 or more, pageSize 1 to 100", code="INVALID_PAGE", field="page")
    if page * page_size > MOST:
        message = f"only the newest {MOST} orders can be paged through; ask for a status"
        raise CourierError(message, code="INVALID_PAGE", field="page")
    where = "" if status is None else "WHERE dispatch_status = %(status)s"
    values = {"status": status, "size": page_size, "skipped": (page - 1) * page_size, "most": MOST}
    with connected():
        orders = [PHARMACY_ORDERS.opened(row) for row in fetch_dicts(_PAGE.format(where=where), values)]
        (total,) = fetch_one(
            f"SELECT count(*) FROM (SELECT FROM pharmacy_orders {where} LIMIT %(most)s + 1) counted", values
        )
    return OrderPage(orders=orders, total=min(total, MOST), total_is_exact=total <= MOST)


# The walk to the page stays in the index; only the page's own orders are read whole.
_PAGE = """
SELECT o.*, p.code AS pharmacy_code, p.name AS pharmacy_name, d.attempt, d.eta_at, d.tracking_url,
    d.cancel_requested_at, b.status AS booking_status, b.in_doubt AS booking_in_doubt,
    b.last_error_code AS booking_error_code
FROM (SELECT id FROM pharmacy_orders {where} ORDER BY created_at DESC, id DESC
    LIMIT %(size)s OFFSET %(skipped)s) found
JOIN pharmacy_orders o ON o.id = found.id JOIN pharmacies p ON p.id = o.pharmacy_id
LEFT JOIN courier_dispatches d ON d.id = o.dispatch_id
LEFT JOIN courier_bookings b ON b.courier_dispatch_id = d.id
ORDER BY o.created_at DESC, o.id DESC
"""


def _dispatches(order_id: UUID) -> list[dict[str, Any]]:
    dispatches = fetch_dicts(
        "SELECT * FROM courier_dispatches WHERE order_id = %s ORDER BY attempt DESC LIMIT 100", (order_id,)
    )
    bookings = _by_dispatch(
        f"SELECT courier_dispatch_id, {_BOOKING} FROM courier_bookings WHERE order_id = %s", order_id
    )
    cancellations = _by_dispatch(
        f"SELECT courier_dispatch_id, request, {_BOOKING} FROM courier_cancellations WHERE order_id = %s ORDER BY seq",
        order_id,
    )
    return [
        {
            **dispatch,
            "booking": next(iter(bookings.get(dispatch["id"], ())), None),
            "cancellations": cancellations.get(dispatch["id"], []),
        }
        for dispatch in dispatches
    ]


def _by_dispatch(sql: str, order_id: UUID) -> dict[UUID, list[dict[str, Any]]]:
    found: dict[UUID, list[dict[str, Any]]] = {}
    for row in fetch_dicts(sql, (order_id,)):
        found.setdefault(row["courier_dispatch_id"], []).append(row)
    return found
