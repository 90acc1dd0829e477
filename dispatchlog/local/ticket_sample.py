"""Made-up people and tickets for demonstrations. Stores nothing.

Nobody is meant: everybody is a "Sample" at an address reserved for examples.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID, uuid5

from dispatchlog.systems.tickets.inputs import ItemInput
from dispatchlog.systems.tickets.states import PartyKind, TicketStatus

_OURS = UUID("5d6d2f70-0d0f-5b1e-9a57-6c3a4de6b720")


@dataclass(frozen=True, slots=True)
class SamplePerson:
    """Somebody who takes part, and the role of the account they sign in with; `pharmacy` is a sample pharmacy's code."""

    key: str
    name: str
    kind: PartyKind
    role: str = ""
    pharmacy: str = ""

    @property
    def person_id(self) -> UUID:
        return uuid5(_OURS, self.key)

    @property
    def email(self) -> str:
        return f"{self.key}@example.org"


DOCTOR = SamplePerson("sample.doctor", "Dr Sample Juliett", PartyKind.DOCTOR, role="doctor")
PHARMACIST = SamplePerson(
    "sample.pharmacist", "Pharmacist Sample Kilo", PartyKind.PHARMACY, role="pharmacist", pharmacy="ISLAND"
)
PATIENT = SamplePerson("sample.patient", "Sample Lima", PartyKind.PATIENT, role="patient")
OTHERS = (
    SamplePerson("sample.mike", "Sample Mike", PartyKind.PATIENT),
    SamplePerson("sample.november", "Sample November", PartyKind.PATIENT),
    SamplePerson("sample.oscar", "Sample Oscar", PartyKind.PATIENT),
)
PEOPLE = (DOCTOR, PHARMACIST, PATIENT, *OTHERS)


@dataclass(frozen=True, slots=True)
class SampleTicket:
    """A ticket and how far it goes here; `says` are messages of (who, what), written in this order."""

    key: str
    patient: SamplePerson
    items: tuple[ItemInput, ...]
    status: TicketStatus
    says: tuple[tuple[SamplePerson, str], ...] = ()
    notes: str = ""

    @property
    def appointment_id(self) -> UUID:
        return uuid5(_OURS, f"appointment {self.key}")

    def message_id(self, position: int) -> UUID:
        return uuid5(_OURS, f"message {self.key} {position}")


_AMLODIPINE = ItemInput(
    "Amlodipine",
    strength="5 mg",
    form="tablet",
    dosage="1 tablet",
    frequency="once a day",
    duration="30 days",
    quantity="30",
)
_SALBUTAMOL = ItemInput(
    "Salbutamol",
    strength="100 micrograms",
    form="inhaler",
    dosage="2 puffs",
    frequency="when needed",
    quantity="1",
    refills=2,
)
_METFORMIN = ItemInput(
    "Metformin",
    strength="500 mg",
    form="tablet",
    dosage="1 tablet",
    frequency="twice a day",
    duration="90 days",
    quantity="180",
)
TICKETS = (
    SampleTicket(
        "ready",
        PATIENT,
        (_AMLODIPINE,),
        TicketStatus.READY,
        says=(
            (PHARMACIST, "We have the 10 mg tablets only. May we halve them?"),
            (DOCTOR, "Yes, they are scored. Please tell the patient how."),
            (PHARMACIST, "It is packed, with a note on how to halve them."),
            (PATIENT, "Thank you. I come this afternoon."),
        ),
    ),
    SampleTicket("sent", OTHERS[0], (_SALBUTAMOL,), TicketStatus.SENT, notes="The patient knows how to use it."),
    SampleTicket(
        "received",
        OTHERS[1],
        (_METFORMIN, _AMLODIPINE),
        TicketStatus.RECEIVED,
        says=((PHARMACIST, "Is the metformin to be taken with food?"),),
    ),
    SampleTicket("created", OTHERS[2], (_SALBUTAMOL,), TicketStatus.CREATED),
    SampleTicket("late", PATIENT, (_METFORMIN,), TicketStatus.SENT),
)
