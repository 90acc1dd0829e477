"""The rooms that a client can be in: one per order, and one for all of them. Owns their names; knows no client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

# Every order's changes, for lists.
ORDERS = "orders"
_ORDER = "order:"


def room_of(order_id: UUID) -> str:
    """The room of one order."""
    return f"{_ORDER}{order_id}"


def order_of(room: str) -> UUID | None:
    """Whose room it is; None: not of one order."""
    return UUID(room.removeprefix(_ORDER)) if room.startswith(_ORDER) else None


def read_room(asked: Any) -> str | None:
    """The room that a client names, in one of the ways clients do: its name, the order's id, or an object with `room` or
    `orderId`. None: no such room.
    """
    if isinstance(asked, Mapping):
        asked = asked.get("room") or asked.get("orderId")
    if not isinstance(asked, str) or len(asked) > 100:
        return None
    if asked == ORDERS:
        return ORDERS
    try:
        return room_of(UUID(asked.removeprefix(_ORDER)))
    except ValueError:
        return None
