"""The order pages' queries: lists, counts and search. Owns their SQL; changes nothing.

A state is one or several branches, each of which walks an index on (created_at, id) that begins with what the branch asks
for, and stops after one page; counts stop at a limit. What being booked comes to is looked up per order among the few that
are being booked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from dashboard.courier_filter import OrdersFilter, PharmacyName
from dashboard.courier_wording import ORDER_STATES
from dashboard.queries import COUNT_LIMIT, PAGE_ROWS, Count, Page, Query, page_of
from dispatchlog.engine.database import fetch_all, fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import PHARMACY_ORDERS, as_stored, digits_of

# Of a search that more orders match the newest of these are looked through.
SEARCH_LIMIT = 200
MOST_PHARMACIES = 500

_BOOKING_FAILED = "SELECT FROM courier_bookings b WHERE b.courier_dispatch_id = o.dispatch_id AND b.status = 'FAILED'"
_UNPAID = tuple(
    f"o.dispatch_id IS NULL AND o.payment_status = '{payment}' AND {ready}"
    for payment in ("Pending", "Failed")
    for ready in ("o.is_ready_for_dispatch", "NOT o.is_ready_for_dispatch")
)
_BRANCHES: dict[str, tuple[str, ...]] = {
    **{state: (f"o.dispatch_status = '{state}'",) for state in ORDER_STATES},
    "UNPAID": _UNPAID,
    "NOT_READY": ("o.dispatch_id IS NULL AND o.payment_status = 'Paid' AND NOT o.is_ready_for_dispatch",),
    "NO_COURIER": ("o.dispatch_id IS NULL AND o.payment_status = 'Paid' AND o.is_ready_for_dispatch",),
    "REFUNDED": tuple(
        f"o.dispatch_id IS NULL AND o.payment_status = 'Refunded' AND {ready}"
        for ready in ("o.is_ready_for_dispatch", "NOT o.is_ready_for_dispatch")
    ),
    "BOOKING": (f"o.dispatch_status = 'REQUESTED' AND NOT EXISTS ({_BOOKING_FAILED})",),
    "BOOKING_FAILED": (f"o.dispatch_status = 'REQUESTED' AND EXISTS ({_BOOKING_FAILED})",),
}
# A telephone number however it is written; the same expression as in the index.
_TELEPHONE = "regexp_replace(patient_phone, '[^0-9+]', '', 'g')"
# Those that can be marked ready, as branches: not marked yet, and not given back.
_MARKABLE = tuple(
    f"o.dispatch_id IS NULL AND o.payment_status = '{payment}' AND NOT o.is_ready_for_dispatch"
    for payment in ("Pending", "Failed", "Paid")
)

_SHOWN = """
SELECT o.id, o.order_number, o.patient_name, o.sealed, o.payment_status, o.paid_at, o.is_ready_for_dispatch, o.ready_at,
    o.deliver_by, o.dispatch_id, o.dispatch_status, o.created_at, o.created_at AS sort_at, o.trace_id,
    p.code AS pharmacy_code, p.name AS pharmacy_name,
    d.attempt, d.courier, d.courier_reference, d.raw_status, d.eta_at, d.requested_at, d.booked_at, d.assigned_at,
    d.picked_up_at, d.in_transit_at, d.ended_at, d.cancel_requested_at, d.disagreement, d.code_locked_at, d.confirmed_by,
    b.id AS booking_id, b.status AS booking_status, coalesce(b.in_doubt, false) AS booking_in_doubt, b.last_error_code
FROM pharmacy_orders o JOIN pharmacies p ON p.id = o.pharmacy_id
    LEFT JOIN courier_dispatches d ON d.id = o.dispatch_id
    LEFT JOIN courier_bookings b ON b.courier_dispatch_id = o.dispatch_id
"""
_NEWEST_FIRST = "ORDER BY o.created_at DESC, o.id DESC"


def every_pharmacy() -> list[PharmacyName]:
    """The pharmacies by name, for filters."""
    rows = fetch_all("SELECT id, code, name FROM pharmacies ORDER BY name, code LIMIT %s", (MOST_PHARMACIES,))
    return [PharmacyName(*row) for row in rows]


def list_orders(wanted: OrdersFilter) -> Page:
    """One page of the orders that the filter lets through, the newest first."""
    ids = find_orders(wanted.text) if wanted.text else None
    if ids == []:
        return Page([], None, None)
    sql, params = list_query(wanted, ids, limit=PAGE_ROWS + 1)
    way = "ASC" if wanted.position is not None and wanted.position.newer else "DESC"
    found = fetch_dicts(
        f"{_SHOWN} WHERE o.id IN (SELECT id FROM ({sql}) k) ORDER BY o.created_at {way}, o.id {way}", params
    )
    return page_of([_listed(row) for row in found], wanted.position)


def _listed(row: Row) -> Row:
    """With the patient's name, and nothing else of what was sealed."""
    return {**row, "patient_name": PHARMACY_ORDERS.opened(row)["patient_name"], "sealed": None}


def list_query(wanted: OrdersFilter, ids: Sequence[UUID] | None, *, limit: int) -> Query:
    """The keys of the orders from the filter's position on, in walking order."""
    branches = [branch for state in wanted.states for branch in _BRANCHES[state]] or ["true"]
    return _walk(branches, wanted, ids, limit=limit)


def markable_query(wanted: OrdersFilter, ids: Sequence[UUID] | None, *, limit: int) -> Query:
    """The keys of the orders that the filter lets through and that can be marked ready, the newest first."""
    branches = [
        branch if not state else f"{branch} AND ({' OR '.join(_BRANCHES[state])})"
        for branch in _MARKABLE
        for state in wanted.states or ("",)
    ]
    return _walk(branches, wanted, ids, limit=limit)


def markable_orders(wanted: OrdersFilter, *, limit: int) -> list[Row]:
    """The first `limit` of them, as a list shows them."""
    ids = find_orders(wanted.text) if wanted.text else None
    if ids == []:
        return []
    sql, params = markable_query(wanted, ids, limit=limit)
    found = fetch_dicts(
        f"{_SHOWN} WHERE o.id IN (SELECT id FROM ({sql}) k) ORDER BY o.created_at DESC, o.id DESC", params
    )
    return [_listed(row) for row in found]


def orders_by_id(ids: Sequence[UUID]) -> list[Row]:
    """These orders as a list shows them, the newest first; unknown ids are left out."""
    found = fetch_dicts(f"{_SHOWN} WHERE o.id = ANY (%s::uuid[]) {_NEWEST_FIRST}", (list(ids),))
    return [_listed(row) for row in found]


def count_by_state(wanted: OrdersFilter) -> dict[str, Count]:
    """How many orders the filter lets through in each state, whatever states it asks for; each stops at a limit."""
    ids = find_orders(wanted.text) if wanted.text else None
    if ids == []:
        return {state: Count(0) for state in ORDER_STATES}
    sql, params = count_query(wanted, ids)
    return {state: Count(int(number)) for state, number in zip(ORDER_STATES, fetch_one(sql, params), strict=True)}


def count_query(wanted: OrdersFilter, ids: Sequence[UUID] | None) -> Query:
    """One number per state, in the order of ORDER_STATES."""
    where, values = _narrowed(wanted, ids, with_position=False)
    counts: list[str] = []
    params: list[Any] = []
    for state in ORDER_STATES:
        parts = []
        for branch in _BRANCHES[state]:
            parts.append(f"(SELECT count(*) FROM (SELECT FROM pharmacy_orders o WHERE {branch}{where} LIMIT %s) c)")
            params += [*values, COUNT_LIMIT + 1]
        counts.append(" + ".join(parts))
    return f"SELECT {', '.join(counts)}", params


def find_orders(text: str) -> list[UUID]:
    """The orders that a search means: the whole or beginning of an order number, an order's or dispatch's id, a courier's
    reference, or a patient's whole e-mail address or telephone number.
    """
    literal = text.lower().replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    parts = [
        "(SELECT id FROM pharmacy_orders WHERE lower(order_number) LIKE %s LIMIT %s)",
        "(SELECT order_id FROM courier_dispatches WHERE courier_reference = %s LIMIT %s)",
    ]
    params: list[Any] = [f"{literal}%", SEARCH_LIMIT, text, SEARCH_LIMIT]
    if "@" in text:
        parts.append(
            "(SELECT id FROM pharmacy_orders WHERE lower(patient_email) = ANY (%s) ORDER BY created_at DESC LIMIT %s)"
        )
        params += [as_stored(text.lower()), SEARCH_LIMIT]
    if numbers := telephone_numbers(text):
        parts.append(
            f"(SELECT id FROM pharmacy_orders WHERE {_TELEPHONE} = ANY (%s) ORDER BY created_at DESC LIMIT %s)"
        )
        # Of a hash the index has what it has of a number: its digits.
        stored = [digits_of(form) for number in numbers for form in as_stored(number)]
        params += [stored, SEARCH_LIMIT]
    if (identity := as_uuid(text)) is not None:
        parts.append("(SELECT id FROM pharmacy_orders WHERE id = %s)")
        parts.append("(SELECT order_id FROM courier_dispatches WHERE id = %s)")
        params += [identity, identity]
    return [row[0] for row in fetch_all(" UNION ".join(parts), params)]


def telephone_numbers(text: str) -> list[str]:
    """The ways in which a telephone number that was typed like this may be stored; none where it is no number."""
    if not re.fullmatch(r"[+0-9][0-9 ().-]{5,30}", text):
        return []
    digits = re.sub(r"[^0-9+]", "", text)
    return [digits, f"+{digits[2:]}"] if digits.startswith("00") else [digits]


def as_uuid(text: str) -> UUID | None:
    """The id that the text is, if it is one."""
    try:
        return UUID(text)
    except ValueError:
        return None


def _walk(branches: Sequence[str], wanted: OrdersFilter, ids: Sequence[UUID] | None, *, limit: int) -> Query:
    where, values = _narrowed(wanted, ids, with_position=True)
    way = "ASC" if wanted.position is not None and wanted.position.newer else "DESC"
    order = f"ORDER BY created_at {way}, id {way} LIMIT %s"
    parts = [f"(SELECT o.created_at, o.id FROM pharmacy_orders o WHERE {branch}{where} {order})" for branch in branches]
    params = [value for _ in branches for value in (*values, limit)]
    return f"SELECT created_at, id FROM ({' UNION ALL '.join(parts)}) w {order}", [*params, limit]


def _narrowed(wanted: OrdersFilter, ids: Sequence[UUID] | None, *, with_position: bool) -> tuple[str, list[Any]]:
    where: list[str] = []
    params: list[Any] = []
    if ids is not None:
        where.append("o.id = ANY (%s::uuid[])")
        params.append(list(ids))
    if wanted.pharmacy is not None:
        where.append("o.pharmacy_id = %s")
        params.append(wanted.pharmacy.id)
    for at, comparison in ((wanted.from_at, ">="), (wanted.before_at, "<")):
        if at is not None:
            where.append(f"o.created_at {comparison} %s")
            params.append(at)
    if with_position and wanted.position is not None:
        where.append(f"(o.created_at, o.id) {'>' if wanted.position.newer else '<'} (%s, %s)")
        params += [wanted.position.at, wanted.position.id]
    return "".join(f" AND {condition}" for condition in where), params
