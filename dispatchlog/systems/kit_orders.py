"""Practitioner orders: storing what upstream reports, and deciding which kits are to be registered.

Every reported order ends with an explanation in `order_registrations`; none is dropped silently. Sends nothing itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.errors import CannotCompose, DispatchlogError
from dispatchlog.engine.operator import retry
from dispatchlog.engine.tables import new_id
from dispatchlog.settings import get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.kits import NO_RECIPIENT, lock_order, refresh_orders
from dispatchlog.systems.mail import recipient_address
from dispatchlog.tracing import current_trace_id

KIT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# The furthest status wins: two services report one order independently and not in order.
STATUS_RANK = {"created": 0, "paid": 1, "processing": 2, "shipped": 3, "delivered": 4, "cancelled": 5}


class OrderError(DispatchlogError):
    """The order cannot be taken as it is; `field` names the culprit. Nothing was stored."""

    def __init__(self, message: str, *, code: str, field: str = "") -> None:
        super().__init__(message, code=code)
        self.field = field


@dataclass(frozen=True, slots=True)
class KitInput:
    """One kit as reported: `kit_id` is 1 to 64 of A-Z a-z 0-9 . _ -"""

    kit_id: str
    recipient_email: str | None = None


@dataclass(frozen=True, slots=True)
class PractitionerInput:
    """The order's practitioner as reported."""

    id: UUID
    name: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class ShipmentInput:
    """What an upstream service says of a shipment; None leaves what is known."""

    shipping_date: datetime | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class OrderInput:
    """An order as reported. Instants are aware; kits once reported stay with the order."""

    order_id: UUID
    order_number: str
    practitioner: PractitionerInput | None = None
    status: str = "created"
    shipping_date: datetime | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    kits: tuple[KitInput, ...] = ()


@dataclass(frozen=True, slots=True)
class RegistrationReport:
    """What became of one order: `state` WAITING, NOT_APPLICABLE, CANCELLED, REGISTERING or REGISTERED, and why."""

    order_id: UUID
    state: str
    code: str | None = None
    detail: str | None = None
    kits: int = 0
    new_kits: int = 0


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order, its kits and their dispatches, as plain values."""

    order: dict[str, Any]
    kits: tuple[dict[str, Any], ...]
    registration: dict[str, Any] | None
    practitioner: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """camelCase, instants in ISO 8601, ids as text."""
        return {
            **_camel(self.order),
            "practitioner": _camel(self.practitioner) if self.practitioner else None,
            "kits": [_camel(kit) for kit in self.kits],
            "registration": _camel(self.registration) if self.registration else None,
        }


def put_order(order: OrderInput, *, source: str) -> OrderState:
    """Create or update the order; where that leaves it shipped, its kits are taken up for registration.

    Everything is checked before anything is written, and all of it is one transaction.

    Raises:
        OrderError: with a stable code and the field (DUPLICATE_KIT, INVALID_KIT_ID, INVALID_EMAIL, NAIVE_DATE,
            UNKNOWN_STATUS, INVALID_ORDER_NUMBER, INVALID_TRACKING_URL).
    """
    check_order(order)
    with transaction(f"service:{source}"):
        lock_order(order.order_id)
        if order.practitioner is not None:
            _store_practitioner(order.practitioner)
        _store_order(order)
        _store_kits(order)
        _follow_up(order.order_id, source)
    return order_state(order.order_id)


def report_shipment(order_id: UUID, shipment: ShipmentInput, *, source: str) -> OrderState:
    """Add what one service says of the order's shipment.

    Raises:
        OrderError: ORDER_NOT_FOUND, NAIVE_DATE, UNKNOWN_STATUS, INVALID_TRACKING_URL.
    """
    _check_shipment(shipment.status, shipment.shipping_date, shipment.tracking_url)
    with transaction(f"service:{source}"):
        lock_order(order_id)
        known = _order_row(order_id)
        if known is None:
            raise OrderError(f"there is no order {order_id}", code="ORDER_NOT_FOUND", field="orderId")
        execute(
            f"UPDATE {get_settings().orders_table} SET shipping_date = coalesce(%s, shipping_date),"
            " tracking_number = coalesce(%s, tracking_number), tracking_url = coalesce(%s, tracking_url),"
            " status = %s, updated_at = now() WHERE id = %s",
            (
                shipment.shipping_date,
                shipment.tracking_number,
                shipment.tracking_url,
                _further(known["status"], shipment.status),
                order_id,
            ),
        )
        _follow_up(order_id, source)
    return order_state(order_id)


def register_order(order_id: UUID, *, source: str) -> RegistrationReport:
    """Take up the order's kits for registration, or note why not. Any number of reports have the effect of one.

    Each kit gets one row; kits that have theirs are skipped, so a retry completes the rest.
    """
    with transaction(f"service:{source}"):
        lock_order(order_id)
        return _register(order_id, source)


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
            " AND NOT EXISTS (SELECT FROM kit_registrations r WHERE (r.order_id, r.kit_id) = (k.order_id, k.kit_id))"
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


def order_state(order_id: UUID) -> OrderState:
    """The order with its kits and their dispatches.

    Raises:
        OrderError: ORDER_NOT_FOUND.
    """
    settings = get_settings()
    with connected():
        order = _order_row(order_id)
        if order is None:
            raise OrderError(f"there is no order {order_id}", code="ORDER_NOT_FOUND", field="orderId")
        kits = fetch_dicts(_KITS.format(kits=settings.order_kits_table), (order_id,))
        registrations = fetch_dicts("SELECT * FROM order_registrations WHERE order_id = %s", (order_id,))
        practitioners = fetch_dicts(
            f"SELECT id, name, email FROM {settings.practitioners_table} WHERE id = %s", (order["practitioner_id"],)
        )
    return OrderState(
        order=order,
        kits=tuple(kits),
        registration=registrations[0] if registrations else None,
        practitioner=practitioners[0] if practitioners else None,
    )


_SHIPPED = (
    "(o.status IN ('shipped', 'delivered') OR o.shipping_date IS NOT NULL OR o.tracking_number IS NOT NULL"
    " OR o.tracking_url IS NOT NULL)"
)

_KITS = """
SELECT k.kit_id, k.recipient_email, k.registered_at, k.registration_id,
    r.id AS registration_dispatch_id, r.status AS registration_status, r.last_error_code AS registration_error_code,
    h.id AS form_dispatch_id, h.status AS form_status, h.in_doubt AS form_in_doubt, h.due_at AS form_due_at,
    h.sent_at AS form_sent_at, h.last_error_code AS form_error_code
FROM {kits} k
LEFT JOIN kit_registrations r ON (r.order_id, r.kit_id) = (k.order_id, k.kit_id)
LEFT JOIN health_information_dispatch_logs h ON (h.order_id, h.kit_id) = (k.order_id, k.kit_id)
WHERE k.order_id = %s ORDER BY k.kit_id
"""


def check_order(order: OrderInput) -> None:
    """Raise OrderError for the first thing wrong with the order; touches no database."""
    if not order.order_number.strip() or len(order.order_number) > 64 or not order.order_number.isprintable():
        raise OrderError("orderNumber must be 1 to 64 characters", code="INVALID_ORDER_NUMBER", field="orderNumber")
    _check_shipment(order.status, order.shipping_date, order.tracking_url)
    seen: set[str] = set()
    for position, kit in enumerate(order.kits):
        place = f"kits[{position}]"
        if not KIT_ID.fullmatch(kit.kit_id):
            message = "a kit id is 1 to 64 letters, digits, dots, underscores or hyphens"
            raise OrderError(message, code="INVALID_KIT_ID", field=f"{place}.kitId")
        if kit.kit_id in seen:
            raise OrderError(
                f"kit {kit.kit_id} stands twice in the order", code="DUPLICATE_KIT", field=f"{place}.kitId"
            )
        seen.add(kit.kit_id)
        _check_email(kit.recipient_email, f"{place}.recipientEmail")
    if order.practitioner is not None:
        _check_email(order.practitioner.email, "practitioner.email")


def _check_email(address: str | None, place: str) -> None:
    if not address:
        return
    try:
        recipient_address(address)
    except CannotCompose as error:
        raise OrderError("this is not an e-mail address", code="INVALID_EMAIL", field=place) from error


def _check_shipment(status: str | None, shipping_date: datetime | None, tracking_url: str | None) -> None:
    if status is not None and status not in STATUS_RANK:
        raise OrderError(f"status is one of {', '.join(STATUS_RANK)}", code="UNKNOWN_STATUS", field="status")
    if shipping_date is not None and shipping_date.tzinfo is None:
        raise OrderError("shippingDate needs a time zone", code="NAIVE_DATE", field="shippingDate")
    if tracking_url and not re.match(r"https?://[^\s]{1,2000}$", tracking_url):
        raise OrderError("trackingUrl must be an http(s) URL", code="INVALID_TRACKING_URL", field="trackingUrl")


def _order_row(order_id: UUID) -> dict[str, Any] | None:
    rows = fetch_dicts(
        "SELECT id AS order_id, order_number, practitioner_id, status, shipping_date, tracking_number, tracking_url,"
        f" registration_status, registered_at, created_at, updated_at FROM {get_settings().orders_table} WHERE id = %s",
        (order_id,),
    )
    return rows[0] if rows else None


def _further(known: str, reported: str | None) -> str:
    if reported is None or STATUS_RANK.get(known, 0) >= STATUS_RANK[reported]:
        return known
    return reported


def _store_practitioner(practitioner: PractitionerInput) -> None:
    execute(
        f"INSERT INTO {get_settings().practitioners_table} AS p (id, name, email) VALUES (%s, %s, %s)"
        " ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, email = coalesce(EXCLUDED.email, p.email),"
        " updated_at = now()",
        (practitioner.id, practitioner.name, practitioner.email or None),
    )


def _store_order(order: OrderInput) -> None:
    known = _order_row(order.order_id)
    execute(
        f"INSERT INTO {get_settings().orders_table} AS o (id, order_number, practitioner_id, status, shipping_date,"
        " tracking_number, tracking_url) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (id) DO UPDATE SET"
        " order_number = EXCLUDED.order_number, status = EXCLUDED.status, updated_at = now(),"
        " practitioner_id = coalesce(EXCLUDED.practitioner_id, o.practitioner_id),"
        " shipping_date = coalesce(EXCLUDED.shipping_date, o.shipping_date),"
        " tracking_number = coalesce(EXCLUDED.tracking_number, o.tracking_number),"
        " tracking_url = coalesce(EXCLUDED.tracking_url, o.tracking_url)",
        (
            order.order_id,
            order.order_number,
            order.practitioner.id if order.practitioner else None,
            order.status if known is None else _further(known["status"], order.status),
            order.shipping_date,
            order.tracking_number or None,
            order.tracking_url or None,
        ),
    )


def _store_kits(order: OrderInput) -> None:
    if not order.kits:
        return
    execute(
        f"INSERT INTO {get_settings().order_kits_table} AS k (id, order_id, kit_id, recipient_email)"
        " SELECT n.id, %s, n.kit_id, n.email FROM unnest(%s::uuid[], %s::text[], %s::text[]) AS n (id, kit_id, email)"
        " ON CONFLICT (order_id, kit_id) DO UPDATE SET"
        " recipient_email = coalesce(EXCLUDED.recipient_email, k.recipient_email), updated_at = now()",
        (
            order.order_id,
            [new_id() for _ in order.kits],
            [kit.kit_id for kit in order.kits],
            [kit.recipient_email or None for kit in order.kits],
        ),
    )


def _follow_up(order_id: UUID, source: str) -> None:
    """What a change of an order means for its dispatches."""
    order = _order_row(order_id)
    if order is None:
        return
    if order["status"] == "cancelled" or _is_shipped(order):
        _register(order_id, source)
    _give_recipients(order_id, source)


def _is_shipped(order: dict[str, Any]) -> bool:
    return order["status"] in ("shipped", "delivered") or any(
        order[name] for name in ("shipping_date", "tracking_number", "tracking_url")
    )


def _register(order_id: UUID, source: str) -> RegistrationReport:
    order = _order_row(order_id)
    kits = _kit_ids(order_id)
    state, code, detail = _verdict(order, kits)
    new_kits = 0
    _note(order_id, source, state=state, code=code, detail=detail, kits=len(kits))
    if state == "REGISTERING" and order is not None:
        new_kits = len(_enqueue_kits(order, kits))
        refresh_orders([order_id])
        state = fetch_all("SELECT state FROM order_registrations WHERE order_id = %s", (order_id,))[0][0]
    elif state == "CANCELLED":
        execute("SELECT set_config('dispatchlog.reason', 'the order was cancelled', true)")
        for lane in _lanes():
            ledger.cancel_waiting(lane, order_id=order_id)
    return RegistrationReport(order_id, state, code, detail, kits=len(kits), new_kits=new_kits)


def _verdict(order: dict[str, Any] | None, kits: Sequence[str]) -> tuple[str, str | None, str | None]:
    if order is None:
        return "WAITING", "ORDER_NOT_FOUND", "reported, but no such order is stored yet"
    if order["status"] == "cancelled":
        return "CANCELLED", "ORDER_CANCELLED", "the order was cancelled; what had not left was cancelled with it"
    if order["practitioner_id"] is None:
        return "NOT_APPLICABLE", "NOT_PRACTITIONER_ORDER", "the order belongs to no practitioner"
    if not _is_shipped(order):
        return "WAITING", "NOT_SHIPPED", "the order has neither shipping date nor tracking, and is not shipped"
    if not kits:
        return "WAITING", "NO_KITS", "the order has no kits yet; they are registered as soon as it has"
    return "REGISTERING", None, None


def _kit_ids(order_id: UUID) -> list[str]:
    rows = fetch_all(
        f"SELECT kit_id FROM {get_settings().order_kits_table} WHERE order_id = %s ORDER BY kit_id", (order_id,)
    )
    return [row[0] for row in rows]


def _note(order_id: UUID, source: str, *, state: str, code: str | None, detail: str | None, kits: int) -> None:
    execute(
        "INSERT INTO order_registrations AS g (order_id, state, code, detail, sources, reports, kits)"
        " VALUES (%s, %s, %s, %s, %s, 1, %s) ON CONFLICT (order_id) DO UPDATE SET state = EXCLUDED.state,"
        " code = EXCLUDED.code, detail = EXCLUDED.detail, kits = EXCLUDED.kits, reports = g.reports + 1,"
        " sources = CASE WHEN %s = ANY (g.sources) THEN g.sources ELSE g.sources || %s END,"
        " last_reported_at = now(), updated_at = now()",
        (order_id, state, code, detail, [source], kits, source, [source]),
    )


def _enqueue_kits(order: dict[str, Any], kits: Sequence[str]) -> list[UUID]:
    lane = registry.lane("kit_registration")
    # Under the order's lock nobody else adds rows of it. Asking first matters: an INSERT .. ON CONFLICT would wait for a
    # worker that is just recording the existing row, while that worker waits for the order's lock.
    known = {row[0] for row in fetch_all(f"SELECT kit_id FROM {lane.table} WHERE order_id = %s", (order["order_id"],))}
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
            for kit_id in kits
            if kit_id not in known
        ],
    )
    if inserted:
        get_waker().after_commit(lane)
    return inserted


def _give_recipients(order_id: UUID, source: str) -> None:
    """A recipient added upstream reaches the forms that have not left, and frees those that waited for one."""
    settings = get_settings()
    lane = registry.lane("health_information")
    changed = fetch_all(
        f"UPDATE {lane.table} h SET recipient_email = k.recipient_email, updated_at = now(),"
        " search_keys = CASE WHEN k.recipient_email = ANY (h.search_keys) THEN h.search_keys"
        f" ELSE h.search_keys || k.recipient_email::text END FROM {settings.order_kits_table} k"
        " WHERE (k.order_id, k.kit_id) = (h.order_id, h.kit_id) AND h.order_id = %s"
        " AND h.status IN ('PENDING', 'FAILED') AND h.claims = 0 AND k.recipient_email IS NOT NULL"
        " AND h.recipient_email IS DISTINCT FROM k.recipient_email RETURNING h.id, h.last_error_code, k.recipient_email",
        (order_id,),
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


def _lanes() -> Sequence[Any]:
    return [registry.lane("kit_registration"), registry.lane("health_information")]


def _camel(values: dict[str, Any]) -> dict[str, Any]:
    return {_camel_name(name): _plain(value) for name, value in values.items()}


def _camel_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
