"""Pharmacy orders with their courier dispatches as a file: CSV or JSON, streamed and masked. Owns its queries."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from dashboard.courier_filter import OrdersFilter
from dashboard.courier_queries import find_orders, list_query
from dashboard.courier_wording import order_state
from dashboard.export import ListFile, instant_text
from dashboard.filters import Position
from dashboard.masking import mask, mask_name, mask_text
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import PHARMACY_ORDERS

PAGE_ORDERS = 500

_ORDERS = """
SELECT o.id, o.order_number, o.patient_name, o.patient_email, o.patient_phone, o.sealed, o.currency, o.total_minor,
    o.payment_status,
    o.paid_at, o.is_ready_for_dispatch, o.ready_at, o.deliver_by, o.dispatch_id, o.dispatch_status, o.trace_id,
    o.created_at,
    p.code AS pharmacy_code, b.status AS booking_status, coalesce(b.in_doubt, false) AS booking_in_doubt
FROM pharmacy_orders o JOIN pharmacies p ON p.id = o.pharmacy_id
    LEFT JOIN courier_bookings b ON b.courier_dispatch_id = o.dispatch_id
"""
_DISPATCHES = """
SELECT id, order_id, attempt, courier, courier_reference, status, raw_status, requested_at, booked_at, assigned_at,
    picked_up_at, in_transit_at, ended_at, eta_at, failure_code, failure_reason, confirmed_by,
    cancel_requested_at, cancel_reason
FROM courier_dispatches WHERE order_id = ANY (%s::uuid[]) ORDER BY order_id, attempt
"""
_EVENTS = """
SELECT dispatch_id, status, raw_status, source, effect, occurred_at, received_at
FROM courier_events WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY dispatch_id, id
"""
_INSTANTS = ("requested_at", "booked_at", "assigned_at", "picked_up_at", "in_transit_at", "ended_at", "eta_at")
_OF_ORDER = (
    "order_id",
    "order_number",
    "pharmacy",
    "state",
    "patient",
    "patient_email",
    "patient_phone",
    "currency",
    "total_minor",
    "payment_status",
    "paid_at",
    "ready",
    "ready_at",
    "deliver_by",
    "created_at",
    "trace_id",
)
_OF_DISPATCH = (
    "dispatch_id",
    "attempt",
    "courier",
    "courier_reference",
    "status",
    "courier_status",
    *_INSTANTS,
    "failure_code",
    "failure_reason",
    "confirmed_by",
    "cancel_requested_at",
    "cancel_reason",
)


class OrdersFile(ListFile):
    """The file of a list of orders. In CSV an order has one line per dispatch, or one without; in JSON it holds them."""

    fields = (*_OF_ORDER, *_OF_DISPATCH)

    def __init__(self, wanted: OrdersFilter, *, form: str, actor: str) -> None:
        self._wanted, self._with_events = wanted, form == "json"
        super().__init__(form=form, actor=actor)

    def about(self) -> tuple[str | None, dict[str, Any]]:
        return None, {"list": "pharmacy orders", "filter": self._wanted.in_words()}

    def pages(self) -> Generator[list[dict[str, Any]], None, None]:
        wanted = replace(self._wanted, position=None)
        with connected():
            ids = find_orders(wanted.text) if wanted.text else None
        while ids != []:
            sql, params = list_query(wanted, ids, limit=PAGE_ORDERS)
            with connected():
                rows = fetch_dicts(
                    f"{_ORDERS} WHERE o.id IN (SELECT id FROM ({sql}) k) ORDER BY o.created_at DESC, o.id DESC", params
                )
                page = _described(rows, with_events=self._with_events)
            if page:
                yield page
            if len(rows) < PAGE_ORDERS:
                return
            wanted = replace(wanted, position=Position(rows[-1]["created_at"], rows[-1]["id"]))

    def csv_rows(self, page: list[dict[str, Any]]) -> list[list[Any]]:
        return [
            [*(order[name] for name in _OF_ORDER), *(dispatch.get(name) for name in _OF_DISPATCH)]
            for order in page
            for dispatch in order["dispatches"] or [{}]
        ]


def _described(rows: Sequence[Row], *, with_events: bool) -> list[dict[str, Any]]:
    dispatches = fetch_dicts(_DISPATCHES, ([row["id"] for row in rows],)) if rows else []
    events: dict[UUID, list[dict[str, Any]]] = {}
    if with_events and dispatches:
        for event in fetch_dicts(_EVENTS, ([row["id"] for row in dispatches],)):
            events.setdefault(event["dispatch_id"], []).append(_event(event))
    of_order: dict[UUID, list[dict[str, Any]]] = {}
    for row in dispatches:
        more = {"events": events.get(row["id"], [])} if with_events else {}
        of_order.setdefault(row["order_id"], []).append({**_dispatch(row), **more})
    return [{**_order(row), "dispatches": of_order.get(row["id"], [])} for row in rows]


def _order(read: Row) -> dict[str, Any]:
    row = PHARMACY_ORDERS.opened(read)
    return {
        "order_id": str(row["id"]),
        "order_number": row["order_number"],
        "pharmacy": row["pharmacy_code"],
        "state": order_state(row).label,
        "patient": mask_name(row["patient_name"]),
        "patient_email": mask(row["patient_email"]),
        "patient_phone": mask(row["patient_phone"]),
        "currency": row["currency"],
        "total_minor": row["total_minor"],
        "payment_status": row["payment_status"],
        "paid_at": instant_text(row["paid_at"]),
        "ready": row["is_ready_for_dispatch"],
        "ready_at": instant_text(row["ready_at"]),
        "deliver_by": instant_text(row["deliver_by"]),
        "created_at": instant_text(row["created_at"]),
        "trace_id": row["trace_id"],
    }


def _dispatch(row: Row) -> dict[str, Any]:
    return {
        "dispatch_id": str(row["id"]),
        "attempt": row["attempt"],
        "courier": row["courier"],
        "courier_reference": row["courier_reference"],
        "status": row["status"],
        "courier_status": mask_text(row["raw_status"]),
        **{name: instant_text(row[name]) for name in _INSTANTS},
        "failure_code": row["failure_code"],
        "failure_reason": mask_text(row["failure_reason"]) or None,
        "confirmed_by": row["confirmed_by"],
        "cancel_requested_at": instant_text(row["cancel_requested_at"]),
        "cancel_reason": mask_text(row["cancel_reason"]) or None,
    }


def _event(row: Row) -> dict[str, Any]:
    return {
        "at": instant_text(row["occurred_at"] or row["received_at"]),
        "status": row["status"],
        "courier_status": mask_text(row["raw_status"]),
        "source": row["source"],
        "effect": row["effect"],
    }
