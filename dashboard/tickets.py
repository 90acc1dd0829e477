"""The list of one's own tickets: a pharmacy's inbox, a doctor's, a patient's; its search and file. Changes no ticket."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from dashboard.access import TICKETS, needs
from dashboard.acting import acting_identity
from dashboard.context import line_given
from dashboard.dispatch_list import remember_search
from dashboard.export import attachment
from dashboard.party_wording import patient_sentence, tabs_of, ticket_status, wait_of
from dashboard.ticket_export import TicketsFile
from dashboard.ticket_filter import FIELDS, SORTS, TicketsFilter, is_number, parse_tickets_filter
from dashboard.ticket_numbers import number_of, number_unread
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.reading import ticket_page
from dispatchlog.systems.tickets.states import TYPE_WORDS, PartyKind, Side, TicketStatus

pages = Blueprint("tickets", __name__, url_prefix="/tickets")

PAGE_ROWS = 50
_HEADINGS = {PartyKind.DOCTOR: "Your tickets", PartyKind.PATIENT: "Your prescriptions and requests"}


@pages.get("")
@needs(TICKETS)
def every_ticket() -> str:
    """The tickets that the address asks for, in the words of whoever looks."""
    who = acting_identity()
    wanted = _wanted()
    return render_template(
        "tickets.html",
        who=who,
        is_patient=who.kind is PartyKind.PATIENT,
        is_doctor=who.kind is PartyKind.DOCTOR,
        heading=_HEADINGS.get(who.kind, "Inbox"),
        wanted=wanted,
        tabs=tabs_of(who.kind),
        types=TYPE_WORDS,
        sorts=SORTS,
        page=ticket_page(who, wanted.query(limit=PAGE_ROWS)),
        number_of=number_of,
        unread=number_unread(),
        status_of=lambda row: ticket_status(who.kind, row),
        sentence_of=patient_sentence,
        wait_of=wait_of,
        address_of=_ticket_page,
        link=lambda **changes: url_for("tickets.every_ticket", **wanted.arguments(**changes)),
        now=datetime.now(UTC),
    )


@pages.post("/search")
@needs(TICKETS)
def search() -> BaseResponse:
    """To the list that the form asks for. What may be a patient's name goes into the session, not into the URL."""
    text = line_given("q", most=200)
    arguments: dict[str, Any] = {name: value for name in FIELDS if (value := request.form.get(name))}
    if text and is_number(text):
        arguments["q"] = text
    elif text:
        arguments["found"] = remember_search(text)
    return redirect(url_for("tickets.every_ticket", **arguments), 303)


@pages.post("/export")
@needs(TICKETS)
def export() -> Response:
    """The list that the address asks for, as a CSV file."""
    wanted = _wanted()
    if wanted.problems:
        # Half a filter would let out more than was meant.
        abort(400, " ".join(wanted.problems))
    return attachment(TicketsFile(wanted, acting_identity()), "tickets", "csv")


def _wanted() -> TicketsFilter:
    return parse_tickets_filter(request.args, acting_identity().kind, session.get("searches"))


def _ticket_page(row: Row) -> str:
    """Where a ticket is seen to: a doctor's unfinished one where it is written."""
    if row["status"] == TicketStatus.CREATED and row["side"] == Side.PRIMARY:
        return url_for("prescription_form.write", ticket_id=row["id"])
    return url_for("ticket.show", ticket_id=row["id"])
