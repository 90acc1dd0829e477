"""Lane `courier_cancellation`: bookings to be taken back. Owns what is sent and what follows; decides nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, fetch_dicts, fetch_one
from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.persons import persons_in_fields
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.row_content import PAYLOADS
from dispatchlog.systems.courier.changes import lock_order, subject_of
from dispatchlog.systems.courier.courier_gateway import COURIER, CourierGateway
from dispatchlog.systems.courier.moves import move
from dispatchlog.systems.courier.states import CANCELLABLE, DispatchStatus
from models import CourierCancellation

LANE = "courier_cancellation"


def courier_cancellation_lane() -> Lane:
    """The lane; IDEMPOTENT: cancelling twice has the effect of one."""
    return Lane(
        name=LANE,
        title="Courier cancellations",
        model=CourierCancellation,
        seal=PAYLOADS,
        build_gateway=_build_gateway,
        compose=_compose,
        # A driver is on the way meanwhile: after a quarter of an hour somebody has to ring up.
        retry=RetryPolicy(max_attempts=10, first_delay_seconds=5, longest_delay_seconds=180),
        batch=10,
        slots=2,
        after_sent=_after_sent,
        caution=_caution,
        persons=persons_in_fields("reason"),
    )


def enqueue_cancellation(dispatch: Mapping[str, Any]) -> None:
    """Ask the courier to take the dispatch's booking back, in the caller's transaction with the order locked."""
    (request,) = fetch_one(
        "SELECT coalesce(max(request), 0) + 1 FROM courier_cancellations WHERE courier_dispatch_id = %s",
        (dispatch["id"],),
    )
    order = fetch_dicts("SELECT id, order_number FROM pharmacy_orders WHERE id = %s", (dispatch["order_id"],))[0]
    lane = courier_cancellation_lane()
    keys = [order["order_number"], str(order["id"]), str(dispatch["id"]), dispatch["courier_reference"]]
    ledger.enqueue(
        lane,
        [
            {
                "order_id": order["id"],
                "courier_dispatch_id": dispatch["id"],
                "request": request,
                "order_number": order["order_number"],
                "courier": dispatch["courier"],
                "courier_reference": dispatch["courier_reference"],
                "subject_id": subject_of(order["id"]),
                "search_keys": keys,
                "trace_id": dispatch["trace_id"],
            }
        ],
    )
    get_waker().after_commit(lane)


def _build_gateway() -> Gateway:
    return CourierGateway("cancellation")


def _compose(row: Row) -> Letter:
    with connected():
        dispatch = _dispatch(row)
    document = {
        "courierReference": row["courier_reference"],
        "jobReferences": dispatch["job_references"],
        "reason": dispatch["cancel_reason"] or "",
    }
    body = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    return Letter(row["courier_reference"], body, headers={COURIER: row["courier"]})


def _caution(row: Row) -> str:
    with connected():
        status = DispatchStatus(_dispatch(row)["status"])
    return "" if status in CANCELLABLE else f"The delivery is {status} by now, so there is nothing to take back."


def _after_sent(rows: Sequence[Row]) -> None:
    """In the transaction that records that the courier has taken the booking back."""
    for row in sorted(rows, key=lambda row: str(row["order_id"])):
        lock_order(row["order_id"])
        dispatch = _dispatch(row)
        move(
            dispatch,
            DispatchStatus.CANCELED,
            event_id=f"cancel:{row['courier_dispatch_id']}:{row['request']}",
            source="booking",
            actor=dispatch["cancel_requested_by"] or "",
            reason=dispatch["cancel_reason"] or "",
        )


def _dispatch(row: Row) -> Mapping[str, Any]:
    return fetch_dicts("SELECT * FROM courier_dispatches WHERE id = %s", (row["courier_dispatch_id"],))[0]
