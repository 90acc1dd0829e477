"""Lane `courier_booking`: one courier dispatch to be booked with the courier. Owns what is sent and what follows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import structlog

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import after_commit, connected, execute, fetch_dicts, fetch_one
from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.gateway import Gateway
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.persons import persons_in_fields
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.tables import new_id
from dispatchlog.row_content import PAYLOADS, PHARMACY_ORDERS
from dispatchlog.systems.courier import couriers
from dispatchlog.systems.courier.accepted import instant, receipt_of, web_address
from dispatchlog.systems.courier.cancellation_lane import enqueue_cancellation
from dispatchlog.systems.courier.changes import OrderRow, lock_order, note_change, subject_of
from dispatchlog.systems.courier.checks import PAID
from dispatchlog.systems.courier.courier_gateway import COURIER, CourierGateway, chosen_courier
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.moves import move
from dispatchlog.systems.courier.states import REPEATABLE, DispatchStatus
from models import CourierBooking

log = structlog.get_logger(__name__)

LANE = "courier_booking"
REPORTS_QUEUE = "PHARMACY_ORDERS"
REFERENCE_TAKEN = "The courier gave it the number of another dispatch; ask the courier which job is which."


def courier_booking_lane() -> Lane:
    """The lane; LOOKUP or IDEMPOTENT as the configured courier is."""
    return Lane(
        name=LANE,
        title="Courier bookings",
        model=CourierBooking,
        seal=PAYLOADS,
        build_gateway=_build_gateway,
        compose=_compose,
        # About twenty minutes: then support sees it and books by other means, or tries again.
        retry=RetryPolicy(max_attempts=10, first_delay_seconds=5, longest_delay_seconds=300),
        batch=10,
        slots=3,
        inlets=(REPORTS_QUEUE,),
        after_sent=_after_sent,
        caution=_caution,
        persons=persons_in_fields("delivery"),
    )


def request_dispatch(order: OrderRow, *, actor: str) -> UUID:
    """Begin the order's next dispatch and enqueue its booking, in the caller's transaction with the order locked.

    The dispatch's id comes back. The database refuses a second open one.

    Raises:
        CourierError: NO_COURIER.
    """
    courier = chosen_courier()
    if courier is None:
        raise CourierError("no courier is configured yet; set DISPATCHLOG_COURIER", code="NO_COURIER")
    dispatch_id = new_id()
    (attempt,) = fetch_one(
        "SELECT coalesce(max(attempt), 0) + 1 FROM courier_dispatches WHERE order_id = %s", (order["id"],)
    )
    execute(
        "INSERT INTO courier_dispatches (id, order_id, attempt, courier, trace_id) VALUES (%s, %s, %s, %s, %s)",
        (dispatch_id, order["id"], attempt, courier.name, order["trace_id"]),
    )
    lane = courier_booking_lane()
    ledger.enqueue(lane, [_booking_row(order, dispatch_id, attempt, courier.name)])
    get_waker().after_commit(lane)
    note_change(order["id"], "dispatch", dispatch_id=dispatch_id, dispatch_status=str(DispatchStatus.REQUESTED))
    after_commit(
        f"requested:{dispatch_id}",
        lambda: log.info(
            "DISPATCH_REQUESTED",
            order_id=str(order["id"]),
            dispatch_id=str(dispatch_id),
            attempt=attempt,
            actor_kind=actor.partition(":")[0] if actor.startswith("service:") else "person",
            trace_id=order["trace_id"],
        ),
    )
    return dispatch_id


def booking_of(dispatch_id: UUID) -> Row | None:
    """The dispatch's row of this lane as it stands; no lock."""
    rows = fetch_dicts("SELECT * FROM courier_bookings WHERE courier_dispatch_id = %s", (dispatch_id,))
    return rows[0] if rows else None


def _booking_row(order: OrderRow, dispatch_id: UUID, attempt: int, courier: str) -> dict[str, Any]:
    return {
        "order_id": order["id"],
        "courier_dispatch_id": dispatch_id,
        "order_number": order["order_number"],
        "attempt": attempt,
        "courier": courier,
        "subject_id": subject_of(order["id"]),
        "search_keys": [order["order_number"], str(order["id"]), str(dispatch_id)],
        "trace_id": order["trace_id"],
    }


def _build_gateway() -> Gateway:
    return CourierGateway("booking")


_CONTENT = """
SELECT o.id, o.sealed, d.id AS dispatch_id, d.attempt, d.status, d.cancel_requested_at, o.payment_status, o.order_number,
    o.deliver_by, o.patient_name, o.patient_phone, o.address, o.city, o.latitude, o.longitude, o.address_note,
    p.name AS pharmacy_name, p.phone AS pharmacy_phone, p.address AS pharmacy_address, p.city AS pharmacy_city,
    p.latitude AS pharmacy_latitude, p.longitude AS pharmacy_longitude,
    (SELECT sum(i.quantity) FROM pharmacy_order_items i WHERE i.order_id = o.id) AS items
FROM courier_dispatches d JOIN pharmacy_orders o ON o.id = d.order_id JOIN pharmacies p ON p.id = o.pharmacy_id
WHERE d.id = %s
"""


def _compose(row: Row) -> Letter:
    with connected():
        found = PHARMACY_ORDERS.opened(fetch_dicts(_CONTENT, (row["courier_dispatch_id"],))[0])
    if code := _objection(found):
        raise CannotCompose(_OBJECTIONS[code], code=code)
    document = {
        "dispatchId": str(found["dispatch_id"]),
        "orderNumber": found["order_number"],
        "attempt": found["attempt"],
        "pickup": {
            "name": found["pharmacy_name"],
            "phone": found["pharmacy_phone"],
            "address": found["pharmacy_address"],
            "city": found["pharmacy_city"],
            "latitude": found["pharmacy_latitude"],
            "longitude": found["pharmacy_longitude"],
            "note": "",
        },
        "delivery": {
            "name": found["patient_name"],
            "phone": found["patient_phone"],
            "address": found["address"],
            "city": found["city"],
            "latitude": found["latitude"],
            "longitude": found["longitude"],
            "note": found["address_note"],
        },
        "items": int(found["items"] or 0),
        "deliverBy": _utc(found["deliver_by"]),
    }
    body = json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    return Letter(row["courier"], body, headers={COURIER: row["courier"]})


_OBJECTIONS = {
    "CANCEL_REQUESTED": "It is to be cancelled.",
    "DISPATCH_ENDED": "Its delivery has ended already.",
    "PAYMENT_NOT_CAPTURED": "Its order is not paid.",
}


def _objection(found: Mapping[str, Any]) -> str:
    if found["cancel_requested_at"] is not None:
        return "CANCEL_REQUESTED"
    if found["status"] in REPEATABLE:
        return "DISPATCH_ENDED"
    return "" if found["payment_status"] == PAID else "PAYMENT_NOT_CAPTURED"


def _caution(row: Row) -> str:
    with connected():
        found = fetch_dicts(_CONTENT, (row["courier_dispatch_id"],))[0]
    return _OBJECTIONS.get(_objection(found), "")


def _utc(value: datetime | None) -> str | None:
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _after_sent(rows: Sequence[Row]) -> None:
    """In the transaction that records that the courier has the booking."""
    for row in sorted(rows, key=lambda row: str(row["order_id"])):
        lock_order(row["order_id"])
        _note_accepted(row)


def _note_accepted(row: Row) -> None:
    receipt = receipt_of("courier_bookings", row["id"])
    dispatch = _fill(row, receipt)
    move(
        dispatch,
        DispatchStatus.BOOKED,
        event_id=f"booking:{dispatch['id']}",
        source="booking",
        actor=dispatch["courier"],
    )
    if dispatch["courier_reference"]:
        _make_searchable(row, dispatch["courier_reference"])
        if dispatch["cancel_requested_at"] is not None or dispatch["status"] in REPEATABLE:
            # Somebody called it off while it was on its way.
            enqueue_cancellation(dispatch)
    elif receipt["provider_message_id"]:
        execute("UPDATE courier_dispatches SET disagreement = %s WHERE id = %s", (REFERENCE_TAKEN, dispatch["id"]))
    after_commit(
        f"created:{row['id']}",
        lambda: log.info(
            "DISPATCH_CREATED",
            order_id=str(row["order_id"]),
            dispatch_id=str(row["courier_dispatch_id"]),
            attempt=row["attempt"],
            courier=row["courier"],
            courier_reference=dispatch["courier_reference"] or "",
            trace_id=row["trace_id"],
        ),
    )


# A number that another dispatch has already would make one job's events move two dispatches.
_FILL = """
UPDATE courier_dispatches d SET
    courier_reference = CASE WHEN taken.is_so THEN NULL ELSE coalesce(%(reference)s, d.courier_reference) END,
    tracking_url = coalesce(d.tracking_url, %(tracking_url)s), job_references = %(job_references)s::jsonb,
    eta_at = coalesce(d.eta_at, %(eta_at)s), updated_at = clock_timestamp(),
    poll_at = CASE WHEN taken.is_so OR %(reference)s IS NULL OR d.ended_at IS NOT NULL THEN NULL
                   ELSE clock_timestamp() + %(seconds)s * interval '1 s' END
FROM (SELECT EXISTS (SELECT FROM courier_dispatches o WHERE o.courier = %(courier)s
    AND o.courier_reference = %(reference)s AND o.id <> %(id)s) AS is_so) taken
WHERE d.id = %(id)s RETURNING d.*
"""


def _fill(row: Row, receipt: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the courier said on accepting goes onto the dispatch."""
    evidence = receipt["evidence"]
    jobs = evidence.get("jobReferences")
    courier = couriers.couriers().get(row["courier"])
    return fetch_dicts(
        _FILL,
        {
            "id": row["courier_dispatch_id"],
            "courier": row["courier"],
            "reference": receipt["provider_message_id"],
            "tracking_url": web_address(evidence.get("trackingUrl")),
            "job_references": json.dumps(jobs if isinstance(jobs, dict) else {}),
            "eta_at": instant(evidence.get("etaAt")),
            "seconds": 60.0 if courier is None else courier.poll_seconds,
        },
    )[0]


def _make_searchable(row: Row, reference: str) -> None:
    execute(
        "INSERT INTO dispatch_search (key, lane, dispatch_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (reference.lower(), LANE, row["id"]),
    )
