"""Lane `courier_cancellation`: taking a booking back; and beginning again. Owns what a person may end and repeat."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.lanes import Lane
from dispatchlog.systems.courier.orders import OrderRow

LANE = "courier_cancellation"


def courier_cancellation_lane() -> Lane:
    """The lane; IDEMPOTENT: cancelling twice has the effect of one."""
    raise NotImplementedError


def cancel_dispatch(order_id: UUID, *, actor: str, reason: str = "") -> OrderRow:
    """Cancel the order's newest dispatch (REQUESTED, BOOKED, ASSIGNED only).

    A booking that has not left is cancelled at once; else a cancellation leaves to the courier, and the dispatch is
    CANCELED when the courier has accepted it. Asking again while that is under way changes nothing.

    Raises:
        CourierError: ORDER_NOT_FOUND, DISPATCH_NOT_FOUND (never dispatched), DISPATCH_ALREADY_DELIVERED,
            DISPATCH_NOT_CANCELLABLE (picked up or ended), BOOKING_IN_DOUBT.
    """
    raise NotImplementedError


def redispatch(order_id: UUID, *, actor: str, reason: str = "") -> OrderRow:
    """Begin another dispatch of an order whose newest one is FAILED or CANCELED.

    Raises:
        CourierError: ORDER_NOT_FOUND, DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_REPEATABLE,
            PAYMENT_NOT_CAPTURED, BOOKING_IN_DOUBT, NO_COURIER.
    """
    raise NotImplementedError
