"""A doctor chooses who receives a prescription: the ticket, and by it thread and members, in one transaction."""

from __future__ import annotations

import secrets
from datetime import UTC, date, datetime

import peewee

from dispatchlog.engine.database import database, execute, fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.tables import new_id
from dispatchlog.systems.tickets.finding import hold_ticket, visible_ticket
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import TicketError, TicketInput
from dispatchlog.systems.tickets.refusals import constraint, refusals
from dispatchlog.systems.tickets.states import RECEIVERS, PartyKind, TicketStatus
from dispatchlog.tracing import new_trace_id

_ALPHABET = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"
_MOST_TRIES = 8

# Of two who choose at once the second waits for the first, and then finds its ticket.
_INSERT = """
INSERT INTO healthcare_tickets (id, ticket_number, ticket_type, appointment_id, patient_id, primary_provider_id,
    secondary_provider_id, trace_id)
VALUES (%(id)s, %(number)s, %(ticket_type)s, %(appointment)s, %(patient)s, %(doctor)s, %(receiver)s, %(trace_id)s)
ON CONFLICT (appointment_id, ticket_type) WHERE status <> 'cancelled' DO NOTHING RETURNING id
"""
_OF_APPOINTMENT = """
SELECT id FROM healthcare_tickets WHERE appointment_id = %s AND ticket_type = %s AND status <> 'cancelled'
"""


def choose_receiver(who: Identity, given: TicketInput, *, trace_id: str = "") -> tuple[Row, bool]:
    """The ticket of the appointment (with `thread_id`), and whether it was made now. Said again, it is the same ticket;
    with another receiver before it is sent, the same ticket with that one.

    Raises:
        TicketError: NOT_A_DOCTOR, PATIENT_NOT_FOUND, RECEIVER_NOT_FOUND (none of the kind that this type goes to, or not
            active), TICKET_ALREADY_SENT, TICKET_OF_ANOTHER (the appointment's ticket is another doctor's or patient's).
    """
    if who.kind is not PartyKind.DOCTOR:
        raise TicketError("only a doctor opens a ticket", code="NOT_A_DOCTOR")
    with refusals(), acting_as(who):
        ticket = _ticket_of_appointment(given)
        if ticket is None:
            _require_patient(given)
            _require_receiver(who, given)
            made = _insert(who, given, trace_id)
            if made is not None:
                return made, True
            ticket = _ticket_of_appointment(given)
        return _chosen_again(who, ticket, given), False


def new_ticket_number(day: date | None = None) -> str:
    """`TKT-YYYYMMDD-XXXXX`, of the day or today (UTC), without letters and figures that look alike (0 O, 1 I L)."""
    code = "".join(secrets.choice(_ALPHABET) for _ in range(5))
    return f"TKT-{day or datetime.now(UTC):%Y%m%d}-{code}"


def _ticket_of_appointment(given: TicketInput) -> Row | None:
    found = fetch_all(_OF_APPOINTMENT, (given.appointment_id, given.ticket_type))
    return hold_ticket(found[0][0]) if found else None


def _chosen_again(who: Identity, ticket: Row | None, given: TicketInput) -> Row:
    if ticket is None or (ticket["patient_id"], ticket["primary_provider_id"]) != (given.patient_id, who.party_id):
        message = "this appointment has a ticket of another doctor or patient; check the appointment"
        raise TicketError(message, code="TICKET_OF_ANOTHER", field="appointment_id")
    if ticket["secondary_provider_id"] == given.receiver_id:
        return ticket
    if ticket["status"] != TicketStatus.CREATED:
        ended = ticket["status"] == TicketStatus.COMPLETED
        advice = (
            "was completed; a new appointment has a new one" if ended else "was sent; cancel it to choose another one"
        )
        message = f"ticket {ticket['ticket_number']} {advice}"
        raise TicketError(message, code="TICKET_ALREADY_SENT", field="receiver_id")
    _require_receiver(who, given)
    execute("UPDATE healthcare_tickets SET secondary_provider_id = %s WHERE id = %s", (given.receiver_id, ticket["id"]))
    return visible_ticket(ticket["id"])


def _insert(who: Identity, given: TicketInput, trace_id: str) -> Row | None:
    for _ in range(_MOST_TRIES):
        values = {
            "id": new_id(),
            "number": new_ticket_number(),
            "ticket_type": given.ticket_type,
            "appointment": given.appointment_id,
            "patient": given.patient_id,
            "doctor": who.party_id,
            "receiver": given.receiver_id,
            "trace_id": (trace_id or new_trace_id())[:64],
        }
        try:
            with database.atomic():
                made = fetch_all(_INSERT, values)
        except peewee.IntegrityError as error:
            if constraint(error) != "healthcare_tickets_ticket_number_key":
                raise
            continue
        return visible_ticket(made[0][0]) if made else None
    raise TicketError("no ticket number is free; try again", code="NO_TICKET_NUMBER")


def _require_patient(given: TicketInput) -> None:
    if not fetch_all("SELECT id FROM care_find_patient(%s, '')", (given.patient_id,)):
        raise TicketError("there is no such patient, or not any more", code="PATIENT_NOT_FOUND", field="patient_id")


def _require_receiver(who: Identity, given: TicketInput) -> None:
    kind = RECEIVERS[given.ticket_type]
    if given.receiver_id == who.party_id or not fetch_dicts(
        "SELECT id FROM care_parties WHERE id = %s AND kind = %s AND active", (given.receiver_id, kind)
    ):
        message = f"there is no {kind} that this could be sent to under this id, or not any more; choose another one"
        raise TicketError(message, code="RECEIVER_NOT_FOUND", field="receiver_id")
