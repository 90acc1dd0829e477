"""Delivery codes: six digits that the patient reads out once the order is there. Owns issuing, checking and locking them.

What a code is, `code_rules` says. Everything here takes the order's lock first and then the dispatch's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import structlog

from dispatchlog.engine.database import execute, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.operator import ReasonRequired, log_action
from dispatchlog.engine.tables import new_id
from dispatchlog.settings import get_settings
from dispatchlog.systems.courier import events, messages, orders
from dispatchlog.systems.courier.changes import order_of_dispatch
from dispatchlog.systems.courier.code_rules import DIGITS, MOST_TRIES, code_of, hash_of, is_right, is_well_formed
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.orders import OrderRow
from dispatchlog.systems.courier.states import DispatchStatus

__all__ = [
    "DIGITS",
    "MOST_TRIES",
    "confirm_without_code",
    "issue_code",
    "resend_code",
    "unlock_code",
    "verify_code",
]

log = structlog.get_logger(__name__)

RESEND_AFTER = timedelta(seconds=30)


def issue_code(dispatch: Mapping[str, Any]) -> None:
    """Give the dispatch its code and enqueue the message to the patient, in the caller's transaction, order locked.

    Called when the dispatch becomes IN_TRANSIT; does nothing where a code that has not expired is there.
    """
    if dispatch["code_expires_at"] is not None and dispatch["code_expires_at"] > _now():
        return
    counter = dispatch["code_counter"] + 1
    execute(
        "UPDATE courier_dispatches SET code_counter = %s, code_hash = %s, code_tries = 0, code_locked_at = NULL,"
        " code_expires_at = clock_timestamp() + make_interval(mins => %s), updated_at = clock_timestamp() WHERE id = %s",
        (
            counter,
            hash_of(dispatch["id"], counter, code_of(dispatch["id"], counter)),
            get_settings().delivery_code_minutes,
            dispatch["id"],
        ),
    )
    messages.enqueue_code(dispatch, about=str(counter))


def resend_code(dispatch_id: UUID, *, actor: str) -> OrderRow:
    """Send the code again: the same while it has not expired, else a new one with new tries.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_IN_TRANSIT, CODE_LOCKED,
            CODE_SENT_JUST_NOW (within 30 s).
    """
    with _under_way(dispatch_id, actor, "code sent again") as dispatch:
        if dispatch["code_locked_at"] is not None and dispatch["code_expires_at"] > _now():
            raise CourierError("the code is locked after too many wrong ones; unlock it first", code="CODE_LOCKED")
        latest, resends = fetch_one(
            "SELECT max(created_at), count(*) FILTER (WHERE about LIKE %s) FROM courier_messages"
            " WHERE courier_dispatch_id = %s AND kind = 'CODE'",
            (f"{dispatch['code_counter']}.%", dispatch_id),
        )
        if latest is not None and latest > _now() - RESEND_AFTER:
            raise CourierError("the code was sent a moment ago; wait half a minute", code="CODE_SENT_JUST_NOW")
        if dispatch["code_expires_at"] is None or dispatch["code_expires_at"] <= _now():
            issue_code(dispatch)
        else:
            messages.enqueue_code(dispatch, about=f"{dispatch['code_counter']}.{resends + 1}")
        log_action(actor, "resend_delivery_code", detail=_named(dispatch))
        return orders.note_change(dispatch["order_id"], "code")


def verify_code(dispatch_id: UUID, code: str, *, actor: str) -> OrderRow:
    """The recipient's code: DELIVERED where it is right. A wrong one is counted even though it raises.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_IN_TRANSIT, OTP_MALFORMED (not six
            digits; not counted), OTP_INVALID, OTP_EXPIRED, OTP_LOCKED (after 5 wrong ones).
    """
    with _under_way(dispatch_id, actor, "delivery code") as dispatch:
        if not is_well_formed(code):
            raise CourierError("the code is six digits", code="OTP_MALFORMED", field="code")
        if dispatch["code_hash"] is None or dispatch["code_expires_at"] <= _now():
            raise CourierError("the code has expired; send another one", code="OTP_EXPIRED", field="code")
        if dispatch["code_locked_at"] is not None:
            raise _locked()
        if is_right(dispatch_id, dispatch["code_counter"], code, dispatch["code_hash"]):
            return events.note_own(
                dispatch, DispatchStatus.DELIVERED, source="otp", event_id=f"otp:{new_id()}", actor=actor
            )
        tries = _count_wrong(dispatch)
    # The count is committed by now; raised inside, the error would have taken it back.
    log.warning("DELIVERY_CODE_WRONG", dispatch_id=str(dispatch_id), tries=tries, trace_id=dispatch["trace_id"])
    if tries >= MOST_TRIES:
        raise _locked()
    left = MOST_TRIES - tries
    more = f"{left} more tries" if left > 1 else "one more try"
    raise CourierError(f"the code is not right; {more} before it is locked", code="OTP_INVALID", field="code")


def confirm_without_code(dispatch_id: UUID, *, actor: str, reason: str) -> OrderRow:
    """Staff override: delivered, on a person's word, where the code is locked or cannot be had. Audited.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_IN_TRANSIT.
        ReasonRequired: without a reason.
    """
    _require(reason)
    with _under_way(dispatch_id, actor, reason) as dispatch:
        log_action(actor, "confirm_delivery_without_code", reason=reason, detail=_named(dispatch))
        return events.note_own(
            dispatch,
            DispatchStatus.DELIVERED,
            source="staff",
            event_id=f"without-code:{new_id()}",
            actor=actor,
            reason=reason,
        )


def unlock_code(dispatch_id: UUID, *, actor: str, reason: str) -> OrderRow:
    """Staff override: five more tries for the present code. Audited.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_IN_TRANSIT, CODE_NOT_LOCKED.
        ReasonRequired: without a reason.
    """
    _require(reason)
    with _under_way(dispatch_id, actor, reason) as dispatch:
        if dispatch["code_locked_at"] is None:
            raise CourierError("the code is not locked", code="CODE_NOT_LOCKED")
        execute(
            "UPDATE courier_dispatches SET code_tries = 0, code_locked_at = NULL, updated_at = clock_timestamp()"
            " WHERE id = %s",
            (dispatch_id,),
        )
        log_action(actor, "unlock_delivery_code", reason=reason, detail=_named(dispatch))
        return orders.note_change(dispatch["order_id"], "code")


@contextmanager
def _under_way(dispatch_id: UUID, actor: str, why: str) -> Iterator[Mapping[str, Any]]:
    """A transaction with order and dispatch locked, the dispatch being IN_TRANSIT."""
    with transaction(actor, why):
        orders.lock_order(order_of_dispatch(dispatch_id))
        dispatch = fetch_dicts("SELECT * FROM courier_dispatches WHERE id = %s FOR UPDATE", (dispatch_id,))[0]
        if dispatch["status"] == DispatchStatus.DELIVERED:
            raise CourierError("the order was delivered already", code="DISPATCH_ALREADY_DELIVERED")
        if dispatch["status"] != DispatchStatus.IN_TRANSIT:
            message = f"the dispatch is {dispatch['status']}; a delivery is confirmed while it is IN_TRANSIT"
            raise CourierError(message, code="DISPATCH_NOT_IN_TRANSIT")
        yield dispatch


def _count_wrong(dispatch: Mapping[str, Any]) -> int:
    """How many wrong ones there have been, this one included; the last one locks."""
    tries: int = fetch_one(
        "UPDATE courier_dispatches SET code_tries = code_tries + 1, updated_at = clock_timestamp(), code_locked_at ="
        " CASE WHEN code_tries + 1 >= %s THEN clock_timestamp() END WHERE id = %s RETURNING code_tries",
        (MOST_TRIES, dispatch["id"]),
    )[0]
    if tries >= MOST_TRIES:
        orders.note_change(dispatch["order_id"], "code")
    return tries


def _locked() -> CourierError:
    message = "too many wrong codes: it is locked; staff can unlock it or confirm without it, with a reason"
    return CourierError(message, code="OTP_LOCKED", field="code")


def _named(dispatch: Mapping[str, Any]) -> dict[str, str]:
    return {"courier_dispatch_id": str(dispatch["id"]), "order_id": str(dispatch["order_id"])}


def _require(reason: str) -> None:
    if not reason.strip():
        raise ReasonRequired("say why: the reason stays with the order")


def _now() -> datetime:
    return datetime.now(UTC)
