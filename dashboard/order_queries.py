"""Orders of kits: their queries. Owns their SQL; changes nothing.

Orders may live in an upstream service's tables, and a report may come before its order does; so a list walks
`order_registrations`, one branch per state over its index (state, updated_at), and joins what is known of each order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from dashboard.filters import Position
from dashboard.wording import ORDER_STATES
from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.settings import Settings
from dispatchlog.systems import registry

PAGE_ROWS = 50


@dataclass(frozen=True, slots=True)
class KitTrace:
    """One kit of an order with its two dispatches, as far as they exist."""

    kit_id: str
    registration: Row | None
    form: Row | None


@dataclass(frozen=True, slots=True)
class OrderTrace:
    """An order from its report to its forms. `order` is None while only its report is known."""

    order_id: UUID
    order: Row | None
    registration: Row | None
    kits: tuple[KitTrace, ...]


def list_orders(
    *, states: Sequence[str], text: str, position: Position | None, settings: Settings
) -> tuple[list[Row], Position | None]:
    """One page of reported orders, last changed first, and where the next page begins (None: there is none)."""
    branches: list[str] = []
    params: list[object] = []
    for state in states or ORDER_STATES:
        where, values = "g.state = %s", [state]
        if text:
            where += " AND g.order_id IN (" + _MATCHING.format(orders=settings.orders_table) + ")"
            values += [f"{_literal(text.lower())}%", text, text.upper(), text.lower()]
        if position is not None:
            where += " AND (g.updated_at, g.order_id) < (%s, %s)"
            values += [position.at, position.id]  # type: ignore[list-item]
        branches.append(
            f"(SELECT g.* FROM order_registrations g WHERE {where}"
            " ORDER BY g.updated_at DESC, g.order_id DESC LIMIT %s)"
        )
        params += [*values, PAGE_ROWS + 1]
    rows = fetch_dicts(
        "SELECT g.*, o.order_number, o.status, p.name AS practitioner,"
        " (SELECT array_agg(CASE WHEN r.in_doubt THEN 'IN_DOUBT' ELSE r.status END) FROM kit_registrations r"
        "  WHERE r.order_id = g.order_id) AS registrations,"
        " (SELECT array_agg(CASE WHEN h.in_doubt THEN 'IN_DOUBT' ELSE h.status END)"
        "  FROM health_information_dispatch_logs h WHERE h.order_id = g.order_id) AS forms"
        f" FROM (SELECT * FROM ({' UNION ALL '.join(branches)}) every_state ORDER BY updated_at DESC, order_id DESC"
        f" LIMIT %s) g LEFT JOIN {settings.orders_table} o ON o.id = g.order_id"
        f" LEFT JOIN {settings.practitioners_table} p ON p.id = o.practitioner_id"
        " ORDER BY g.updated_at DESC, g.order_id DESC",
        [*params, PAGE_ROWS + 1],
    )
    last = rows[PAGE_ROWS - 1] if len(rows) > PAGE_ROWS else None
    return [*rows[:PAGE_ROWS]], Position(last["updated_at"], last["order_id"]) if last else None


_MATCHING = (
    "SELECT r.order_id FROM kit_registrations r WHERE r.id IN (SELECT s.dispatch_id FROM dispatch_search s"
    " WHERE s.key LIKE %s AND s.lane = 'kit_registration' LIMIT 2000)"
    " UNION SELECT o.id FROM {orders} o WHERE o.order_number = ANY (ARRAY[%s, %s, %s])"
)


def _literal(text: str) -> str:
    return text.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")


def trace_order(order_id: UUID, *, settings: Settings) -> OrderTrace | None:
    """Everything known of one order; None where nothing is."""
    orders = fetch_dicts(
        f"SELECT o.*, p.name AS practitioner FROM {settings.orders_table} o"
        f" LEFT JOIN {settings.practitioners_table} p ON p.id = o.practitioner_id WHERE o.id = %s",
        (order_id,),
    )
    reports = fetch_dicts("SELECT * FROM order_registrations WHERE order_id = %s", (order_id,))
    kits = fetch_dicts(f"SELECT kit_id FROM {settings.order_kits_table} WHERE order_id = %s", (order_id,))
    registrations = _by_kit("kit_registration", order_id)
    forms = _by_kit("health_information", order_id)
    known = sorted({kit["kit_id"] for kit in kits} | set(registrations) | set(forms))
    if not (orders or reports or known):
        return None
    return OrderTrace(
        order_id=order_id,
        order=orders[0] if orders else None,
        registration=reports[0] if reports else None,
        kits=tuple(KitTrace(kit_id, registrations.get(kit_id), forms.get(kit_id)) for kit_id in known),
    )


def _by_kit(lane_name: str, order_id: UUID) -> dict[str, Row]:
    lane = registry.lane(lane_name)
    rows = fetch_dicts(f"SELECT t.*, %s::text AS lane FROM {lane.table} t WHERE order_id = %s", (lane.name, order_id))
    return {row["kit_id"]: row for row in rows}
