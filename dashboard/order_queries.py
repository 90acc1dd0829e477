"""Orders of kits: their queries. Owns their SQL; changes nothing.

What became of an order is noted in `order_registrations` when it is first reported, and a report may come before its order
does. An order that nobody has reported has no note: it was stored before it was shipped, or stands in an upstream service's
own table. A list shows both kinds by last change. The notes are walked by their index (state, updated_at), one branch per
state; the orders without a note by theirs on updated_at, and only as far back as the page of notes reaches, so that a page
of a million orders with a note each does not search all of them for one without.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.filters import Position
from dashboard.order_wording import DETAILS, ORDER_STATES
from dashboard.search_keys import literal
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.kit_names import kit_name, name_of

PAGE_ROWS = 50
SEARCH_LIMIT = 2_000

_SHIPPED = (
    "(o.status IN ('shipped', 'delivered') OR o.shipping_date IS NOT NULL OR nullif(o.tracking_number, '') IS NOT NULL"
    " OR nullif(o.tracking_url, '') IS NOT NULL)"
)
_NOTED = {
    **{state: f"g.state = '{state}'" for state in ORDER_STATES},
    "NOT_SHIPPED": "g.state = 'WAITING' AND g.code = 'NOT_SHIPPED'",
    "WAITING": "g.state = 'WAITING' AND g.code IS DISTINCT FROM 'NOT_SHIPPED'",
}
# What `kit_registering` would note of such an order.
_WITHOUT_NOTE = {
    "CANCELLED": "o.status = 'cancelled'",
    "NOT_APPLICABLE": "o.status <> 'cancelled' AND o.practitioner_id IS NULL",
    "NOT_SHIPPED": f"o.status <> 'cancelled' AND o.practitioner_id IS NOT NULL AND NOT {_SHIPPED}",
    "WAITING": f"o.status <> 'cancelled' AND o.practitioner_id IS NOT NULL AND {_SHIPPED}",
}
_CODES = {"CANCELLED": "ORDER_CANCELLED", "NOT_APPLICABLE": "NOT_PRACTITIONER_ORDER", "NOT_SHIPPED": "NOT_SHIPPED"}


@dataclass(frozen=True, slots=True)
class KitTrace:
    """One kit of an order with its two dispatches, as far as they exist."""

    kit_id: str
    registration: Row | None
    form: Row | None


@dataclass(frozen=True, slots=True)
class OrderTrace:
    """An order from its report to its forms. `order` is as a list shows it; its number is None while it is not stored."""

    order: Row
    kits: tuple[KitTrace, ...]


def list_orders(
    *, states: Sequence[str], text: str, position: Position | None, settings: Settings
) -> tuple[list[Row], Position | None]:
    """One page of the orders, last changed first, and where the next page begins (None: there is none)."""
    wanted = tuple(states or ORDER_STATES)
    ids = _matching(text, settings) if text else None
    if ids == []:
        return [], None
    found = _noted(wanted, ids, position)
    reach = found[PAGE_ROWS][0] if len(found) > PAGE_ROWS else None
    found += _without_note(wanted, ids, position, reach, settings)
    found.sort(reverse=True)
    page = found[:PAGE_ROWS]
    older = Position(*page[-1]) if len(found) > PAGE_ROWS else None
    rows = {row["order_id"]: row for row in _described([order_id for _, order_id in page], settings)}
    return [rows[order_id] for _, order_id in page], older


def trace_order(order_id: UUID, *, settings: Settings) -> OrderTrace | None:
    """Everything known of one order; None where nothing is."""
    order = _described([order_id], settings)[0]
    stored = fetch_all(
        f"SELECT kit_id::text FROM {settings.order_kits_table} WHERE order_id = %s AND {name_of('kit_id')} <> ''"
        " ORDER BY id",
        (order_id,),
    )
    registrations = _by_kit("kit_registration", order_id)
    forms = _by_kit("health_information", order_id)
    dispatched = [row["kit_id"] for row in (*registrations.values(), *forms.values())]
    # A kit goes by the first of its spellings.
    spelt = {kit_name(kit_id): kit_id for kit_id in reversed([*[row[0] for row in stored], *dispatched])}
    if order["state"] is None and not spelt:
        return None
    kits = (KitTrace(kit_id, registrations.get(name), forms.get(name)) for name, kit_id in sorted(spelt.items()))
    return OrderTrace(order, tuple(kits))


def _noted(states: Sequence[str], ids: list[UUID] | None, position: Position | None) -> list[tuple[datetime, UUID]]:
    branches: list[str] = []
    params: list[Any] = []
    for state in states:
        where, values = _narrowed("g.updated_at", "g.order_id", ids, position)
        branches.append(
            f"(SELECT g.updated_at, g.order_id FROM order_registrations g WHERE {_NOTED[state]}{where}"
            " ORDER BY g.updated_at DESC, g.order_id DESC LIMIT %s)"
        )
        params += [*values, PAGE_ROWS + 1]
    return _keys(
        f"SELECT * FROM ({' UNION ALL '.join(branches)}) n ORDER BY updated_at DESC, order_id DESC LIMIT %s",
        [*params, PAGE_ROWS + 1],
    )


def _without_note(
    states: Sequence[str],
    ids: list[UUID] | None,
    position: Position | None,
    reach: datetime | None,
    settings: Settings,
) -> list[tuple[datetime, UUID]]:
    """`reach` is the last change of the oldest order that the page can show."""
    kinds = [f"({_WITHOUT_NOTE[state]})" for state in states if state in _WITHOUT_NOTE]
    if not kinds:
        return []
    where, values = _narrowed("o.updated_at", "o.id", ids, position)
    if len(kinds) < len(_WITHOUT_NOTE):
        where += f" AND ({' OR '.join(kinds)})"
    if reach is not None:
        where += " AND o.updated_at >= %s"
        values.append(reach)
    return _keys(
        f"SELECT o.updated_at, o.id FROM {settings.orders_table} o"
        f" WHERE NOT EXISTS (SELECT FROM order_registrations g WHERE g.order_id = o.id){where}"
        " ORDER BY o.updated_at DESC, o.id DESC LIMIT %s",
        [*values, PAGE_ROWS + 1],
    )


def _narrowed(at: str, identity: str, ids: list[UUID] | None, position: Position | None) -> tuple[str, list[Any]]:
    where, values = "", []
    if ids is not None:
        where += f" AND {identity} = ANY (%s::uuid[])"
        values.append(ids)
    if position is not None:
        where += f" AND ({at}, {identity}) < (%s, %s)"
        values += [position.at, position.id]  # type: ignore[list-item]
    return where, values


def _keys(sql: str, params: Sequence[Any]) -> list[tuple[datetime, UUID]]:
    return [(row[0], row[1]) for row in fetch_all(sql, params)]


def _matching(text: str, settings: Settings) -> list[UUID]:
    """Orders by whole number, kit or id; by the beginning of a number or kit once its kits are being registered."""
    spellings = [text, text.upper(), text.lower()]
    rows = fetch_all(
        "SELECT r.order_id FROM kit_registrations r WHERE r.id IN (SELECT s.dispatch_id FROM dispatch_search s"
        f" WHERE s.key LIKE %s AND s.lane = 'kit_registration' LIMIT {SEARCH_LIMIT})"
        f" UNION SELECT o.id FROM {settings.orders_table} o WHERE o.order_number = ANY (%s)"
        f" UNION SELECT k.order_id FROM {settings.order_kits_table} k WHERE k.kit_id = ANY (%s)",
        (f"{literal(text.lower())}%", spellings, spellings),
    )
    return [*{row[0] for row in rows}, *_as_uuid(text)]


def _as_uuid(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []


def _described(ids: Sequence[UUID], settings: Settings) -> list[Row]:
    """What is known of each of these orders; `state` is None where nothing is."""
    derived = " ".join(f"WHEN {condition} THEN '{state}'" for state, condition in _WITHOUT_NOTE.items())
    noted = " ".join(f"WHEN {condition} THEN '{state}'" for state, condition in _NOTED.items())
    rows = fetch_dicts(
        f"SELECT w.order_id, CASE {noted} {derived} END AS state, g.order_id IS NOT NULL AS noted, g.code, g.detail,"
        " coalesce(g.sources, '{}') AS sources, g.reports, g.last_reported_at,"
        " coalesce(g.updated_at, o.updated_at) AS updated_at,"
        f" coalesce(g.kits, (SELECT count(DISTINCT {name_of('k.kit_id')}) FROM {settings.order_kits_table} k"
        f" WHERE k.order_id = w.order_id AND {name_of('k.kit_id')} <> '')) AS kits,"
        " o.order_number, o.status, o.shipping_date, o.tracking_number, p.name AS practitioner,"
        " (SELECT array_agg(CASE WHEN r.in_doubt THEN 'IN_DOUBT' ELSE r.status END) FROM kit_registrations r"
        "  WHERE r.order_id = w.order_id) AS registrations,"
        " (SELECT array_agg(CASE WHEN h.in_doubt THEN 'IN_DOUBT' ELSE h.status END)"
        "  FROM health_information_dispatch_logs h WHERE h.order_id = w.order_id) AS forms"
        " FROM unnest(%s::uuid[]) AS w (order_id) LEFT JOIN order_registrations g ON g.order_id = w.order_id"
        f" LEFT JOIN {settings.orders_table} o ON o.id = w.order_id"
        f" LEFT JOIN {settings.practitioners_table} p ON p.id = o.practitioner_id",
        (list(ids),),
    )
    return [row if row["noted"] or row["state"] is None else _explained(row) for row in rows]


def _explained(row: dict[str, Any]) -> Row:
    code = _CODES.get(row["state"]) or ("NOT_TAKEN_UP" if row["kits"] else "NO_KITS")
    return {**row, "code": code, "detail": DETAILS[code]}


def _by_kit(lane_name: str, order_id: UUID) -> dict[str, Row]:
    """The dispatch of each kit by the kit's name; where spellings have one each, the first that was not given up."""
    lane = registry.lane(lane_name)
    rows = fetch_dicts(
        f"SELECT t.*, %s::text AS lane FROM {lane.table} t WHERE order_id = %s ORDER BY status <> 'CANCELLED', seq DESC",
        (lane.name, order_id),
    )
    return {kit_name(row["kit_id"]): row for row in rows}
