"""Owns tickets put straight into the tables as their parties may, for tests of what hangs on them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from uuid import UUID, uuid4

from dispatchlog.engine.database import execute, fetch_one
from dispatchlog.systems.tickets.identity import Identity, acting_as
from tests.systems.ticket_samples import Care

_LETTERS = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"


@dataclass(frozen=True)
class Placed:
    """A ticket and its thread."""

    ticket_id: UUID
    thread_id: UUID
    number: str


def created_ticket(care: Care, *, pharmacy: Identity | None = None) -> Placed:
    """A prescription that the doctor has begun."""
    ticket_id = uuid4()
    number = f"TKT-20260129-{''.join(random.choices(_LETTERS, k=5))}"  # noqa: S311  (nothing is secret about it)
    receiver = pharmacy or care.pharmacy
    with acting_as(care.doctor):
        execute(
            "INSERT INTO healthcare_tickets (id, ticket_number, ticket_type, appointment_id, patient_id,"
            " primary_provider_id, secondary_provider_id, trace_id)"
            " VALUES (%s, %s, 'prescription', %s, %s, %s, %s, 'trace-1')",
            (ticket_id, number, uuid4(), care.patient.party_id, care.doctor.party_id, receiver.party_id),
        )
        (thread_id,) = fetch_one("SELECT id FROM chat_threads WHERE ticket_id = %s", (ticket_id,))
    return Placed(ticket_id, thread_id, number)


def send(care: Care, placed: Placed, *, medicine: str = "Amoxicillin") -> None:
    """Its prescription is stored, and the pharmacy sees it from now on."""
    prescription_id = uuid4()
    with acting_as(care.doctor):
        execute(
            "INSERT INTO prescriptions (id, ticket_id, appointment_id, patient_id, doctor_id, pharmacy_id, created_by)"
            " SELECT %s, id, appointment_id, patient_id, primary_provider_id, secondary_provider_id, %s"
            " FROM healthcare_tickets WHERE id = %s",
            (prescription_id, care.doctor.person_id, placed.ticket_id),
        )
        execute(
            "INSERT INTO prescription_items (prescription_id, number, name, dosage) VALUES (%s, 1, %s, 'one a day')",
            (prescription_id, medicine),
        )
        execute(
            "UPDATE healthcare_tickets SET prescription_id = %s, status = 'sent' WHERE id = %s",
            (prescription_id, placed.ticket_id),
        )


def sent_ticket(care: Care) -> Placed:
    """A prescription that the pharmacy has not opened yet."""
    placed = created_ticket(care)
    send(care, placed)
    return placed


def move(who: Identity, placed: Placed, status: str) -> None:
    """The ticket moves as this side may."""
    with acting_as(who, "it was asked for"):
        execute("UPDATE healthcare_tickets SET status = %s WHERE id = %s", (status, placed.ticket_id))
