"""Who is connected to this process and in which rooms, within the limits. Owns that list; sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from dashboard.sockets.entry import Caller
from dashboard.sockets.rooms import subject_of

MOST_ROOMS = 100
# Of one session or one ticket: a few windows of a browser. A person has some devices, and a token is a whole service.
MOST_CONNECTIONS = {"session": 8, "ticket": 8, "person": 20, "token": 200}

# How far something is: its version, and among changes of the same version the change's id.
Position = tuple[int, int]
_NOWHERE: Position = (-1, -1)

Key = TypeVar("Key")


@dataclass(eq=False, slots=True)
class Client:
    """One connection. `told` is how far the subject of each of its rooms was when it was last told of it."""

    sid: str
    caller: Caller
    rooms: set[str] = field(default_factory=set)
    told: dict[str, Position] = field(default_factory=dict)

    def take(self, room: str, position: Position) -> bool:
        """Whether this is news to it; from then on it is not."""
        if self.told.get(room, _NOWHERE) >= position:
            return False
        self.told[room] = position
        return True


class Clients:
    """The clients of this process."""

    def __init__(self) -> None:
        self._clients: dict[str, Client] = {}
        self._rooms: dict[str, set[Client]] = {}
        self._parties: dict[UUID, set[Client]] = {}
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
        if person := caller.rights.person:
            self._parties.setdefault(person.party_id, set()).add(client)
        return client

    def drop(self, sid: str) -> None:
        client = self._clients.pop(sid, None)
        if client is None:
            return
        for room in [*client.rooms]:
            self.leave(client, room)
        if person := client.caller.rights.person:
            _take_out(self._parties, person.party_id, client)
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
        client.told.pop(room, None)
        _take_out(self._rooms, room, client)

    def in_room(self, room: str) -> set[Client]:
        return set(self._rooms.get(room, ()))

    def of_parties(self, parties: Collection[UUID], rooms: Collection[str]) -> set[Client]:
        """Those who act for one of the parties and are in one of the rooms."""
        there = (client for party_id in parties for client in self._parties.get(party_id, ()))
        return {client for client in there if not client.rooms.isdisjoint(rooms)}

    def subjects(self, kind: str) -> set[UUID]:
        """The orders, or the tickets, whose rooms somebody is in."""
        found = (subject_of(room) for room in self._rooms)
        return {subject[1] for subject in found if subject and subject[0] == kind}

    def callers(self) -> set[Caller]:
        return {client.caller for client in self._clients.values()}

    def of(self, callers: Iterable[Caller]) -> list[Client]:
        wanted = set(callers)
        return [client for client in self if client.caller in wanted]


def _take_out(there: dict[Key, set[Client]], key: Key, client: Client) -> None:
    left = there.get(key, set())
    left.discard(client)
    if not left:
        there.pop(key, None)
