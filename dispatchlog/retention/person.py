"""Who a patient is over all systems: ids, addresses and names. Owns the finding; changes nothing.

Each system knows a patient by another name: outreach and tickets by an id, orders by the upstream service's id, schools by
a student's number, kits by an e-mail address alone. Run by the tables' owner, who sees the rows of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.row_content import ERASED, PHARMACY_ORDERS, VISITS, SealedRow, as_stored, hashed
from dispatchlog.systems.outreach import contacts
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel

STUDENT = "student:"
# The orders `t` of a person, by `Person.parameters`.
ORDERS = "(lower(t.patient_id) = ANY (%(ids)s) OR t.patient_id = '' AND lower(t.patient_email) = ANY (%(emails)s))"


class PatientNotFound(DispatchlogError):
    """No system knows anybody by this id or address."""

    code = "PATIENT_NOT_FOUND"


@dataclass(slots=True)
class Person:
    """One patient.

    Attributes:
        given: what was asked for, an id, an address or `student:SCHOOL:NUMBER`.
        ids: the ids by which systems know the patient, as text, lower case.
        emails: lower case, but for those that are also another patient's.
        phones: in E.164 or as an order has them.
        names: as systems have them.
        shared: addresses that also belong to somebody else: what went there is left alone.
    """

    given: str
    ids: set[str] = field(default_factory=set)
    emails: set[str] = field(default_factory=set)
    phones: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    school_id: UUID | None = None
    student_number: str = ""

    @property
    def uuids(self) -> list[UUID]:
        """Those of the ids that are UUIDs."""
        found = []
        for each in sorted(self.ids):
            try:
                found.append(UUID(each))
            except ValueError:
                continue
        return found

    @property
    def addresses(self) -> set[str]:
        return self.emails | self.phones

    @property
    def canaries(self) -> set[str]:
        """What must not be found anywhere once the patient is erased."""
        number = {self.student_number} if self.student_number else set()
        return {each for each in self.addresses | self.names | number if each and each != ERASED}

    def parameters(self) -> dict[str, object]:
        """For queries: every list is there, also where it is empty; e-mail addresses also as sealed rows have them."""
        return {
            "ids": sorted(self.ids),
            "uuids": self.uuids,
            "emails": sorted(self.emails | {hashed(each) for each in self.emails}),
            "school_id": self.school_id,
            "student_number": self.student_number,
        }


def find_person(given: str) -> Person:
    """Everything by which systems know the patient of this id, address or `student:SCHOOL:NUMBER`.

    An address leads to every patient who has it; an id to that one only.

    Raises:
        PatientNotFound: nobody does.
    """
    given = given.strip()
    person = Person(given)
    if given.lower().startswith(STUDENT):
        _find_student(person)
    else:
        _begin(person)
        _find_patients(person)
        _find_orders(person)
        _find_parties(person)
        _leave_shared(person)
        _find_kits(person)
    if not (person.ids or person.emails or person.student_number):
        raise PatientNotFound("no system knows a patient by this; give an id, an address or student:SCHOOL:NUMBER")
    return person


def _find_student(person: Person) -> None:
    _, code, number = (*person.given.split(":", 2), "", "")[:3]
    found = _opened(
        VISITS,
        "visits t JOIN schools s ON s.id = t.school_id WHERE lower(s.code) = lower(%s) AND t.student_number = %s",
        (code, number),
    )
    for row in found:
        person.school_id, person.student_number = row["school_id"], row["student_number"]
        person.names.add(row["student_name"])


def _opened(seal: SealedRow, rows: str, values: dict[str, object] | tuple[str, ...]) -> list[Mapping[str, Any]]:
    """The rows of a table, as t, with what is sealed in them."""
    return [seal.opened(row) for row in fetch_dicts(f"SELECT t.* FROM {rows}", values)]


def _begin(person: Person) -> None:
    given = person.given
    if "@" in given:
        person.emails.add(given.lower())
    elif given.startswith("+"):
        person.phones.add(given)
    else:
        person.ids.add(given.lower())


def _hashes(person: Person) -> list[bytes]:
    found = []
    for channel, addresses in ((Channel.EMAIL, person.emails), (Channel.SMS, person.phones)):
        for address in addresses:
            try:
                normal = contacts.normalise(channel, address)
            except OutreachError:
                continue  # a number that no country has, as an order may hold
            found.append(contacts.address_hash(channel, normal))
    return found


def _find_patients(person: Person) -> None:
    rows = fetch_all(
        "SELECT DISTINCT p.id, p.name_sealed, p.email_sealed, p.phone_sealed FROM patients p"
        " LEFT JOIN comm_addresses a ON a.patient_id = p.id"
        " WHERE p.id = ANY (%s::uuid[]) OR a.address_hash = ANY (%s::bytea[])",
        (person.uuids, _hashes(person)),
    )
    by_id = bool(person.ids)
    for patient_id, *sealed in rows:
        name, email, phone = (contacts.open_text(each, patient_id) for each in sealed)
        person.ids.add(str(patient_id))
        person.names.add(name or "")
        if by_id:
            person.emails |= {email.lower()} if email else set()
            person.phones |= {phone} if phone else set()
    if not rows and by_id:
        person.ids = {each for each in person.ids if _is_known(each)}


def _is_known(patient_id: str) -> bool:
    return bool(
        fetch_all(
            "SELECT 1 FROM pharmacy_orders WHERE lower(patient_id) = %(id)s"
            " UNION ALL SELECT 1 FROM care_parties WHERE id::text = %(id)s AND kind = 'patient' LIMIT 1",
            {"id": patient_id},
        )
    )


def _find_orders(person: Person) -> None:
    for row in _opened(PHARMACY_ORDERS, f"pharmacy_orders t WHERE {ORDERS}", person.parameters()):
        person.names.add(row["patient_name"])
        person.emails |= {row["patient_email"].lower()} - {""}
        person.phones |= {row["patient_phone"]} - {""}


def _find_parties(person: Person) -> None:
    rows = fetch_all(
        "SELECT id, name, email FROM care_parties"
        " WHERE kind = 'patient' AND (id = ANY (%(uuids)s::uuid[]) OR lower(email) = ANY (%(emails)s))",
        person.parameters(),
    )
    for party_id, name, email in rows:
        if str(party_id) in person.ids or "@" in person.given:
            person.ids.add(str(party_id))
            person.names.add(name)
            person.emails |= {email.lower()} if email else set()
    names = fetch_all("SELECT name FROM care_people WHERE party_id = ANY (%(uuids)s::uuid[])", person.parameters())
    person.names |= {row[0] for row in names}


def _leave_shared(person: Person) -> None:
    """An address that another patient has too says nothing of whose kit it was."""
    for address in sorted(person.addresses):
        others = fetch_all(
            "SELECT 1 FROM comm_addresses WHERE address_hash = ANY (%(hashes)s::bytea[])"
            " AND patient_id <> ALL (%(uuids)s::uuid[])"
            " UNION ALL SELECT 1 FROM pharmacy_orders WHERE lower(patient_email) = ANY (%(stored)s) AND patient_id <> ''"
            " AND lower(patient_id) <> ALL (%(ids)s)"
            " UNION ALL SELECT 1 FROM care_parties WHERE kind = 'patient' AND lower(email) = %(email)s"
            " AND id <> ALL (%(uuids)s::uuid[]) LIMIT 1",
            {
                **person.parameters(),
                "email": address,
                "stored": as_stored(address),
                "hashes": _hashes(_with(address)),
            },
        )
        if others:
            person.shared.add(address)
    person.emails -= person.shared
    person.phones -= person.shared


def _with(address: str) -> Person:
    return Person("", emails={address}) if "@" in address else Person("", phones={address})


def _find_kits(person: Person) -> None:
    if person.ids or not person.emails:
        return
    known = fetch_all(
        "SELECT 1 FROM order_kits WHERE lower(recipient_email) = ANY (%(emails)s)"
        " UNION ALL SELECT 1 FROM health_information_dispatch_logs WHERE lower(recipient_email) = ANY (%(emails)s)"
        " UNION ALL SELECT 1 FROM pharmacy_orders WHERE lower(patient_email) = ANY (%(emails)s) LIMIT 1",
        person.parameters(),
    )
    if not known:
        person.emails = set()
