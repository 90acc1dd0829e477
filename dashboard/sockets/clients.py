"""Who is connected to this process and in which rooms, within the limits. Owns that list; sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from uuid import UUID

from dashboard.sockets.entry import Caller
from dashboard.sockets.rooms import order_of, room_of

MOST_ROOMS = 100
# Of one session or one ticket: a few windows of a browser. A token is a whole service.
MOST_CONNECTIONS = {"session": 8, "ticket": 8, "token": 200}


@dataclass(eq=False, slots=True)
class Client:
    """One connection. `told` is the newest version of each order whose room it is in that it has been told of."""

    sid: str
    caller: Caller
    rooms: set[str] = field(default_factory=set)
    told: dict[UUID, int] = field(default_factory=dict)

    def take(self, order_id: UUID, version: int) -> bool:
        """Whether this version is news to it; from then on it is not."""
        if self.told.get(order_id, -1) >= version:
            return False
        self.told[order_id] = version
        return True


class Clients:
    """The clients of this process."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._rooms: dict[str, set[Client]] = {}
        self._connections: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return len(self._clients)

    def __iter__(self) -> Iterator[Client]:
        return iter([*self._clients.values()])

    def find(self, sid: str) -> Client | None:
        return self._clients.get(sid)

    def add(self, sid: str, caller: Caller) -> Client | None:
        """The new client; None: this caller has as many connections as one may have."""
        whose = (caller.kind, caller.key)
        if self._connections[whose] >= MOST_CONNECTIONS[caller.kind]:
            return None
        self._connections[whose] += 1
        client = self._clients[sid] = Client(sid, caller)
        return client

    def drop(self, sid: str) -> None:
        client = self._clients.pop(sid, None)
        if client is None:
            return
        for room in [*client.rooms]:
            self.leave(client, room)
        whose = (client.caller.kind, client.caller.key)
        self._connections[whose] -= 1
        if not self._connections[whose]:
            del self._connections[whose]

    def join(self, client: Client, room: str) -> bool:
        """Whether it is in the room now; False: it is in as many as one may be."""
        if room not in client.rooms and len(client.rooms) >= MOST_ROOMS:
            return False
        client.rooms.add(room)
        self._rooms.setdefault(room, set()).add(client)
        return True

    def leave(self, client: Client, room: str) -> None:
        client.rooms.discard(room)
        if order_id := order_of(room):
            client.told.pop(order_id, None)
        here = self._rooms.get(room, set())
        here.discard(client)
        if not here:
            self._rooms.pop(room, None)

    def in_room(self, room: str) -> set[Client]:
        return set(self._rooms.get(room, ()))

    def waiting_for(self, order_id: UUID, version: int) -> list[Client]:
        """Those in the order's room to whom this version is news."""
        return [client for client in self.in_room(room_of(order_id)) if client.take(order_id, version)]

    def orders(self) -> set[UUID]:
        """The orders whose rooms somebody is in."""
        return {order_id for room in self._rooms if (order_id := order_of(room))}

    def callers(self) -> set[Caller]:
        return {client.caller for client in self._clients.values()}

    def of(self, callers: Iterable[Caller]) -> list[Client]:
        wanted = set(callers)
        return [client for client in self if client.caller in wanted]
