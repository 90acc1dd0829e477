"""Owns the parties, people and tickets that tests of tickets begin with, made by the product's own functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import configure, database, execute, fetch_dicts, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.identity import Identity, acting_as, identity_of_person
from tests.engine.lane import APPLICATION_ROLE


@dataclass(frozen=True)
class Care:
    """Everybody a test of tickets needs; those with a 2 are of other parties, `colleague` works at the same pharmacy."""

    doctor: Identity
    pharmacy: Identity
    colleague: Identity
    patient: Identity
    doctor2: Identity
    pharmacy2: Identity
    patient2: Identity
    laboratory: Identity


def new_party(kind: str, name: str, *, email: str | None = "") -> UUID:
    """A party; its address is made of its name unless told (None: it has none)."""
    party_id = uuid4()
    address = f"{name.lower().replace(' ', '.')}@example.org" if email == "" else email
    with transaction("test"):
        execute("SELECT care_put_party(%s, %s, %s, %s, true)", (party_id, kind, name, address))
    return party_id


def new_person(party_id: UUID, name: str, *, user_id: int | None = None) -> Identity:
    """Somebody who acts for the party."""
    person_id = uuid4()
    with transaction("test"):
        execute("SELECT care_put_person(%s, %s, %s, %s, true)", (person_id, party_id, name, user_id))
    return identity_of_person(person_id)


def make_care() -> Care:
    """Everybody, in the configured database."""
    pharmacy = new_party("pharmacy", "Linden Pharmacy")
    return Care(
        doctor=new_person(new_party("doctor", "Dr Sample North"), "Dr Sample North"),
        pharmacy=new_person(pharmacy, "Pharmacist One"),
        colleague=new_person(pharmacy, "Pharmacist Two"),
        patient=new_person(new_party("patient", "Sample Patient"), "Sample Patient"),
        doctor2=new_person(new_party("doctor", "Dr Sample South"), "Dr Sample South"),
        pharmacy2=new_person(new_party("pharmacy", "Harbour Pharmacy"), "Pharmacist Three"),
        patient2=new_person(new_party("patient", "Other Patient"), "Other Patient"),
        laboratory=new_person(new_party("laboratory", "Cedar Laboratory"), "Laboratory One"),
    )


@contextmanager
def care_database(settings: Settings) -> Iterator[Care]:
    """The test's database as the application's role sees it, with everybody in it."""
    configure(settings.database_url, role=APPLICATION_ROLE, name="test")
    try:
        yield make_care()
    finally:
        database.close_all()


def seen(who: Identity, sql: str, *values: Any) -> list[dict[str, Any]]:
    """What a query gives this person."""
    with acting_as(who):
        return fetch_dicts(sql, values)
