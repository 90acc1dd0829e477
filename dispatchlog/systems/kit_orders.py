"""Storing what upstream services report of practitioner orders, and reading an order with its kits and dispatches.

What a report means for the dispatches is decided in `kit_registering`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.settings import get_settings
from dispatchlog.systems.kit_inputs import (
    STATUS_RANK,
    KitInput,
    OrderError,
    OrderInput,
    PractitionerInput,
    ShipmentInput,
    check_order,
    check_shipment,
)
from dispatchlog.systems.kit_names import kit_name, kits_of_orders, name_of
from dispatchlog.systems.kit_registering import follow_up, order_row
from dispatchlog.systems.kits import lock_order

__all__ = [
    "KitInput",
    "OrderError",
    "OrderInput",
    "OrderState",
    "PractitionerInput",
    "ShipmentInput",
    "order_state",
    "put_order",
    "report_shipment",
    "store_order",
]


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order, its kits and their dispatches, as plain values; `same_number` are other orders with its number."""

    order: dict[str, Any]
    kits: tuple[dict[str, Any], ...]
    registration: dict[str, Any] | None
    practitioner: dict[str, Any] | None = None
    same_number: tuple[UUID, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """camelCase, instants in ISO 8601, ids as text."""
        return {
            **_camel(self.order),
            "practitioner": _camel(self.practitioner) if self.practitioner else None,
            "kits": [_camel(kit) for kit in self.kits],
            "registration": _camel(self.registration) if self.registration else None,
            "sameNumberOrderIds": [str(order_id) for order_id in self.same_number],
        }


def put_order(order: OrderInput, *, source: str) -> OrderState:
    """`store_order`, and the order as it then stands."""
    store_order(order, source=source)
    return order_state(order.order_id)


def store_order(order: OrderInput, *, source: str) -> None:
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
        follow_up(order.order_id, source)


def report_shipment(order_id: UUID, shipment: ShipmentInput, *, source: str) -> OrderState:
    """Add what one service says of the order's shipment.

    Raises:
        OrderError: ORDER_NOT_FOUND, NAIVE_DATE, UNKNOWN_STATUS, INVALID_TRACKING_URL.
    """
    check_shipment(shipment.status, shipment.shipping_date, shipment.tracking_url)
    with transaction(f"service:{source}"):
        lock_order(order_id)
        known = order_row(order_id)
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
        follow_up(order_id, source)
    return order_state(order_id)


def order_state(order_id: UUID) -> OrderState:
    """The order with its kits and their dispatches, and up to 20 other orders that have its number.

    Raises:
        OrderError: ORDER_NOT_FOUND.
    """
    settings = get_settings()
    with connected():
        order = order_row(order_id)
        if order is None:
            raise OrderError(f"there is no order {order_id}", code="ORDER_NOT_FOUND", field="orderId")
        kits = fetch_dicts(_KITS.format(kits=kits_of_orders(), name=name_of("t.kit_id")), {"orders": [order_id]})
        registrations = fetch_dicts("SELECT * FROM order_registrations WHERE order_id = %s", (order_id,))
        practitioners = fetch_dicts(
            f"SELECT id, name, email FROM {settings.practitioners_table} WHERE id = %s", (order["practitioner_id"],)
        )
        same_number = fetch_all(
            f"SELECT id FROM {settings.orders_table} WHERE order_number = %s AND id <> %s ORDER BY id LIMIT 20",
            (order["order_number"], order_id),
        )
    return OrderState(
        order=order,
        kits=tuple(kits),
        registration=registrations[0] if registrations else None,
        practitioner=practitioners[0] if practitioners else None,
        same_number=tuple(row[0] for row in same_number),
    )


# A kit of an older version may have a dispatch per spelling; the one that was not given up is the kit's.
_KITS = """
SELECT k.kit_id, k.recipient_email, k.registered_at, k.registration_id,
    r.id AS registration_dispatch_id, r.status AS registration_status, r.last_error_code AS registration_error_code,
    h.id AS form_dispatch_id, h.status AS form_status, h.in_doubt AS form_in_doubt, h.due_at AS form_due_at,
    h.sent_at AS form_sent_at, h.last_error_code AS form_error_code
FROM {kits} k
LEFT JOIN LATERAL (SELECT * FROM kit_registrations t WHERE t.order_id = k.order_id AND {name} = k.name
    ORDER BY t.status = 'CANCELLED', t.seq LIMIT 1) r ON true
LEFT JOIN LATERAL (SELECT * FROM health_information_dispatch_logs t WHERE t.order_id = k.order_id AND {name} = k.name
    ORDER BY t.status = 'CANCELLED', t.seq LIMIT 1) h ON true
ORDER BY k.kit_id
"""


def _further(known: str, reported: str | None) -> str:
    if reported is None or STATUS_RANK.get(known, 0) >= STATUS_RANK[reported]:
        return known
    return reported


def _store_practitioner(practitioner: PractitionerInput) -> None:
    execute(
        f"INSERT INTO {get_settings().practitioners_table} AS p (id, name, email) VALUES (%s, %s, %s)"
        " ON CONFLICT (id) DO UPDATE SET name = EXCLUDED.name, email = coalesce(EXCLUDED.email, p.email),"
        " updated_at = now() WHERE (p.name, p.email) IS DISTINCT FROM (EXCLUDED.name, coalesce(EXCLUDED.email, p.email))",
        (practitioner.id, practitioner.name, practitioner.email or None),
    )


def _store_order(order: OrderInput) -> None:
    known = order_row(order.order_id)
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
    """A kit that is known, in whatever spelling, keeps its id; under the order's lock nobody else of us adds one."""
    if not order.kits:
        return
    kits = get_settings().order_kits_table
    execute(
        "WITH reported AS (SELECT * FROM unnest(%(ids)s::uuid[], %(names)s::text[], %(kit_ids)s::text[],"
        "   %(emails)s::text[]) AS n (id, name, kit_id, email)),"
        f" known AS (UPDATE {kits} k SET recipient_email = coalesce(n.email, k.recipient_email), updated_at = now()"
        f"   FROM reported n WHERE k.order_id = %(order)s AND {name_of('k.kit_id')} = n.name RETURNING n.name)"
        f" INSERT INTO {kits} (id, order_id, kit_id, recipient_email)"
        " SELECT id, %(order)s, kit_id, email FROM reported WHERE name NOT IN (SELECT name FROM known)"
        " ON CONFLICT DO NOTHING",
        {
            "order": order.order_id,
            "ids": [new_id() for _ in order.kits],
            "names": [kit_name(kit.kit_id) for kit in order.kits],
            "kit_ids": [kit.kit_id for kit in order.kits],
            "emails": [kit.recipient_email or None for kit in order.kits],
        },
    )


def _camel(values: dict[str, Any]) -> dict[str, Any]:
    return {_camel_name(name): _plain(value) for name, value in values.items()}


def _camel_name(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value
