"""One ticket for those whom it concerns: what was prescribed, what is said and what happened, side by side.

Everything is asked of the tickets' own modules as who is signed in. A look changes nothing: receiving and reading are
posts, which a page makes by itself where it has scripts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from flask import Blueprint, abort, flash, jsonify, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import TICKETS, needs
from dashboard.acting import acting_identity
from dashboard.context import back_or, reason_given
from dashboard.courier_order import safe_link
from dashboard.courier_queries import as_uuid
from dashboard.errors import wants_json
from dashboard.ticket_words import happenings, move_words, refusal, size_words, spoken_of
from dashboard.ticket_words import ticket_state as state_words
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import MOST_BODY, MessageInput, TicketError
from dispatchlog.systems.tickets.messages import MessagePage, mark_read, message_page, send_message
from dispatchlog.systems.tickets.reading import TicketState, ticket_state, ticket_timeline
from dispatchlog.systems.tickets.states import KIND_WORDS, TYPE_WORDS, Side, TicketStatus

pages = Blueprint("ticket", __name__, url_prefix="/tickets/<uuid:ticket_id>")

PAGE_MESSAGES = 50
# How many a page that was away for long is given at once; it asks again while there are more.
MOST_NEW = 200
# How many of the newest statuses a message may be said to speak of.
MOST_TO_SPEAK_OF = 12
CHANGED_SINCE = "The ticket moved on after this page was opened, so it was not cancelled. Look at it anew, then decide."
NOT_CONFIRMED = "Tick that you want it cancelled; it cannot be taken back."


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody has written and not sent yet; the same id again is the same message."""

    message_id: UUID = field(default_factory=uuid4)
    body: str = ""
    timeline_id: int | None = None
    problem: str = ""


@pages.get("")
@needs(TICKETS)
def show(ticket_id: UUID) -> str:
    """The ticket with its newest messages, or with those before a number."""
    return _page(ticket_id, Draft())


@pages.get("/since")
@needs(TICKETS)
def since(ticket_id: UUID) -> str:
    """The messages after a number, and all else of the page that may have changed, for a page that is open."""
    who, state = _found(ticket_id)
    after = _number("number") or 0
    return render_template("ticket_since.html", **_shown(who, state, _messages(who, state, after=after)), draft=Draft())


@pages.post("/open")
@needs(TICKETS)
def receive(ticket_id: UUID) -> Response:
    """The receiver has opened it; whoever else says so just reads it."""
    try:
        _, received = open_ticket(acting_identity(), ticket_id)
    except TicketError as error:
        return _refused(ticket_id, error)
    if wants_json():
        return jsonify(received=received)
    if received:
        flash("Received. The doctor sees that you have it.", "good")
    return _back(ticket_id)


@pages.post("/read")
@needs(TICKETS)
def read(ticket_id: UUID) -> Response:
    """Everything up to a number was read."""
    who, state = _found(ticket_id)
    number = _number("number")
    if number is None:
        abort(400)
    try:
        member = mark_read(who, state.thread["id"], number)
    except TicketError as error:
        return _refused(ticket_id, error)
    return jsonify(read_number=member["read_number"]) if wants_json() else _back(ticket_id)


@pages.post("/messages")
@needs(TICKETS)
def send(ticket_id: UUID) -> Response | tuple[str, int]:
    """One message, however often the same form is sent; what was written stays in the form where it is refused."""
    who, state = _found(ticket_id)
    message_id = as_uuid(request.form.get("message_id", ""))
    if message_id is None:
        abort(400)
    body = request.form.get("body", "").replace("\r\n", "\n").strip()
    draft = Draft(message_id, body, _number("timeline_id"))
    try:
        message, _ = send_message(
            who, state.thread["id"], MessageInput(message_id, body=body, timeline_id=draft.timeline_id)
        )
    except TicketError as error:
        return _unsent(ticket_id, draft, error)
    if wants_json():
        return jsonify(number=message["number"], next_message_id=uuid4())
    return redirect(url_for("ticket.show", ticket_id=ticket_id, _anchor=f"message-{message['number']}"), 303)


@pages.post("/move")
@needs(TICKETS)
def move(ticket_id: UUID) -> Response:
    """To another status, as far as who is signed in may move it there."""
    try:
        status = TicketStatus(request.form.get("status", ""))
    except ValueError:
        abort(400)
    who, state = _found(ticket_id)
    if status is TicketStatus.CANCELLED and (problem := _not_to_be_cancelled(state)):
        flash(problem, "bad")
        return _back(ticket_id)
    try:
        ticket, moved = move_ticket(who, ticket_id, status, reason=reason_given())
    except TicketError as error:
        return _refused(ticket_id, error)
    words = state_words(ticket["status"], ticket["ticket_type"]).label
    flash(f"{words}. Everybody concerned sees it." if moved else f"{words} before; nothing changed.", "good")
    return _back(ticket_id)


def _not_to_be_cancelled(state: TicketState) -> str:
    """Why it is not cancelled yet: no reason, no confirmation, or another status than was looked at."""
    if not reason_given():
        return refusal(TicketError("", code="REASON_REQUIRED"))
    if request.form.get("confirm") != "yes":
        return NOT_CONFIRMED
    return CHANGED_SINCE if request.form.get("shown") not in (None, state.ticket["status"]) else ""


def _found(ticket_id: UUID) -> tuple[Identity, TicketState]:
    """Who asks and the ticket; 404 where it is not theirs to see."""
    who = acting_identity()
    try:
        return who, ticket_state(who, ticket_id)
    except TicketError as error:
        if error.code != "TICKET_NOT_FOUND":
            raise
        abort(404)


def _messages(who: Identity, state: TicketState, *, after: int | None = None) -> MessagePage:
    before = _number("before") if after is None else None
    limit = PAGE_MESSAGES if after is None else MOST_NEW
    return message_page(who, state.thread["id"], before=before, after=after, limit=limit)


def _page(ticket_id: UUID, draft: Draft) -> str:
    who, state = _found(ticket_id)
    shown = _messages(who, state)
    return render_template(
        "ticket.html",
        **_shown(who, state, shown),
        draft=draft,
        most_body=MOST_BODY,
        list_address=back_or(url_for("tickets.every_ticket")),
    )


def _shown(who: Identity, state: TicketState, page: MessagePage) -> dict[str, Any]:
    """What the page and its renewal are drawn from."""
    ticket = state.ticket
    others = [row for row in state.reading if row["party_id"] != who.party_id]
    lines = happenings(ticket_timeline(who, ticket["id"]), ticket["ticket_type"])
    return {
        "who": who,
        "ticket": ticket,
        "state": state_words(ticket["status"], ticket["ticket_type"]),
        "type_words": TYPE_WORDS[ticket["ticket_type"]],
        "kind_words": KIND_WORDS,
        "side": state.side,
        "parties": [(side, state.parties[side]) for side in (Side.PRIMARY, Side.SECONDARY, Side.PATIENT)],
        "thread": state.thread,
        "prescription": state.prescription,
        "items": state.items,
        "moves": [(to, move_words(to, ticket["ticket_type"])) for to in state.moves],
        "may_receive": state.side is Side.SECONDARY and ticket["status"] == TicketStatus.SENT,
        "write_address": url_for("prescription_form.write", ticket_id=ticket["id"])
        if TicketStatus.SENT in state.moves
        else "",
        "closed": ticket["status"] == TicketStatus.CANCELLED,
        "page": page,
        "marks": reading_marks(page, others),
        "reading": others,
        "lines": lines,
        "to_speak_of": [line for line in reversed(lines) if line.is_status][:MOST_TO_SPEAK_OF],
        "spoken_of": spoken_of,
        "safe_link": safe_link,
        "size_words": size_words,
    }


def reading_marks(page: MessagePage, reading: Sequence[Row]) -> Mapping[int, list[Row]]:
    """After which of the shown messages who has stopped reading: members by the message's number."""
    marks: dict[int, list[Row]] = {}
    numbers = [message["number"] for message in page.messages]
    for member in reading:
        read_ones = [number for number in numbers if number <= member["read_number"]]
        if read_ones and not (page.has_newer and read_ones[-1] == numbers[-1]):
            marks.setdefault(read_ones[-1], []).append(member)
    return marks


def _unsent(ticket_id: UUID, draft: Draft, error: TicketError) -> Response | tuple[str, int]:
    """The form again with what was written; after an id that was used for something else, with a new one."""
    if error.code in ("TICKET_NOT_FOUND", "THREAD_NOT_FOUND"):
        abort(404)
    status = 409 if error.code in ("MESSAGE_ID_REUSED", "THREAD_CLOSED") else 422
    fresh = uuid4() if error.code == "MESSAGE_ID_REUSED" else draft.message_id
    if wants_json():
        answer = jsonify(code=error.code, message=refusal(error), next_message_id=fresh)
        answer.status_code = status
        return answer
    return _page(ticket_id, Draft(fresh, draft.body, draft.timeline_id, refusal(error))), status


def _refused(ticket_id: UUID, error: TicketError) -> Response:
    if error.code in ("TICKET_NOT_FOUND", "THREAD_NOT_FOUND"):
        abort(404)
    if error.code.startswith("PERSON_"):
        raise error
    if wants_json():
        answer = jsonify(code=error.code, message=refusal(error))
        answer.status_code = 409
        return answer
    flash(refusal(error), "bad")
    return _back(ticket_id)


def _back(ticket_id: UUID) -> Response:
    return redirect(url_for("ticket.show", ticket_id=ticket_id), 303)


def _number(name: str) -> int | None:
    """A message's or an entry's number that the request names; None: it names none that can be one."""
    text = request.values.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
