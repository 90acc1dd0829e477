"""The tickets that `dispatchlog up` brings along, and the accounts of those who take part in them.

Talks to the product as doctor, pharmacy and patient do; writes no table itself. Begun anew it repeats nothing.
"""

from __future__ import annotations

import sys
import time
from uuid import UUID

from dispatchlog import people
from dispatchlog.local.directory import remember_secret
from dispatchlog.local.loading import load_sample
from dispatchlog.local.pharmacy_sample import PHARMACIES
from dispatchlog.local.ticket_sample import PEOPLE, TICKETS, SamplePerson, SampleTicket
from dispatchlog.people import PersonError
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import pharmacies
from dispatchlog.systems.tickets import handling, messages, opening, parties, prescribing
from dispatchlog.systems.tickets.identity import Identity, identity_of_person
from dispatchlog.systems.tickets.inputs import (
    MessageInput,
    PartyInput,
    PersonInput,
    PrescriptionInput,
    TicketError,
    TicketInput,
)
from dispatchlog.systems.tickets.states import TicketStatus, TicketType

SOURCE = "sample-clinic"
ACTOR = "sample"
SECONDS_BETWEEN = 4.0
PASSWORD_FILE = "sample_password"  # noqa: S105  (the name of a file)
_HANDLED = (TicketStatus.RECEIVED, TicketStatus.READY, TicketStatus.COMPLETED)


def main() -> int:
    """Report what is missing; the exit code comes back."""
    return load_sample(_load, what="the tickets")


def _load(settings: Settings) -> None:
    of_code = {each.code: pharmacies.put_pharmacy(each, source=SOURCE)["id"] for each in PHARMACIES}
    password = remember_secret(settings.var_dir / PASSWORD_FILE)
    for person in PEOPLE:
        _introduce(person, of_code, password)
    accounts = ", ".join(person.email for person in PEOPLE if person.role)
    print(f"sample tickets: sign in as {accounts}; the password is in {settings.var_dir / PASSWORD_FILE}", flush=True)
    who = {person.key: identity_of_person(person.person_id) for person in PEOPLE}
    for position, ticket in enumerate(TICKETS):
        if _goes(ticket, who) and position:
            time.sleep(SECONDS_BETWEEN)
    print("the sample tickets are complete", flush=True)


def _introduce(person: SamplePerson, of_code: dict[str, UUID], password: str) -> None:
    party_id = of_code[person.pharmacy] if person.pharmacy else person.person_id
    if not person.pharmacy:
        parties.put_party(PartyInput(party_id, person.kind, person.name, person.email), source=SOURCE)
    account = _account(person, password) if person.role else None
    parties.put_person(PersonInput(person.person_id, party_id, person.name, account), source=SOURCE)


def _account(person: SamplePerson, password: str) -> int:
    try:
        return people.create_user(person.email, roles=[person.role], password=password, actor=ACTOR)[0]
    except PersonError as error:
        if error.code != "EMAIL_TAKEN":
            raise
        return next(known.id for known in people.list_users(text=person.email) if known.email == person.email)


def _goes(ticket: SampleTicket, who: dict[str, Identity]) -> bool:
    """Let happen to the ticket what happens; whether it was new, for otherwise all that has happened."""
    doctor, pharmacist = who["sample.doctor"], who["sample.pharmacist"]
    choice = TicketInput(
        TicketType.PRESCRIPTION, ticket.appointment_id, ticket.patient.person_id, receiver_id=pharmacist.party_id
    )
    try:
        stored, new = opening.choose_receiver(doctor, choice)
    except TicketError as error:
        if error.code != "TICKET_ALREADY_SENT":
            raise
        return False
    if not new:
        return False
    if ticket.status is not TicketStatus.CREATED:
        prescribing.save_prescription(doctor, stored["id"], PrescriptionInput(ticket.items, ticket.notes))
    for status in _HANDLED:
        if ticket.status in _HANDLED[_HANDLED.index(status) :]:
            handling.move_ticket(pharmacist, stored["id"], status)
    for position, (sender, text) in enumerate(ticket.says):
        given = MessageInput(ticket.message_id(position), text)
        messages.send_message(who[sender.key], stored["thread_id"], given)
    return True


if __name__ == "__main__":
    sys.exit(main())
