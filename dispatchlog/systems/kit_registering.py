"""Which kits are to be registered: one row per kit of a shipped practitioner order, and an explanation for every order.

Any number of reports has the effect of one, and what no report told of is found by a sweep. Sends nothing itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.operator import retry
from dispatchlog.settings import get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.kit_names import KIT_ID_LENGTH, first_spellings, kit_name, kits_of_orders, name_of
from dispatchlog.systems.kits import INVALID_KIT_ID, NO_RECIPIENT, lock_order, refresh_orders
from dispatchlog.tracing import current_trace_id

_SHIPPED = (
    "(o.status IN ('shipped', 'delivered') OR o.shipping_date IS NOT NULL OR o.tracking_number IS NOT NULL"
    " OR o.tracking_url IS NOT NULL)"
)


@dataclass(frozen=True, slots=True)
class RegistrationReport:
    """What became of one order: `state` WAITING, NOT_APPLICABLE, CANCELLED, REGISTERING or REGISTERED, and why."""

    order_id: UUID
    state: str
    code: str | None = None
    detail: str | None = None
    kits: int = 0
    new_kits: int = 0


def register_order(order_id: UUID, *, source: str) -> RegistrationReport:
    """Take up the order's kits for registration, or note why not. Any number of reports have the effect of one.

    Each kit gets one row; kits that have theirs are skipped, so a retry completes the rest.
    """
    with transaction(f"service:{source}"):
        lock_order(order_id)
        return _register(order_id, order_row(order_id), source)


def register_missing(*, limit: int = 500, updated_within_seconds: int | None = None) -> int:
    """Find shipped practitioner orders with kits that have no registration row, and take them up; how many comes back.

    This is what makes a lost message, or a broker that was down, lose no registration.
    """
    settings = get_settings()
    recent = "" if updated_within_seconds is None else " AND o.updated_at > now() - %(within)s * interval '1 s'"
    with connected():
        missed = fetch_all(
            f"SELECT DISTINCT o.id FROM {settings.orders_table} o JOIN {settings.order_kits_table} k ON k.order_id = o.id"
            f" WHERE o.practitioner_id IS NOT NULL AND o.status <> 'cancelled' AND {_SHIPPED}{recent}"
            f" AND length({name_of('k.kit_id')}) BETWEEN 1 AND {KIT_ID_LENGTH}"
            " AND NOT EXISTS (SELECT FROM kit_registrations r"
            f" WHERE (r.order_id, {name_of('r.kit_id')}) = (k.order_id, {name_of('k.kit_id')}))"
            " LIMIT %(limit)s",
            {"limit": limit, "within": updated_within_seconds},
        )
    for (order_id,) in missed:
        register_order(order_id, source="sweep")
    return len(missed)


def cancel_for_cancelled_orders() -> int:
    """Cancel waiting dispatches of orders that were cancelled behind our back; how many comes back."""
    settings = get_settings()
    cancelled = 0
    with transaction("sweep", "the order was cancelled"):
        for lane in _lanes():
            rows = fetch_all(
                f"SELECT DISTINCT t.order_id FROM {lane.table} t JOIN {settings.orders_table} o ON o.id = t.order_id"
                " WHERE t.status = 'PENDING' AND o.status = 'cancelled'"
            )
            for (order_id,) in rows:
                cancelled += ledger.cancel_waiting(lane, order_id=order_id)
    return cancelled


def follow_up(order_id: UUID, source: str) -> None:
    """What a change of an order means for its dispatches; joins the caller's transaction."""
    order = order_row(order_id)
    if order is None:
        return
    if order["status"] == "cancelled" or is_shipped(order):
        _register(order_id, order, source)
    _give_recipients(order_id, source)


def is_shipped(order: dict[str, Any]) -> bool:
    """Whether anything says that the order has left."""
    return order["status"] in ("shipped", "delivered") or any(
        order[name] for name in ("shipping_date", "tracking_number", "tracking_url")
    )


def order_row(order_id: UUID) -> dict[str, Any] | None:
    """The order as it is stored, or None."""
    rows = fetch_dicts(
        "SELECT id AS order_id, order_number, practitioner_id, status, shipping_date, tracking_number, tracking_url,"
        f" registration_status, registered_at, created_at, updated_at FROM {get_settings().orders_table} WHERE id = %s",
        (order_id,),
    )
    return rows[0] if rows else None


def _register(order_id: UUID, order: dict[str, Any] | None, source: str) -> RegistrationReport:
    kits = _kits(order_id)
    state, code, detail = _verdict(order, kits)
    new_kits = 0
    usable = {name: kit_id for name, kit_id in kits.items() if len(kit_id) <= KIT_ID_LENGTH}
    if state == "REGISTERING" and len(usable) < len(kits):
        code, detail = INVALID_KIT_ID, f"a kit id has more than {KIT_ID_LENGTH} characters; that kit is not registered"
    _note(order_id, source, state=state, code=code, detail=detail, kits=len(kits))
    if state == "REGISTERING" and order is not None:
        new_kits = len(_enqueue_kits(order, usable))
        refresh_orders([order_id])
        state = fetch_all("SELECT state FROM order_registrations WHERE order_id = %s", (order_id,))[0][0]
    elif state == "CANCELLED":
        execute("SELECT set_config('dispatchlog.reason', 'the order was cancelled', true)")
        for lane in _lanes():
            ledger.cancel_waiting(lane, order_id=order_id)
    return RegistrationReport(order_id, state, code, detail, kits=len(kits), new_kits=new_kits)


def _verdict(order: dict[str, Any] | None, kits: Mapping[str, str]) -> tuple[str, str | None, str | None]:
    if order is None:
        return "WAITING", "ORDER_NOT_FOUND", "reported, but no such order is stored yet"
    if order["status"] == "cancelled":
        return "CANCELLED", "ORDER_CANCELLED", "the order was cancelled; what had not left was cancelled with it"
    if order["practitioner_id"] is None:
        return "NOT_APPLICABLE", "NOT_PRACTITIONER_ORDER", "the order belongs to no practitioner"
    if not is_shipped(order):
        return "WAITING", "NOT_SHIPPED", "the order has neither shipping date nor tracking, and is not shipped"
    if not kits:
        return "WAITING", "NO_KITS", "the order has no kits yet; they are registered as soon as it has"
    return "REGISTERING", None, None


def _kits(order_id: UUID) -> dict[str, str]:
    """The ids of the order's kits as they were first spelt, by what each kit is known by."""
    rows = fetch_all(
        f"SELECT kit_id::text FROM {get_settings().order_kits_table} WHERE order_id = %s AND kit_id IS NOT NULL"
        " ORDER BY id",
        (order_id,),
    )
    return first_spellings(row[0] for row in rows)


def _note(order_id: UUID, source: str, *, state: str, code: str | None, detail: str | None, kits: int) -> None:
    execute(
        "INSERT INTO order_registrations AS g (order_id, state, code, detail, sources, reports, kits)"
        " VALUES (%s, %s, %s, %s, %s, 1, %s) ON CONFLICT (order_id) DO UPDATE SET state = EXCLUDED.state,"
        " code = EXCLUDED.code, detail = EXCLUDED.detail, kits = EXCLUDED.kits, reports = g.reports + 1,"
        " sources = CASE WHEN %s = ANY (g.sources) THEN g.sources ELSE g.sources || %s END,"
        " last_reported_at = now(), updated_at = now()",
        (order_id, state, code, detail, [source], kits, source, [source]),
    )


def _enqueue_kits(order: dict[str, Any], kits: Mapping[str, str]) -> list[UUID]:
    lane = registry.lane("kit_registration")
    # Under the order's lock nobody else adds rows of it. Asking first matters: an INSERT .. ON CONFLICT would wait for a
    # worker that is just recording the existing row, while that worker waits for the order's lock.
    rows = fetch_all(f"SELECT kit_id FROM {lane.table} WHERE order_id = %s", (order["order_id"],))
    known = {kit_name(row[0]) for row in rows}
    inserted = ledger.enqueue(
        lane,
        [
            {
                "order_id": order["order_id"],
                "kit_id": kit_id,
                "order_number": order["order_number"],
                "practitioner_id": order["practitioner_id"],
                "subject_id": f"order:{order['order_id']}",
                "search_keys": [order["order_number"], kit_id, str(order["order_id"])],
                "trace_id": current_trace_id(),
            }
            for name, kit_id in sorted(kits.items())
            if name not in known
        ],
    )
    if inserted:
        get_waker().after_commit(lane)
    return inserted


def _give_recipients(order_id: UUID, source: str) -> None:
    """A recipient added upstream reaches the forms that have not left, and frees those that waited for one."""
    lane = registry.lane("health_information")
    untried = "h.status IN ('PENDING', 'FAILED') AND h.claims = 0"
    # Most reports come before there is a form, and to plan the statement below costs more than any other.
    if not fetch_one(f"SELECT EXISTS (SELECT FROM {lane.table} h WHERE h.order_id = %s AND {untried})", (order_id,))[0]:
        return
    changed = fetch_all(
        f"UPDATE {lane.table} h SET recipient_email = k.recipient_email, updated_at = now(),"
        " search_keys = CASE WHEN k.recipient_email = ANY (h.search_keys) THEN h.search_keys"
        f" ELSE h.search_keys || k.recipient_email END FROM {kits_of_orders()} k"
        f" WHERE h.order_id = k.order_id AND {name_of('h.kit_id')} = k.name"
        f" AND {untried} AND k.recipient_email IS NOT NULL"
        " AND h.recipient_email IS DISTINCT FROM k.recipient_email RETURNING h.id, h.last_error_code, k.recipient_email",
        {"orders": [order_id]},
    )
    for dispatch_id, _, recipient in changed:
        execute(
            "INSERT INTO dispatch_search (key, lane, dispatch_id) VALUES (lower(%s), %s, %s) ON CONFLICT DO NOTHING",
            (recipient, lane.name, dispatch_id),
        )
    freed = [row[0] for row in changed if row[1] == NO_RECIPIENT]
    if freed:
        retry(lane, freed, actor=f"service:{source}", reason="a recipient was added upstream")
        get_waker().after_commit(lane)


def _lanes() -> Sequence[Lane]:
    return [registry.lane("kit_registration"), registry.lane("health_information")]
