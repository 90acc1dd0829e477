"""What a caller may hear, and what sessions and people may hear at this moment. Owns both; knows no connection."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dashboard.access import OVERSEE, READ, TICKETS
from dashboard.live_tail import LetIn, still_let_in
from dashboard.sessions import ABSOLUTE_LIMIT, IDLE_LIMIT
from dashboard.sockets import rooms
from dispatchlog.settings import Settings

# Those who are active alone, each with their account, if they have one.
_PEOPLE = """
SELECT i.person_id, i.party_id FROM unnest(%s::uuid[]) a(id) CROSS JOIN LATERAL care_identity(a.id, NULL) i WHERE i.active
"""
_ACCOUNTS = """
SELECT i.user_id, i.person_id, i.party_id FROM unnest(%s::integer[]) a(id)
    CROSS JOIN LATERAL care_identity(NULL, a.id) i WHERE i.active
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who acts for a party of tickets."""

    person_id: UUID
    party_id: UUID


@dataclass(frozen=True, slots=True)
class Rights:
    """What may be heard: orders (of them `order_id` alone, if it is set), a person's tickets, or that tickets changed."""

    orders: bool = False
    order_id: UUID | None = None
    person: Person | None = None
    oversees: bool = False

    def __bool__(self) -> bool:
        return self.orders or self.person is not None or self.oversees

    def may_hear(self, room: str) -> bool:
        """Whether the room may be asked for; of a ticket's, the database decides."""
        if room == rooms.OVERVIEW:
            return self.oversees
        subject = rooms.subject_of(room)
        if room == rooms.TICKETS or (subject and subject[0] == rooms.TICKET):
            return self.person is not None
        return self.orders and self.order_id in (None, subject and subject[1])

    def cover(self, other: Rights) -> bool:
        """Whether these are the other ones, or more."""
        return (
            self.orders >= other.orders
            and self.oversees >= other.oversees
            and other.person in (None, self.person)
            and self.order_id in (None, other.order_id)
        )


def rights_of_sessions(settings: Settings, cursor: Any, sessions: Collection[bytes]) -> dict[bytes, Rights]:
    """What these sessions (by the hash of their id) may hear, perhaps nothing; those that have ended are not in it."""
    let_in = still_let_in(
        cursor,
        sessions,
        idle=IDLE_LIMIT[settings.environment],
        absolute=ABSOLUTE_LIMIT,
        second_factor=settings.environment == "production",
    )
    accounts = {each.user_id for each in let_in.values() if TICKETS in each.permissions}
    people = _people_of_accounts(cursor, accounts) if accounts else {}
    return {session: _rights(each, people) for session, each in let_in.items()}


def rights_of_people(cursor: Any, people: Collection[UUID]) -> dict[UUID, Rights]:
    """What these people may hear; those who are not active are not in it."""
    cursor.execute(_PEOPLE, (list(people),))
    return {person_id: Rights(person=Person(person_id, party_id)) for person_id, party_id in cursor.fetchall()}


def _people_of_accounts(cursor: Any, accounts: Collection[int]) -> dict[int, Person]:
    cursor.execute(_ACCOUNTS, (list(accounts),))
    return {user_id: Person(person_id, party_id) for user_id, person_id, party_id in cursor.fetchall()}


def _rights(session: LetIn, people: dict[int, Person]) -> Rights:
    return Rights(
        orders=READ in session.permissions,
        person=people.get(session.user_id) if TICKETS in session.permissions else None,
        oversees=OVERSEE in session.permissions,
    )
