"""Where a doctor writes what a ticket is for, keeps it unfinished, looks it over and sends it. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import TICKETS, needs
from dashboard.acting import acting_identity
from dashboard.context import line_given
from dashboard.courier_queries import as_uuid
from dashboard.party_wording import RECEIVER_WORDS
from dashboard.prescription_fields import (
    FORMS,
    fault_told,
    faults_of,
    fields_of,
    fingerprint,
    notes_of,
    read_form,
    rows_of,
    text_of,
    to_input,
    without_empty_rows,
)
from dashboard.ticket_new import receivers_to_choose
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import MOST_ITEMS, Draft, TicketError, TicketInput
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.prescribing import keep_draft, kept_draft, save_prescription
from dispatchlog.systems.tickets.reading import TicketState, ticket_state
from dispatchlog.systems.tickets.states import Side, TicketStatus, TicketType

pages = Blueprint("prescription_form", __name__, url_prefix="/tickets/<uuid:ticket_id>/prescription")

# The ticket is sent, ended or somebody else's: there is nothing to write any more.
_OVER = ("TICKET_ALREADY_SENT", "TICKET_ENDED", "PRESCRIPTION_FIXED", "NOT_YOUR_TICKET")


@pages.get("")
@needs(TICKETS)
def write(ticket_id: UUID) -> str:
    """The form with what was kept."""
    who, state = _open_ticket(ticket_id)
    return _form(who, state, kept_draft(who, ticket_id) or {})


@pages.post("")
@needs(TICKETS)
def change(ticket_id: UUID) -> Response | tuple[str, int]:
    """Keep what the form holds; then what its button says: a row more or less, another receiver, looking it over."""
    who, state = _open_ticket(ticket_id)
    draft, asked = read_form(request.form), request.form.get("do", "draft")
    action, _, number = asked.partition(":")
    draft = _with_rows(draft, action, number)
    faults = _keep(who, ticket_id, draft)
    if action in ("review", "receiver") and not faults:
        faults = _change_receiver(who, state)
    if action == "review":
        faults = faults or faults_of(draft, TicketType(state.ticket["ticket_type"]))
    if faults:
        return _form(who, state, draft, faults), 400
    return Response(status=204) if action == "autosave" else _onwards(ticket_id, action, draft)


@pages.get("/confirm")
@needs(TICKETS)
def confirm(ticket_id: UUID) -> str | Response:
    """Exactly what would be sent, and to whom."""
    who, state = _open_ticket(ticket_id)
    draft = kept_draft(who, ticket_id) or {}
    ticket_type = TicketType(state.ticket["ticket_type"])
    if faults_of(draft, ticket_type):
        flash("Put right what is missing, then look it over again.", "warn")
        return redirect(url_for("prescription_form.write", ticket_id=ticket_id), 303)
    return render_template(
        "prescription_confirm.html",
        state=state,
        words=FORMS[ticket_type],
        receiver_word=RECEIVER_WORDS[ticket_type],
        parties=state.parties,
        Side=Side,
        items=rows_of(draft),
        notes=notes_of(draft),
        fields_of=lambda item: fields_of(ticket_type, item),
        text_of=text_of,
        shown=fingerprint(draft, state.parties[Side.SECONDARY]["id"]),
    )


@pages.post("/send")
@needs(TICKETS)
def send(ticket_id: UUID) -> Response:
    """Save and send what was shown; where that has changed meanwhile, it is shown again."""
    who, state = _open_ticket(ticket_id)
    draft = kept_draft(who, ticket_id) or {}
    receiver = state.parties[Side.SECONDARY]
    if faults_of(draft, TicketType(state.ticket["ticket_type"])) or request.form.get("shown") != fingerprint(
        draft, receiver["id"]
    ):
        flash("Nothing was sent: it was changed meanwhile. Look it over once more.", "warn")
        return redirect(url_for("prescription_form.confirm", ticket_id=ticket_id), 303)
    try:
        save_prescription(who, ticket_id, to_input(draft), receiver_id=receiver["id"])
    except TicketError as error:
        if error.code == "RECEIVER_CHANGED":
            flash("Nothing was sent: it was changed meanwhile. Look it over once more.", "warn")
            return redirect(url_for("prescription_form.confirm", ticket_id=ticket_id), 303)
        if error.code in _OVER:
            return _leave(ticket_id, "It was not sent again: the ticket has moved on. This is how it stands.")
        flash(f"Nothing was sent. {next(iter(fault_told(error).values()))}", "bad")
        return redirect(url_for("prescription_form.write", ticket_id=ticket_id), 303)
    flash(f"Sent to {receiver['name']}.", "good")
    return redirect(_ticket_address(ticket_id), 303)


def _open_ticket(ticket_id: UUID) -> tuple[Identity, TicketState]:
    """The ticket, while its doctor may write; whoever may not is led to its page."""
    who = acting_identity()
    try:
        state = ticket_state(who, ticket_id)
    except TicketError as error:
        if error.code != "TICKET_NOT_FOUND":
            raise
        abort(404)
    if state.side is not Side.PRIMARY:
        abort(redirect(_ticket_address(ticket_id), 303))
    if state.ticket["status"] != TicketStatus.CREATED:
        abort(_leave(ticket_id, "It was sent or ended already, so it stays as it is."))
    return who, state


def _with_rows(draft: Draft, action: str, number: str) -> Draft:
    """The draft with one row more or less, or without empty ones to be looked over."""
    rows = rows_of(draft)
    if action == "add" and len(rows) < MOST_ITEMS:
        return {**draft, "items": [*rows, {}]}
    if action == "remove" and number.isdigit():
        return {**draft, "items": [row for at, row in enumerate(rows) if at != int(number[:4])]}
    return without_empty_rows(draft) if action == "review" else draft


def _keep(who: Identity, ticket_id: UUID, draft: Draft) -> Mapping[str, str]:
    """Keep it as the draft; why that cannot be comes back."""
    try:
        keep_draft(who, ticket_id, draft)
    except TicketError as error:
        if error.code in _OVER:
            abort(_leave(ticket_id, "It was sent or ended meanwhile, so nothing was changed."))
        return fault_told(error)
    return {}


def _change_receiver(who: Identity, state: TicketState) -> Mapping[str, str]:
    """Have the ticket go to whom the form chose; why that cannot be comes back."""
    chosen = as_uuid(request.form.get("receiver", ""))
    ticket = state.ticket
    if chosen is None or chosen == ticket["secondary_provider_id"]:
        return {}
    told = TicketInput(TicketType(ticket["ticket_type"]), ticket["appointment_id"], ticket["patient_id"], chosen)
    try:
        choose_receiver(who, told)
    except TicketError as error:
        if error.code in _OVER:
            abort(_leave(ticket["id"], "It was sent meanwhile, so its receiver stays."))
        return {"receiver": "They do not receive anything any more; choose another one."}
    return {}


def _onwards(ticket_id: UUID, action: str, draft: Draft) -> Response:
    if action == "review":
        return redirect(url_for("prescription_form.confirm", ticket_id=ticket_id), 303)
    find = place = None
    if action == "add":
        place = f"item-{len(rows_of(draft))}"
    elif action == "find":
        find, place = line_given("find", most=200), "receiver"
    elif action == "receiver":
        flash("It goes to whom you chose now.", "good")
    elif action == "draft":
        flash("The draft is kept. Nothing was sent.", "good")
    return redirect(url_for("prescription_form.write", ticket_id=ticket_id, find=find, _anchor=place), 303)


def _form(who: Identity, state: TicketState, draft: Draft, faults: Mapping[str, str] | None = None) -> str:
    ticket_type = TicketType(state.ticket["ticket_type"])
    find = request.args.get("find", "")[:200].replace("\x00", "")
    receivers, more = receivers_to_choose(who, ticket_type, find)
    return render_template(
        "prescription.html",
        state=state,
        words=FORMS[ticket_type],
        receiver_word=RECEIVER_WORDS[ticket_type],
        receiver=state.parties[Side.SECONDARY],
        patient=state.parties[Side.PATIENT],
        items=rows_of(draft) or [{}],
        notes=notes_of(draft),
        fields_of=lambda item: fields_of(ticket_type, item),
        text_of=text_of,
        faults=faults or {},
        receivers=receivers,
        more=more,
        find=find,
        choosing="find" in request.args or "receiver" in (faults or {}),
        most_items=MOST_ITEMS,
        ticket_address=_ticket_address(state.ticket["id"]),
    )


def _leave(ticket_id: UUID, words: str) -> Response:
    flash(words, "warn")
    return redirect(_ticket_address(ticket_id), 303)


def _ticket_address(ticket_id: UUID) -> str:
    return url_for("ticket.show", ticket_id=ticket_id)
