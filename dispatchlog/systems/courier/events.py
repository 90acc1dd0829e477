"""What is heard of dispatches: stored once per event of the courier, then applied monotonically. Owns `courier_events`.

Storing and applying are two steps: a webhook is answered as soon as it is stored, and what is not applied is found again.
How it is applied stands in `applying`, what comes of it in `folding`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from dispatchlog.engine.database import after_commit, connected, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.operator import log_action
from dispatchlog.gateways.courier import Report
from dispatchlog.row_content import COURIER_EVENTS
from dispatchlog.storable import hashed, key, line, storable
from dispatchlog.systems.courier import applying, orders, waking
from dispatchlog.systems.courier.changes import order_of_dispatch
from dispatchlog.systems.courier.folding import HAND
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.states import DispatchStatus

if TYPE_CHECKING:
    from dispatchlog.systems.courier.orders import OrderRow

# Courier, source, trace id, event id, the courier's reference, its word, the status, when it happened, the body, and what
# is sealed.
EventRow = tuple[Any, ...]

_OURS = ("booking:", "cancel:", "withdrawn:", "otp:", "without-code:", HAND)
AT_ONCE = 500
_LONGEST = 255
_HEARABLE = frozenset(DispatchStatus) - {DispatchStatus.REQUESTED}
_SAID = ("tracking_url", "driver_name", "driver_phone", "failure_code", "failure_reason")
_LIMITS = {"tracking_url": 2048, "driver_name": 255, "driver_phone": 32, "failure_code": 64, "failure_reason": 2000}

# One statement in autocommit: what is answered with yes is on the disk. The same event twice in one webhook counts once.
_STORE = """
INSERT INTO courier_events (courier, source, trace_id, event_id, courier_reference, raw_status, status, occurred_at, body,
    sealed)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[],
    %s::jsonb[], %s::bytea[])
ON CONFLICT (courier, event_id) DO NOTHING RETURNING event_id
"""
_STORE_OWN = """
INSERT INTO courier_events (courier, event_id, source, courier_reference, dispatch_id, raw_status, status, actor, reason,
    trace_id)
VALUES (%s, %s, %s, %s, %s, '', %s, %s, %s, %s) ON CONFLICT (courier, event_id) DO NOTHING RETURNING id
"""


def store_reports(
    courier: str,
    source: str,
    reports: Sequence[Report],
    *,
    trace_id: str,
    tells: bool = False,
    write: Callable[[Sequence[EventRow]], int] | None = None,
) -> int:
    """Store what the courier reports (source `webhook`, `poll` or `booking`); how many were new. One short statement.

    `tells` goes with what was learnt by asking a courier that sends webhooks: `unannounced` compares the two. The event's
    body keeps what the report says under `report` and what the courier said under `said`; both may name the driver. `write`
    stores rows and commits on a connection of its own; without it, this thread's is used.
    """
    if not reports:
        return 0
    rows = [_row(courier, source, trace_id, report, tells=tells) for report in reports]
    new = write(rows) if write is not None else _write_here(rows)
    if new:
        after_commit("wake:courier-events", waking.wake)
    return new


def insertion(rows: Sequence[EventRow]) -> tuple[str, Sequence[Any]]:
    """The statement that stores these, with its parameters; the ids of those that are new come back from it."""
    return _STORE, [list(column) for column in zip(*rows, strict=True)]


def _write_here(rows: Sequence[EventRow]) -> int:
    with connected():
        return len(fetch_all(*insertion(rows)))


def _row(courier: str, source: str, trace_id: str, report: Report, *, tells: bool) -> EventRow:
    known = report.status in _HEARABLE
    said = {name: line(getattr(report, name), most=_LIMITS[name]) for name in _SAID if getattr(report, name)}
    if report.eta_at is not None:
        said["eta_at"] = report.eta_at.isoformat()
    body = {"report": said, "said": report.body, **({"tells": True} if tells else {})}
    event_id = _event_id(report.event_id)
    written = COURIER_EVENTS.sealing({"event_id": event_id, "body": json.dumps(storable(body), default=str)})
    return (
        courier,
        source,
        trace_id[:64],
        event_id,
        line(report.courier_reference, most=_LONGEST),
        line(report.raw_status, most=_LONGEST),
        str(report.status) if known else None,
        report.occurred_at,
        written["body"],
        written.get("sealed"),
    )


def _event_id(given: str) -> str:
    """One that looks like one of ours is known by its hash, as one that is too long: a courier knows our dispatch's id, and
    its event must not stand in the place of what happens on our side.
    """
    text = key(given)
    return hashed(text) if text.startswith(_OURS) else text


def apply_open(*, limit: int = 500) -> int:
    """Apply what is stored and not applied yet, oldest first; how many. Safe to run in many processes at once.

    What cannot be applied is logged as EVENT_NOT_APPLIED, stays open and holds up nothing else.
    """
    return applying.apply_open(limit=limit)


def apply_all() -> None:
    """Apply whatever is open, for workers: one thread of a process at a time, which looks once more if it was asked to
    meanwhile.
    """
    waking.take_up(_apply_whatever_is_open)


def _apply_whatever_is_open() -> None:
    while apply_open(limit=AT_ONCE) >= AT_ONCE:
        pass


def note_own(
    dispatch: Mapping[str, Any], status: DispatchStatus, *, source: str, event_id: str, actor: str, reason: str = ""
) -> OrderRow:
    """What happened on our side (a booking or cancellation accepted: `booking`; a right delivery code: `otp`; a person's
    word: `staff`), stored as an event and applied at once, in the caller's transaction with the order locked; the order
    comes back.

    DELIVERED from here is `confirmed_by` otp or staff. Noting the same `event_id` again changes nothing.
    """
    rows = fetch_dicts(
        _STORE_OWN,
        (
            dispatch["courier"],
            event_id,
            source,
            dispatch.get("courier_reference") or "",
            dispatch["id"],
            str(status),
            actor[:128],
            reason,
            dispatch["trace_id"],
        ),
    )
    if rows:
        applying.apply_own(dispatch["order_id"], dispatch["id"])
    return orders.lock_order(dispatch["order_id"])


def set_by_hand(dispatch_id: UUID, status: DispatchStatus, *, actor: str, reason: str) -> OrderRow:
    """An administrator's word: the dispatch is at `status` from now on, also back. Audited.

    What is heard later is applied onto it as ever.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_SUPERSEDED (a newer attempt exists), STATUS_NOT_ALLOWED
            (REQUESTED, or the same, or the courier does not have the booking yet), REASON_REQUIRED.
    """
    if not reason.strip():
        raise CourierError("say why: the reason stays with the dispatch", code="REASON_REQUIRED", field="reason")
    with transaction(actor, reason):
        dispatch = _newest(dispatch_id)
        present = DispatchStatus(dispatch["status"])
        _require_allowed(present, status)
        log_action(
            actor,
            "set_courier_status",
            reason=reason,
            detail={
                "order_id": dispatch["order_id"],
                "courier_dispatch_id": dispatch_id,
                "from": present,
                "to": status,
            },
        )
        number = fetch_one(
            "SELECT count(*) FROM courier_events WHERE dispatch_id = %s AND source = 'staff'", (dispatch_id,)
        )[0]
        event_id = f"{HAND}{dispatch_id}:{number + 1}"
        return note_own(dispatch, status, source="staff", event_id=event_id, actor=actor, reason=reason)


def _newest(dispatch_id: UUID) -> Mapping[str, Any]:
    """The dispatch, its order locked and what was heard of it meanwhile applied."""
    order = orders.lock_order(order_of_dispatch(dispatch_id))
    applying.apply_own(order["id"], dispatch_id, with_reference=True)
    if order["dispatch_id"] != dispatch_id:
        raise CourierError("a newer attempt is under way; this one stays as it is", code="DISPATCH_SUPERSEDED")
    return fetch_dicts("SELECT * FROM courier_dispatches WHERE id = %s FOR NO KEY UPDATE", (dispatch_id,))[0]


def _require_allowed(present: DispatchStatus, status: DispatchStatus) -> None:
    words = ""
    if status not in _HEARABLE:
        words = f"{status} cannot be set by hand"
    elif status is present:
        words = f"the dispatch is {status} already"
    elif present is DispatchStatus.REQUESTED:
        words = "the courier does not have the booking yet; settle or cancel the booking first"
    if words:
        raise CourierError(words, code="STATUS_NOT_ALLOWED", field="status")


def unannounced(events: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """Of the events of one dispatch, the ids of those that only asking brought, though the courier sends webhooks."""
    told = {event["status"] for event in events if event["source"] == "webhook"}
    return frozenset(
        event["id"]
        for event in events
        if event["source"] == "poll"
        and event["effect"] == "MOVED"
        and (COURIER_EVENTS.opened(event)["body"] or {}).get("tells")
        and event["status"] not in told
    )
