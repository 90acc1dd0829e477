"""Taking a booking out of its lane before it leaves. Owns the proof that it never will, and the wish while there is
none; asks no courier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.engine import operator
from dispatchlog.engine.database import execute, fetch_dicts
from dispatchlog.systems.courier.booking import courier_booking_lane
from dispatchlog.systems.courier.changes import OrderRow, note_change
from dispatchlog.systems.courier.moves import move
from dispatchlog.systems.courier.states import DispatchStatus


def free_booking(dispatch: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The dispatch's booking, locked, unless somebody is moving it right now: a sender's record waits for the order's lock
    with this row in its hands, so waiting for it here would never end.
    """
    rows = fetch_dicts(
        "SELECT * FROM courier_bookings WHERE courier_dispatch_id = %s FOR NO KEY UPDATE SKIP LOCKED", (dispatch["id"],)
    )
    return rows[0] if rows else None


def can_never_leave(dispatch: Mapping[str, Any], *, actor: str, reason: str) -> bool:
    """Cancel the booking where it certainly has not left; whether it is certain now that it never will."""
    booking = free_booking(dispatch)
    if booking is None:
        return False
    if booking["status"] == "CANCELLED":
        return True
    return operator.cancel(courier_booking_lane(), [booking["id"]], actor=actor, reason=reason)[0].changed


def withdraw(dispatch: Mapping[str, Any], *, actor: str, reason: str) -> OrderRow | None:
    """End a REQUESTED dispatch as CANCELED where its booking has not left; None: it may have. The order is locked."""
    if not can_never_leave(dispatch, actor=actor, reason=reason):
        return None
    execute(
        "UPDATE courier_dispatches SET cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),"
        " cancel_requested_by = coalesce(cancel_requested_by, %s), cancel_reason = coalesce(cancel_reason, %s),"
        " poll_at = NULL WHERE id = %s",
        (actor[:128], reason, dispatch["id"]),
    )
    return move(
        dispatch,
        DispatchStatus.CANCELED,
        event_id=f"withdrawn:{dispatch['id']}",
        source="staff",
        actor=actor,
        reason=reason,
    )


def call_off(dispatch: Mapping[str, Any], *, actor: str, reason: str) -> OrderRow | None:
    """End a REQUESTED dispatch where its booking has not left; else keep the wish, so that it is taken back, or not sent
    again, once what became of it is known. None: that is wished already. The order is locked.
    """
    after = withdraw(dispatch, actor=actor, reason=reason or "delivery cancelled")
    if after is not None or dispatch["cancel_requested_at"] is not None:
        return after
    note_wish(dispatch, actor=actor, reason=reason)
    return note_change(dispatch["order_id"], "cancelling")


def note_wish(dispatch: Mapping[str, Any], *, actor: str, reason: str) -> None:
    """Keep who wants it back, and why; an earlier refusal of the courier's is over."""
    execute(
        "UPDATE courier_dispatches SET cancel_requested_at = clock_timestamp(), cancel_requested_by = %s,"
        " cancel_reason = %s, cancel_refused = NULL, updated_at = clock_timestamp() WHERE id = %s",
        (actor[:128], reason or None, dispatch["id"]),
    )
