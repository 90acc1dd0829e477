"""A doctor begins a ticket: for which appointment and patient, and for whom. Saying it again makes no second."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import TICKETS, needs
from dashboard.acting import acting_identity
from dashboard.context import line_given
from dashboard.courier_queries import as_uuid
from dashboard.party_wording import RECEIVER_WORDS
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import TicketError, TicketInput
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.parties import find_patient, find_receivers
from dispatchlog.systems.tickets.states import RECEIVERS, TYPE_WORDS, PartyKind, TicketStatus, TicketType

pages = Blueprint("ticket_new", __name__, url_prefix="/tickets/new")

MOST_RECEIVERS = 50
# Which field of the form a refusal is about, and what it says there.
_REFUSALS: Mapping[str, tuple[str, str]] = {
    "PATIENT_NOT_FOUND": ("patient", "There is no patient of this id or address."),
    "RECEIVER_NOT_FOUND": ("receiver", "They do not receive anything any more; choose another one."),
    "TICKET_ALREADY_SENT": (
        "receiver",
        "This appointment's ticket was sent to somebody else already; see your tickets.",
    ),
    "TICKET_OF_ANOTHER": ("appointment", "The ticket of this appointment is another doctor's or patient's."),
}


@pages.get("")
@needs(TICKETS)
def ask() -> str:
    """The form; a link may name the type, the appointment and the patient's id."""
    given = {name: request.args.get(name, "")[:64] for name in ("appointment", "patient")}
    # An address of somebody has no place in a URL, so none is taken from there.
    given["patient"] = given["patient"] if as_uuid(given["patient"]) else ""
    return _form(_doctor(), _type(request.args.get("type", "")), given)


@pages.post("")
@needs(TICKETS)
def begin() -> str | Response | tuple[str, int]:
    """To where the ticket is written; to the form again for a search of receivers, or with what is wrong."""
    who = _doctor()
    ticket_type = _type(request.form.get("type", ""))
    given = {name: line_given(name, most=320) for name in ("appointment", "patient", "receiver", "find")}
    if request.form.get("do") == "find":
        return _form(who, ticket_type, given)
    told, problems = _read(who, ticket_type, given)
    if told is None:
        return _form(who, ticket_type, given, problems), 400
    try:
        ticket, _ = choose_receiver(who, told)
    except TicketError as error:
        return _form(who, ticket_type, given, _refusal(error)), 409
    if ticket["status"] != TicketStatus.CREATED:
        flash("This appointment's ticket was sent before; here it is.", "warn")
        return redirect(url_for("ticket.show", ticket_id=ticket["id"]), 303)
    return redirect(url_for("prescription_form.write", ticket_id=ticket["id"]), 303)


def receivers_to_choose(who: Identity, ticket_type: TicketType, text: str) -> tuple[Sequence[Row], bool]:
    """Who may receive a ticket of this type, by name, never oneself; and whether there are more than are shown."""
    found = find_receivers(who, kind=RECEIVERS[ticket_type], text=text, limit=MOST_RECEIVERS + 2)
    others = [row for row in found if row["id"] != who.party_id]
    return others[:MOST_RECEIVERS], len(others) > MOST_RECEIVERS


def _doctor() -> Identity:
    who = acting_identity()
    if who.kind is not PartyKind.DOCTOR:
        abort(403)
    return who


def _type(value: str) -> TicketType:
    return TicketType(value) if value in TYPE_WORDS else TicketType.PRESCRIPTION


def _read(
    who: Identity, ticket_type: TicketType, given: Mapping[str, str]
) -> tuple[TicketInput | None, Mapping[str, str]]:
    """What the form tells; None with what is wrong, by field."""
    appointment, receiver = as_uuid(given["appointment"]), as_uuid(given["receiver"])
    patient = find_patient(who, given["patient"]) if given["patient"] else None
    problems = {}
    if appointment is None:
        problems["appointment"] = "An appointment's id looks like 1b4e28ba-2fa1-11d2-883f-0016d3cca427."
    if patient is None:
        problems["patient"] = "There is no patient of exactly this id or address." if given["patient"] else "Name them."
    if receiver is None:
        problems["receiver"] = f"Choose the {RECEIVER_WORDS[ticket_type]} who shall receive it."
    if appointment is None or patient is None or receiver is None:
        return None, problems
    return TicketInput(ticket_type, appointment, patient["id"], receiver), {}


def _refusal(error: TicketError) -> Mapping[str, str]:
    field, words = _REFUSALS.get(error.code, ("", f"{error}"))
    return {field: words}


def _form(
    who: Identity, ticket_type: TicketType, given: Mapping[str, str], problems: Mapping[str, str] | None = None
) -> str:
    receivers, more = receivers_to_choose(who, ticket_type, given.get("find", ""))
    return render_template(
        "ticket_new.html",
        ticket_type=ticket_type,
        types=TYPE_WORDS,
        receiver_word=RECEIVER_WORDS[ticket_type],
        given=given,
        problems=problems or {},
        receivers=receivers,
        more=more,
    )
