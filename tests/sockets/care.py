"""Owns tickets of care for tests of sockets, what happens to them, and what a listener made of it."""

from __future__ import annotations

import json
from uuid import UUID, uuid4

from dashboard.person_tokens import issue_person_token
from dispatchlog.engine.database import connected, fetch_one
from dispatchlog.settings import get_settings
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import ItemInput, MessageInput, PrescriptionInput, TicketInput
from dispatchlog.systems.tickets.messages import mark_read, send_message
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.prescribing import save_prescription
from dispatchlog.systems.tickets.states import TicketType
from tests.sockets.official import Listener
from tests.systems.ticket_rows import Placed
from tests.systems.ticket_samples import new_person

# Nobody is ever told this by a socket.
MEDICINE, WORDS = "Canarycillin", "canary words"


def choose(doctor: Identity, patient: Identity, pharmacy: Identity, appointment: UUID | None = None) -> Placed:
    """The doctor's ticket for this pharmacy."""
    given = TicketInput(TicketType.PRESCRIPTION, appointment or uuid4(), patient.party_id, pharmacy.party_id)
    ticket, _ = choose_receiver(doctor, given, trace_id="trace-7")
    return Placed(ticket["id"], ticket["thread_id"], ticket["ticket_number"])


def send(doctor: Identity, placed: Placed) -> None:
    """Its prescription is saved."""
    save_prescription(doctor, placed.ticket_id, PrescriptionInput([ItemInput(MEDICINE, dosage="one a day")]))


def write(who: Identity, placed: Placed) -> None:
    """One message."""
    send_message(who, placed.thread_id, MessageInput(uuid4(), WORDS))


def read(who: Identity, placed: Placed, number: int) -> None:
    mark_read(who, placed.thread_id, number)


def token_of(who: Identity, seconds: int = 900) -> dict[str, str]:
    """What an app of theirs shows."""
    return {"token": issue_person_token(who.person_id, settings=get_settings(), seconds=seconds).text}


def link(role: str, party_id: UUID, name: str) -> Identity:
    """The account of this role acts for the party."""
    with connected():
        (user_id,) = fetch_one("SELECT id FROM staff_users WHERE email = %s", (f"{role}@example.org",))
    return new_person(party_id, name, user_id=user_id)


_WORDS = {
    "ticket.updated": "{status}",
    "ticket.changed": "changed, {status}",
    "message.created": "message {number}",
    "message.read": "read to {readNumber}",
}


def story(listener: Listener, placed: Placed) -> list[str]:
    """What it heard of the ticket so far."""
    heard = [line for line in listener.heard if line["event"] in _WORDS]
    return [
        _WORDS[line["event"]].format(**line["data"])
        for line in heard
        if line["data"]["ticketId"] == str(placed.ticket_id)
    ]


def heard_until(listener: Listener, placed: Placed, last: str) -> list[str]:
    """The same, once this is in it."""
    listener.wait_until(lambda: last in story(listener, placed), last)
    return story(listener, placed)


def said_of_people(listener: Listener) -> list[str]:
    """What it should never hear: words, medicines, names."""
    return [word for word in (MEDICINE, WORDS, "Sample", "Linden", "example.org") if word in json.dumps(listener.heard)]
