"""Lane `courier_cancellation`: taking a booking back; and beginning again. Owns what a person may end and repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import operator
from dispatchlog.engine.database import fetch_dicts, transaction
from dispatchlog.systems.courier.booking import booking_of, request_dispatch
from dispatchlog.systems.courier.cancellation_lane import LANE, courier_cancellation_lane, enqueue_cancellation
from dispatchlog.systems.courier.changes import OrderRow, lock_order, note_change
from dispatchlog.systems.courier.checks import PAID
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.moves import newest_dispatch
from dispatchlog.systems.courier.states import CANCELLABLE, REPEATABLE, DispatchStatus
from dispatchlog.systems.courier.withdrawing import call_off, can_never_leave, note_wish

__all__ = ["LANE", "cancel_dispatch", "courier_cancellation_lane", "redispatch"]


def cancel_dispatch(order_id: UUID, *, actor: str, reason: str = "") -> OrderRow:
    """Cancel the order's newest dispatch (REQUESTED, BOOKED, ASSIGNED only).

    A booking that has not left is cancelled at once; else a cancellation leaves to the courier, and the dispatch is
    CANCELED when the courier has accepted it. Where the booking may be on its way or is in doubt, the wish is kept and the
    cancellation leaves as soon as the courier is known to have it. Asking again while that is under way changes nothing.

    Raises:
        CourierError: ORDER_NOT_FOUND, DISPATCH_NOT_FOUND (never dispatched), DISPATCH_ALREADY_DELIVERED,
            DISPATCH_NOT_CANCELLABLE (picked up, ended, or without the courier's number).
    """
    reason = _one_line(reason)
    with transaction(actor, reason or "delivery cancelled"):
        order = _heard_out(lock_order(order_id))
        dispatch = _dispatch(order)
        status = DispatchStatus(dispatch["status"])
        if status not in CANCELLABLE:
            message = f"the delivery is {status}; only one that was not picked up yet can be cancelled"
            raise CourierError(message, code="DISPATCH_NOT_CANCELLABLE", field="orderId")
        after = (
            call_off(dispatch, actor=actor, reason=reason)
            if status is DispatchStatus.REQUESTED
            else _cancel_booked(order, dispatch, actor, reason)
        )
        if after is None:
            return order
        _log(actor, "cancel_delivery", dispatch, reason)
        return after


def redispatch(order_id: UUID, *, actor: str, reason: str = "") -> OrderRow:
    """Begin another dispatch of an order whose newest one is FAILED or CANCELED.

    Raises:
        CourierError: ORDER_NOT_FOUND, DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_REPEATABLE,
            PAYMENT_NOT_CAPTURED, BOOKING_IN_DOUBT, NO_COURIER.
    """
    reason = _one_line(reason)
    with transaction(actor, reason or "delivery begun again"):
        order = _heard_out(lock_order(order_id))
        dispatch = _dispatch(order)
        status = DispatchStatus(dispatch["status"])
        if status not in REPEATABLE:
            message = f"the delivery is {status.value if status is not DispatchStatus.REQUESTED else 'being booked'};"
            message += " only a failed or cancelled one can be begun again"
            raise CourierError(message, code="DISPATCH_NOT_REPEATABLE", field="orderId")
        if order["payment_status"] != PAID:
            message = f"the payment is {order['payment_status']}; no courier is booked before it is captured"
            raise CourierError(message, code="PAYMENT_NOT_CAPTURED", field="paymentStatus")
        _end_booking(dispatch, actor, reason)
        _end_job(dispatch)
        request_dispatch(order, actor=actor)
        _log(actor, "redispatch", dispatch, reason)
        return lock_order(order_id)


def _heard_out(order: OrderRow) -> OrderRow:
    """The order after what its courier has told of it already: what is decided now is not decided on old news."""
    from dispatchlog.systems.courier import applying  # noqa: PLC0415  (applying needs orders, which needs the lanes)

    if order["dispatch_id"] is None:
        return order
    applying.apply_own(order["id"], order["dispatch_id"], with_reference=True)
    return lock_order(order["id"])


def _dispatch(order: OrderRow) -> Mapping[str, Any]:
    """The newest dispatch, unless there is none or it has arrived."""
    dispatch = newest_dispatch(order)
    if dispatch is None:
        message = f"order {order['order_number']} has not been dispatched yet; see what it waits for"
        raise CourierError(message, code="DISPATCH_NOT_FOUND", field="orderId")
    if dispatch["status"] == DispatchStatus.DELIVERED:
        message = f"order {order['order_number']} was delivered already"
        raise CourierError(message, code="DISPATCH_ALREADY_DELIVERED", field="orderId")
    return dispatch


def _cancel_booked(order: OrderRow, dispatch: Mapping[str, Any], actor: str, reason: str) -> OrderRow | None:
    if not dispatch["courier_reference"]:
        message = "the courier's number of it is not known; ring the courier up, then set the status by hand"
        raise CourierError(message, code="DISPATCH_NOT_CANCELLABLE", field="orderId")
    last = _last_cancellation(dispatch)
    if last is not None and last["status"] in ("PENDING", "QUEUED", "SENT"):
        return None
    if last is not None and last["in_doubt"] and not _is_free(last):
        return None
    note_wish(dispatch, actor=actor, reason=reason)
    if last is not None and last["in_doubt"]:
        # The courier takes the same request under the same key, so asking again settles it.
        lane = courier_cancellation_lane()
        operator.retry(lane, [last["id"]], actor=actor, reason=reason)
        get_waker().after_commit(lane)
    else:
        enqueue_cancellation(dispatch)
    return note_change(order["id"], "cancelling")


def _last_cancellation(dispatch: Mapping[str, Any]) -> Mapping[str, Any] | None:
    rows = fetch_dicts(
        "SELECT id, status, in_doubt FROM courier_cancellations WHERE courier_dispatch_id = %s"
        " ORDER BY request DESC LIMIT 1",
        (dispatch["id"],),
    )
    return rows[0] if rows else None


def _is_free(cancellation: Mapping[str, Any]) -> bool:
    """Whether it is as it was read, and is locked now; who moves it waits for the order's lock, so it is not waited for."""
    return bool(
        fetch_dicts(
            "SELECT id FROM courier_cancellations WHERE id = %s AND status = 'FAILED' AND in_doubt"
            " FOR NO KEY UPDATE SKIP LOCKED",
            (cancellation["id"],),
        )
    )


def _end_booking(dispatch: Mapping[str, Any], actor: str, reason: str) -> None:
    """Make sure that the earlier attempt's booking has left or never will."""
    booking = booking_of(dispatch["id"])
    if booking is None or booking["status"] in ("SENT", "CANCELLED"):
        return
    if not can_never_leave(dispatch, actor=actor, reason=reason or "delivery begun again"):
        message = (
            f"whether the courier has the booking of attempt {dispatch['attempt']} is not known;"
            " settle that first, or two drivers may come"
        )
        raise CourierError(message, code="BOOKING_IN_DOUBT", field="orderId")


def _end_job(dispatch: Mapping[str, Any]) -> None:
    """Take the earlier attempt back where only a person says that it has ended: its driver may still be on the way."""
    said = fetch_dicts(
        "SELECT id FROM courier_events WHERE dispatch_id = %s AND status = %s AND source <> 'staff' LIMIT 1",
        (dispatch["id"], dispatch["status"]),
    )
    last = _last_cancellation(dispatch)
    is_asked = last is not None and last["status"] in ("PENDING", "QUEUED", "SENT")
    if dispatch["courier_reference"] and not said and not is_asked:
        enqueue_cancellation(dispatch)


def _log(actor: str, action: str, dispatch: Mapping[str, Any], reason: str) -> None:
    detail = {"order_id": str(dispatch["order_id"]), "attempt": dispatch["attempt"]}
    operator.log_action(actor, action, reason=reason, detail=detail)


def _one_line(reason: str) -> str:
    """As it goes to the courier and into the log: without line breaks and control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in reason).split())[:500]
