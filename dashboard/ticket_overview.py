"""All tickets as staff see them: whose, when and how far. What is in one opens for a quarter of an hour, for a reason that
its parties can read; every look is kept.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import EMERGENCY, OVERSEE, may, needs
from dashboard.acting import overseer
from dashboard.context import back_or, line_given, reason_given
from dashboard.courier_order import safe_link
from dashboard.courier_queries import as_uuid
from dashboard.filters import Position as Place
from dashboard.filters import parse_position
from dashboard.ticket_overview_queries import access_until, notifications_of
from dashboard.ticket_words import (
    NOTIFICATIONS,
    TICKET_STATES,
    happenings,
    size_words,
    spoken_of,
    ticket_state,
)
from dispatchlog.systems.tickets.inputs import TicketError
from dispatchlog.systems.tickets.overview import (
    EMERGENCY_MINUTES,
    LEAST_REASON,
    OverviewQuery,
    TicketOverview,
    emergency_content,
    open_emergency_access,
    overview_page,
)
from dispatchlog.systems.tickets.overview import ticket_overview as find_overview
from dispatchlog.systems.tickets.reading import Position
from dispatchlog.systems.tickets.states import KIND_WORDS, TYPE_WORDS, TicketStatus, TicketType

pages = Blueprint("ticket_overview", __name__, url_prefix="/ticket-overview")

PAGE_TICKETS = 50
# A beginning of a ticket's number. Anything else, such as a name, is looked up nowhere and stands in no address.
_NUMBER = re.compile(r"TKT(?:-[0-9]{0,8}(?:(?<=[0-9]{8})-[A-Z0-9]{0,5})?)?")
WHAT_IS_FOUND = (
    "Search for a ticket number or its beginning (TKT-…), or for the whole id of a ticket, appointment or party."
)
OVER = "Your access to what is in this ticket is over. Say why if you need to look again."
TOO_SHORT = f"Say why in at least {LEAST_REASON} characters: doctor, receiver and patient can read it."
MISTYPED = "Type the number of the ticket exactly, so that it is the right one that opens."


@pages.get("")
@needs(OVERSEE)
def every_ticket() -> str:
    """Every ticket, the newest first, with its patient's name masked."""
    problems: list[str] = []
    wanted = _wanted(problems)
    rows, following = overview_page(overseer(), wanted)
    chosen = {
        "status": [status.value for status in wanted.statuses],
        "type": wanted.ticket_type and wanted.ticket_type.value,
        "q": wanted.text,
    }

    def link(**changes: Any) -> str:
        arguments = {name: value for name, value in {**chosen, **changes}.items() if value}
        return url_for("ticket_overview.every_ticket", **arguments)

    return render_template(
        "ticket_overview.html",
        rows=rows,
        wanted=wanted,
        problems=problems,
        states=TICKET_STATES,
        types=TYPE_WORDS,
        state_words=ticket_state,
        link=link,
        here=request.full_path,
        first=link() if wanted.after else None,
        older=link(at=str(Place(following.at, following.ticket_id))) if following else None,
    )


@pages.post("")
@needs(OVERSEE)
def search() -> Response:
    """The list of what the form asks for."""
    text = line_given("q", most=80)
    number = text.upper()
    if text and not _NUMBER.fullmatch(number) and as_uuid(text) is None:
        flash(WHAT_IS_FOUND, "bad")
        text = number = ""
    arguments: dict[str, Any] = {
        "status": request.form.getlist("status"),
        "type": request.form.get("type"),
        "q": number if _NUMBER.fullmatch(number) else text,
    }
    address = url_for("ticket_overview.every_ticket", **{name: value for name, value in arguments.items() if value})
    return redirect(address, 303)


@pages.get("/<uuid:ticket_id>")
@needs(OVERSEE)
def show(ticket_id: UUID) -> str:
    """One ticket without anything that was written."""
    found = _found(ticket_id)
    return _page(found)


@pages.post("/<uuid:ticket_id>/emergency")
@needs(EMERGENCY)
def open_content(ticket_id: UUID) -> Response | tuple[str, int]:
    """Open what is in it for a quarter of an hour."""
    found = _found(ticket_id)
    reason = reason_given()
    problem = TOO_SHORT if len(reason) < LEAST_REASON else ""
    if not problem and line_given("number", most=40).upper() != found.ticket["ticket_number"]:
        problem = MISTYPED
    if problem:
        return _page(found, problem=problem, reason=reason), 422
    try:
        open_emergency_access(overseer(), ticket_id, reason=reason)
    except TicketError as error:
        if error.code == "TICKET_NOT_FOUND":
            abort(404)
        if error.code == "NOT_ALLOWED":
            abort(403)
        return _page(found, problem=TOO_SHORT, reason=reason), 422
    return redirect(url_for("ticket_overview.content", ticket_id=ticket_id), 303)


@pages.get("/<uuid:ticket_id>/content")
@needs(EMERGENCY)
def content(ticket_id: UUID) -> str | Response:
    """What is in it, while the access is open; that it was looked at is kept with the reading itself."""
    found = _found(ticket_id)
    who = overseer()
    before = _before()
    until = access_until(who, ticket_id)
    try:
        prescription, items, messages = emergency_content(who, ticket_id, before=before)
    except TicketError as error:
        if error.code != "EMERGENCY_ACCESS_OVER":
            raise
        until = None
    if until is None:
        flash(OVER, "bad")
        return redirect(url_for("ticket_overview.show", ticket_id=ticket_id), 303)
    ticket = found.ticket
    return render_template(
        "ticket_content.html",
        ticket=ticket,
        state=ticket_state(ticket["status"], ticket["ticket_type"]),
        type_words=TYPE_WORDS[ticket["ticket_type"]],
        kind_words=KIND_WORDS,
        prescription=prescription,
        items=items,
        messages=messages,
        older=messages[0]["number"] if messages and messages[0]["number"] > 1 else None,
        newest=before is not None,
        until=until,
        spoken_of=spoken_of,
        safe_link=safe_link,
        size_words=size_words,
    )


def _wanted(problems: list[str]) -> OverviewQuery:
    """What the address asks for; what cannot be read is named and left out."""
    known = {status.value: status for status in TicketStatus}
    statuses = [known[value] for value in request.args.getlist("status") if value in known]
    kind = request.args.get("type", "")
    text = request.args.get("q", "").strip()[:80]
    if text and not _NUMBER.fullmatch(text) and as_uuid(text) is None:
        problems.append(WHAT_IS_FOUND)
        text = ""
    place = parse_position(request.args.get("at", ""), problems)
    return OverviewQuery(
        statuses=tuple(statuses),
        ticket_type=TicketType(kind) if kind in set(TicketType) else None,
        text=text,
        after=Position(place.at, place.id) if place else None,
        limit=PAGE_TICKETS,
    )


def _found(ticket_id: UUID) -> TicketOverview:
    try:
        return find_overview(overseer(), ticket_id)
    except TicketError as error:
        if error.code != "TICKET_NOT_FOUND":
            raise
        abort(404)


def _page(found: TicketOverview, *, problem: str = "", reason: str = "") -> str:
    ticket = found.ticket
    until: datetime | None = access_until(overseer(), ticket["id"]) if may(EMERGENCY) else None
    return render_template(
        "ticket_overview_one.html",
        ticket=ticket,
        state=ticket_state(ticket["status"], ticket["ticket_type"]),
        type_words=TYPE_WORDS[ticket["ticket_type"]],
        kind_words=KIND_WORDS,
        lines=happenings(found.timeline, ticket["ticket_type"]),
        reading=found.reading,
        messages=found.messages,
        notifications=notifications_of(ticket["id"]),
        notification_words=NOTIFICATIONS,
        until=until,
        minutes=EMERGENCY_MINUTES,
        problem=problem,
        reason=reason,
        here=url_for("ticket_overview.show", ticket_id=ticket["id"]),
        list_address=back_or(url_for("ticket_overview.every_ticket")),
    )


def _before() -> int | None:
    """The number before which messages are asked for; None: the newest."""
    text = request.args.get("before", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
