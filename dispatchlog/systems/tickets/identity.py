"""Who asks, told to the database, which lets everybody see and do what is theirs. Owns the two settings that name them.

There is one way from a person or an account to their party, the function `care_identity`, so identities cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from dispatchlog.engine.database import connected, fetch_dicts, fetch_one, transaction
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.states import PartyKind


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who acts for a party. `actor` is who is on record: the account's address, else the person's id."""

    person_id: UUID
    person_name: str
    party_id: UUID
    kind: PartyKind
    party_name: str
    actor: str


def identity_of_person(person_id: UUID) -> Identity:
    """Who the person is.

    Raises:
        TicketError: PERSON_UNKNOWN, PERSON_INACTIVE.
    """
    return _identity(person_id, None)


def identity_of_account(user_id: int) -> Identity:
    """Whom the dashboard's account acts for.

    Raises:
        TicketError: PERSON_UNKNOWN, PERSON_INACTIVE.
    """
    return _identity(None, user_id)


def _identity(person_id: UUID | None, user_id: int | None) -> Identity:
    with connected():
        rows = fetch_dicts("SELECT * FROM care_identity(%s, %s)", (person_id, user_id))
    if not rows:
        message = (
            "nobody has said whom this account acts for; an administrator links it to a doctor, pharmacy or patient"
        )
        if person_id is not None:
            message = f"there is no person {person_id}; report people before they take part"
        raise TicketError(message, code="PERSON_UNKNOWN")
    row = rows[0]
    if not row["active"]:
        raise TicketError("this person or the party they act for is not active any more", code="PERSON_INACTIVE")
    return Identity(
        person_id=row["person_id"],
        person_name=row["person_name"],
        party_id=row["party_id"],
        kind=PartyKind(row["kind"]),
        party_name=row["party_name"],
        # With a token of their own it is them, but not their account with its second factor.
        actor=f"person:{row['person_id']}" if user_id is None else row["email"],
    )


@contextmanager
def acting_as(who: Identity, reason: str = "") -> Iterator[None]:
    """A transaction in which the database sees and lets do what is this person's; tickets are read and written in one.

    `reason` stands in the timeline beside a change of the status.
    """
    with transaction(who.actor, reason):
        outer = _name(person=str(who.person_id))
        yield
        _name(*outer)


@contextmanager
def overseeing(user_id: int, actor: str, reason: str = "") -> Iterator[None]:
    """A transaction of a member of staff: what the views for staff show, and what an emergency access opens."""
    with transaction(actor, reason):
        outer = _name(staff=str(user_id))
        yield
        _name(*outer)


def _name(person: str = "", staff: str = "") -> tuple[str, str]:
    """Name who asks, never a party and staff at once; who was named before comes back. A rollback does it by itself."""
    was = fetch_one(
        "SELECT current_setting('dispatchlog.person', true), current_setting('dispatchlog.staff', true),"
        " set_config('dispatchlog.person', %s, true), set_config('dispatchlog.staff', %s, true)",
        (person, staff),
    )
    return was[0] or "", was[1] or ""
