"""Owns the parties of tickets behind the test accounts, and tickets between them, made by the product's own functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid4

from dispatchlog.engine.database import connected, fetch_one
from dispatchlog.engine.lanes import Row
from dispatchlog.people import create_user
from dispatchlog.systems.tickets.handling import open_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import AttachmentInput, ItemInput, MessageInput, PrescriptionInput, TicketInput
from dispatchlog.systems.tickets.messages import send_message
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.prescribing import save_prescription
from dispatchlog.systems.tickets.reading import ticket_state
from dispatchlog.systems.tickets.states import TicketType
from tests.dashboard.browsing import PASSWORD
from tests.systems.ticket_samples import new_party, new_person

ITEMS = (
    ItemInput(
        "Amoxicillin",
        strength="500 mg",
        form="capsule",
        dosage="1 capsule",
        frequency="three times a day",
        duration="7 days",
        quantity="21",
        instructions="With water, after a meal.",
    ),
    ItemInput("Ibuprofen", strength="400 mg", form="tablet", dosage="1 tablet", frequency="if needed", quantity="10"),
)


@dataclass(frozen=True)
class Parties:
    """Whom the accounts doctor@, pharmacist@ and patient@ act for; `stranger` is doctor2@, of no ticket here."""

    doctor: Identity
    pharmacy: Identity
    patient: Identity
    stranger: Identity


def link_parties(
    *, doctor: str = "Dr Sample North", pharmacy: str = "Linden Pharmacy", patient: str = "Sample Patient"
) -> Parties:
    """The accounts of the three roles act for a party each from now on."""
    create_user("doctor2@example.org", roles=["doctor"], password=PASSWORD)
    return Parties(
        doctor=new_person(new_party("doctor", doctor, email="d@example.org"), doctor, user_id=account("doctor")),
        pharmacy=new_person(
            new_party("pharmacy", pharmacy, email="p@example.org"), "Pharmacist One", user_id=account("pharmacist")
        ),
        patient=new_person(new_party("patient", patient, email="s@example.org"), patient, user_id=account("patient")),
        stranger=new_person(
            new_party("doctor", "Dr Sample South", email="e@example.org"), "Dr Sample South", user_id=account("doctor2")
        ),
    )


def account(name: str) -> int:
    with connected():
        return int(fetch_one("SELECT id FROM staff_users WHERE email = %s", (f"{name}@example.org",))[0])


def new_ticket(parties: Parties, *, ticket_type: TicketType = TicketType.PRESCRIPTION) -> Row:
    """A ticket that the doctor has not sent yet."""
    given = TicketInput(ticket_type, uuid4(), parties.patient.party_id, parties.pharmacy.party_id)
    return choose_receiver(parties.doctor, given, trace_id="trace-of-tests")[0]


def sent_ticket(parties: Parties, *, items: Sequence[ItemInput] = ITEMS, notes: str = "Allergic to penicillin?") -> Row:
    """A ticket that the pharmacy sees and has not opened."""
    return save_prescription(parties.doctor, new_ticket(parties)["id"], PrescriptionInput(items, notes=notes))


def received_ticket(parties: Parties) -> Row:
    """A ticket that the pharmacy has opened."""
    return open_ticket(parties.pharmacy, sent_ticket(parties)["id"])[0]


def say(
    who: Identity,
    ticket: Row,
    body: str,
    *,
    attachments: Sequence[AttachmentInput] = (),
    timeline_id: int | None = None,
    message_id: UUID | None = None,
) -> Row:
    """A message in the ticket's thread."""
    thread = ticket_state(who, ticket["id"]).thread["id"]
    given = MessageInput(message_id or uuid4(), body, attachments, timeline_id)
    return send_message(who, thread, given)[0]
