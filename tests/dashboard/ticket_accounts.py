"""Owns what tests of the parties' pages begin with: accounts acting for a doctor, pharmacy and patient, and tickets."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import psycopg2

from dispatchlog.engine.database import connected, execute, fetch_one, transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import ItemInput, MessageInput, PrescriptionInput, TicketInput
from dispatchlog.systems.tickets.messages import send_message
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.prescribing import save_prescription
from dispatchlog.systems.tickets.states import TicketStatus, TicketType
from tests.systems.ticket_samples import Care, make_care, new_party, new_person

MEDICINE = ItemInput(
    name="Amoxicillin", strength="500 mg", form="capsule", dosage="1 capsule", frequency="3 times a day"
)


def link_accounts() -> Care:
    """Everybody, with the accounts of the roles doctor, pharmacist and patient acting for the first of each."""
    care = make_care()
    for role, who in (("doctor", care.doctor), ("pharmacist", care.pharmacy), ("patient", care.patient)):
        link(f"{role}@example.org", who)
    return care


def link(email: str, who: Identity) -> None:
    """Have the account act for this person's party."""
    with connected():
        user_id = fetch_one("SELECT id FROM staff_users WHERE email = %s", (email,))[0]
    with transaction("test"):
        values = (who.person_id, who.party_id, who.person_name, user_id)
        execute("SELECT care_put_person(%s, %s, %s, %s, true)", values)


def new_patient(name: str) -> Identity:
    """One more patient."""
    return new_person(new_party("patient", name), name)


def ticket(
    care: Care,
    status: TicketStatus = TicketStatus.SENT,
    *,
    patient: Identity | None = None,
    doctor: Identity | None = None,
    receiver: Identity | None = None,
    ticket_type: TicketType = TicketType.PRESCRIPTION,
    appointment_id: UUID | None = None,
    item: ItemInput = MEDICINE,
) -> Row:
    """A ticket that has come so far on the ordinary way."""
    doctor, receiver = doctor or care.doctor, receiver or care.pharmacy
    patient_id = (patient or care.patient).party_id
    told = TicketInput(ticket_type, appointment_id or uuid4(), patient_id, receiver.party_id)
    row, _ = choose_receiver(doctor, told)
    if status is TicketStatus.CANCELLED:
        return move_ticket(doctor, row["id"], status, reason="not needed any more")[0]
    if status is not TicketStatus.CREATED:
        row = save_prescription(doctor, row["id"], PrescriptionInput(items=(item,)))
    if status in (TicketStatus.RECEIVED, TicketStatus.READY, TicketStatus.COMPLETED):
        row, _ = open_ticket(receiver, row["id"])
    for later in (TicketStatus.READY, TicketStatus.COMPLETED):
        if status in (later, TicketStatus.COMPLETED):
            row, _ = move_ticket(receiver, row["id"], later)
    return row


def say(who: Identity, row: Row, body: str) -> Any:
    """A message in the ticket's thread."""
    return send_message(who, row["thread_id"], MessageInput(client_message_id=uuid4(), body=body))


def sent_ago(owner_url: str, row: Row, minutes: int) -> None:
    """As the owner of the tables: it was sent, and begun, that long ago."""
    with psycopg2.connect(owner_url) as connection, connection.cursor() as cursor:
        cursor.execute("ALTER TABLE healthcare_tickets DISABLE TRIGGER check_change")
        cursor.execute(
            "UPDATE healthcare_tickets SET sent_at = sent_at - %s * interval '1 minute',"
            " created_at = created_at - %s * interval '1 minute' WHERE id = %s",
            (minutes, minutes, str(row["id"])),
        )
        cursor.execute("ALTER TABLE healthcare_tickets ENABLE ALWAYS TRIGGER check_change")
    connection.close()
