"""What no event tells of: bookings that failed, cancellations that were refused, wishes that can be met by now.

Called by the clock every few seconds. Each order is looked at again under its own lock before anything is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.systems.courier.changes import OrderRow, lock_order, note_change
from dispatchlog.systems.courier.moves import newest_dispatch
from dispatchlog.systems.courier.states import ENDED, DispatchStatus
from dispatchlog.systems.courier.withdrawing import withdraw

ACTOR = "service:follow-up"
AT_ONCE = 200

# A booking that was cancelled in its lane, or that is wanted back and is not under way.
_TO_WITHDRAW = """
SELECT o.id FROM pharmacy_orders o JOIN courier_dispatches d ON d.id = o.dispatch_id
JOIN courier_bookings b ON b.courier_dispatch_id = d.id
WHERE o.dispatch_status = 'REQUESTED' AND (b.status = 'CANCELLED' OR (d.cancel_requested_at IS NOT NULL
    AND ((b.status = 'FAILED' AND NOT b.in_doubt) OR (b.status = 'PENDING' AND b.first_claimed_at IS NULL))))
LIMIT %s
"""

# What was said last about an order is in its newest change.
_UNTOLD = """
SELECT o.id FROM pharmacy_orders o JOIN courier_bookings b ON b.courier_dispatch_id = o.dispatch_id
CROSS JOIN LATERAL (SELECT payload FROM order_changes c WHERE c.order_id = o.id ORDER BY c.id DESC LIMIT 1) c
WHERE o.dispatch_status = 'REQUESTED' AND b.status = 'FAILED' AND c.payload->>'bookingStatus' IS DISTINCT FROM 'FAILED'
LIMIT %s
"""

_REFUSED = """
SELECT c.id, c.order_id, c.courier_dispatch_id, c.last_error, c.last_error_code FROM courier_cancellations c
JOIN courier_dispatches d ON d.id = c.courier_dispatch_id
WHERE c.status = 'FAILED' AND c.seq > 0 AND c.updated_at > now() - interval '1 day' AND NOT c.in_doubt
    AND d.cancel_requested_at IS NOT NULL AND d.cancel_refused IS NULL AND d.ended_at IS NULL
    AND c.request = (SELECT max(l.request) FROM courier_cancellations l WHERE l.courier_dispatch_id = d.id)
ORDER BY c.updated_at LIMIT %s
"""


def follow_up() -> int:
    """Bring the orders up to date with their lanes; how many changed."""
    with connected():
        wanted = [row[0] for row in fetch_all(_TO_WITHDRAW, (AT_ONCE,))]
        untold = [row[0] for row in fetch_all(_UNTOLD, (AT_ONCE,))]
        refused = fetch_dicts(_REFUSED, (AT_ONCE,))
    return (
        sum(_withdraw(order_id) for order_id in wanted)
        + sum(_tell(order_id) for order_id in untold)
        + sum(_note_refusal(row) for row in refused)
    )


def _withdraw(order_id: UUID) -> bool:
    with transaction(ACTOR, "the booking had not left"):
        dispatch = _requested(lock_order(order_id))
        if dispatch is None:
            return False
        actor = dispatch["cancel_requested_by"] or ACTOR
        return (
            withdraw(dispatch, actor=actor, reason=dispatch["cancel_reason"] or "the booking was cancelled") is not None
        )


def _requested(order: OrderRow) -> Mapping[str, Any] | None:
    dispatch = newest_dispatch(order)
    return dispatch if dispatch is not None and dispatch["status"] == DispatchStatus.REQUESTED else None


def _tell(order_id: UUID) -> bool:
    with transaction(ACTOR):
        order = lock_order(order_id)
        if order["dispatch_status"] != DispatchStatus.REQUESTED:
            return False
        note_change(order_id, "dispatch")
        return True


def _note_refusal(row: Mapping[str, Any]) -> bool:
    with transaction(ACTOR):
        order = lock_order(row["order_id"])
        if order["dispatch_id"] != row["courier_dispatch_id"] or DispatchStatus(order["dispatch_status"]) in ENDED:
            return False
        said = f"{row['last_error_code']}: {row['last_error']}"[:255]
        # A newer request, made since, is not refused by this.
        noted = execute(
            "UPDATE courier_dispatches d SET cancel_refused = %(said)s, updated_at = clock_timestamp() WHERE id = %(id)s"
            " AND cancel_refused IS NULL AND EXISTS (SELECT FROM courier_cancellations c WHERE c.id = %(row)s"
            " AND c.status = 'FAILED' AND c.request ="
            " (SELECT max(l.request) FROM courier_cancellations l WHERE l.courier_dispatch_id = d.id))",
            {"said": said, "id": row["courier_dispatch_id"], "row": row["id"]},
        )
        if noted.rowcount:
            note_change(order["id"], "cancelling")
        return bool(noted.rowcount)
