"""Orders as they are listened to. Owns the SQL of reading `order_changes`, and the events about orders."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dashboard.sockets import rooms
from dashboard.sockets.clients import Client, Clients, Position
from dashboard.sockets.rights import Rights
from dashboard.sockets.topics import RoomRefused, Telling
from dashboard.table_tail import Source
from dispatchlog.engine.database import connected, fetch_all

UPDATED = "order.updated"
# Lists alone: more happened than can be told; read them anew.
STALE = "orders.stale"

_COLUMNS = "t.id, t.order_id, t.version, t.payload, t.trace_id"
_PRESENT = f"""
SELECT t.* FROM unnest(%s::uuid[]) o(id) CROSS JOIN LATERAL
    (SELECT {_COLUMNS} FROM order_changes t WHERE t.order_id = o.id ORDER BY t.id DESC LIMIT 1) t
"""
_EXISTS = "SELECT EXISTS (SELECT FROM pharmacy_orders WHERE id = %s)"


@dataclass(frozen=True, slots=True)
class OrderChange:
    """One change of an order: `payload` is what is told of it."""

    id: int
    order_id: UUID
    version: int
    payload: Mapping[str, Any]
    trace_id: str

    @property
    def room(self) -> str:
        return rooms.order_room(self.order_id)

    @property
    def position(self) -> Position:
        return self.version, 0


class OrderTopic:
    """The topic of orders."""

    kind = rooms.ORDER
    source = Source("order_changes", _COLUMNS, OrderChange)

    def hearing(self, change: OrderChange, clients: Clients) -> set[Client]:
        return clients.in_room(change.room) | clients.in_room(rooms.ORDERS)

    def tellings(self, change: OrderChange, clients: Clients) -> Iterator[Telling]:
        here = [client for client in clients.in_room(change.room) if client.take(change.room, change.position)]
        lists = clients.in_room(rooms.ORDERS) - clients.in_room(change.room)
        yield _telling(UPDATED, change.payload, change, [*here, *lists])
        if here:
            yield _telling("order:updated", change.payload, change, here)
            if legacy := _as_dispatch(change):
                yield _telling("dispatch:updated", legacy, change, here)

    def present(self, cursor: Any, subjects: Collection[UUID]) -> Sequence[OrderChange]:
        cursor.execute(_PRESENT, ([*subjects],))
        return [OrderChange(*row) for row in cursor.fetchall()]

    def standing(self, present: Sequence[OrderChange], clients: Clients) -> Iterable[Telling]:
        """Who knows already how an order stands is not told again."""
        for change in present:
            here = [client for client in clients.in_room(change.room) if client.take(change.room, change.position)]
            if here:
                yield _telling(UPDATED, change.payload, change, here)
        if lists := clients.in_room(rooms.ORDERS):
            yield Telling(STALE, {}, lists, {})

    def admit(self, _rights: Rights, subject_id: UUID) -> OrderChange | None:
        with connected():
            rows = fetch_all(_PRESENT, ([subject_id],))
            if not rows and not fetch_all(_EXISTS, (subject_id,))[0][0]:
                raise RoomRefused("there is no such order", code="ORDER_NOT_FOUND")
        return OrderChange(*rows[0]) if rows else None

    def welcome(self, change: OrderChange, client: Client) -> Telling | None:
        if not client.take(change.room, change.position):
            return None
        return _telling(UPDATED, change.payload, change, [client])


def _telling(event: str, data: Mapping[str, Any], change: OrderChange, clients: Collection[Client]) -> Telling:
    logged = {"trace_id": change.trace_id, "order_id": str(change.order_id), "version": change.version}
    return Telling(event, data, clients, logged)


def _as_dispatch(change: OrderChange) -> Mapping[str, Any] | None:
    """The change as the oldest clients know it; None where the courier has no dispatch of the order."""
    payload = change.payload
    status = payload.get("dispatchStatus")
    if not status or not payload.get("dispatchId"):
        return None
    return {
        "dispatchId": payload["dispatchId"],
        "orderId": str(change.order_id),
        "status": status,
        "dispatchStatus": status,
        "traceId": change.trace_id,
    }
