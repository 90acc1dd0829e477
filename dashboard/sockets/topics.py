"""What a topic is: one kind of thing that is listened to, its rooms, and what is told of it to whom."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar
from uuid import UUID

from dashboard.sockets.clients import Client, Clients
from dashboard.sockets.rights import Rights
from dashboard.table_tail import Numbered, Source
from dispatchlog.engine.errors import DispatchlogError

Change = TypeVar("Change", bound=Numbered)


class RoomRefused(DispatchlogError):
    """Whoever asks cannot be in this room; the code says why."""


@dataclass(frozen=True, slots=True)
class Telling:
    """One event for some clients; `logged` is what the log has of it: ids, never content."""

    event: str
    data: Mapping[str, Any]
    clients: Collection[Client]
    logged: Mapping[str, Any]


class Topic(Protocol[Change]):
    """One kind of thing. Its questions to PostgreSQL are asked in threads, everything else in the event loop.

    `kind` is the one of its rooms (rooms.ORDER, rooms.TICKET). `tellings` and `standing` count as told what they return.
    """

    kind: str
    source: Source[Change]

    def hearing(self, change: Change, clients: Clients) -> set[Client]:
        """Everybody who may be told of the change."""
        ...

    def tellings(self, change: Change, clients: Clients) -> Iterable[Telling]:
        """What is told of a change."""
        ...

    def present(self, cursor: Any, subjects: Collection[UUID]) -> Sequence[Change]:
        """How these stand, for when more changed than can be told one by one.

        Raises:
            psycopg2.Error: PostgreSQL does not answer; ask again.
        """
        ...

    def standing(self, present: Sequence[Change], clients: Clients) -> Iterable[Telling]:
        """What is told of how they stand, and to lists."""
        ...

    def admit(self, rights: Rights, subject_id: UUID) -> Change | None:
        """How the subject of a room stands, as far as whoever wants to join may know.

        Raises:
            RoomRefused: it is not there, or not theirs to see.
            peewee.OperationalError, or another of DATABASE_ERRORS: PostgreSQL does not answer.
        """
        ...

    def welcome(self, change: Change, client: Client) -> Telling | None:
        """What whoever has just joined is told of it; None where a later change was quicker."""
        ...
