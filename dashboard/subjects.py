"""The story of one subject, such as an order or a patient, over all lanes, and the search for it. Shows; changes nothing
but the remembered search.
"""

from __future__ import annotations

from dataclasses import dataclass

from flask import Blueprint, abort, g, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from dashboard.access import READ, needs
from dashboard.context import back_or
from dashboard.courier_queries import as_uuid, find_orders, orders_by_id
from dashboard.dispatch_queries import references_of
from dashboard.filters import LEAST_SEARCH_CHARACTERS, MOST_SEARCH_CHARACTERS
from dashboard.lanes import visible_lanes
from dashboard.presentation import business_keys
from dashboard.story import Entry, tell
from dashboard.subject_queries import Subject, dispatches_of, find_subjects, timelines
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.courier.changes import SUBJECT, subject_of
from dispatchlog.systems.outreach.lane import SUBJECT as PATIENT
from dispatchlog.systems.tickets.notifications import SUBJECT as TICKET

pages = Blueprint("subjects", __name__, url_prefix="/stories")

# A search that may be somebody's address stays in the session, out of every address and log.
SEARCH = "story_search"
# How many pharmacy orders a search shows.
MOST_ORDERS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the story: what happened, and to which of the subject's dispatches."""

    entry: Entry
    row: Row


@pages.get("")
@needs(READ)
def find() -> str:
    """The search, and what it found."""
    text = str(session.get(SEARCH, "")) if request.args.get("found") else request.args.get("q", "").strip()
    text = text.replace("\x00", "")[:MOST_SEARCH_CHARACTERS]
    short = bool(text) and len(text) < LEAST_SEARCH_CHARACTERS
    found = find_subjects(text, visible_lanes()) if text and not short else []
    orders = orders_by_id(find_orders(text)[:MOST_ORDERS]) if text and not short else []
    problems = [f"Search for at least {LEAST_SEARCH_CHARACTERS} characters."] if short else []
    return render_template(
        "stories.html", text=text, found=found, orders=orders, problems=problems, searched=text and not short
    )


@pages.post("")
@needs(READ)
def search() -> Response:
    """To the story that the search finds, or to the choice of several."""
    text = request.form.get("q", "").strip().replace("\x00", "")[:MOST_SEARCH_CHARACTERS]
    if len(text) >= LEAST_SEARCH_CHARACTERS:
        found: list[Subject] = find_subjects(text, visible_lanes())
        orders = find_orders(text)
        if len(orders) == 1 and {subject.id for subject in found} <= {subject_of(orders[0])}:
            return redirect(url_for("courier_order.show", order_id=orders[0]), 303)
        if len(found) == 1 and not orders:
            return redirect(url_for("subjects.show", subject=found[0].id), 303)
    if "@" in text or text.startswith("+"):
        session[SEARCH] = text
        return redirect(url_for("subjects.find", found=1), 303)
    return redirect(url_for("subjects.find", q=text or None), 303)


@pages.get("/story")
@needs(READ)
def show() -> str:
    """Everything that happened to the subject's dispatches, in the order of time."""
    subject_id = request.args.get("subject", "").replace("\x00", "")
    rows = dispatches_of(subject_id, visible_lanes()) if subject_id else []
    if not rows:
        abort(404)
    g.read_subject = subject_id
    return render_template(
        "story.html",
        subject_id=subject_id,
        order_id=as_uuid(subject_id.removeprefix(SUBJECT)) if subject_id.startswith(SUBJECT) else None,
        patient_id=as_uuid(subject_id.removeprefix(PATIENT)) if subject_id.startswith(PATIENT) else None,
        ticket_id=as_uuid(subject_id.removeprefix(TICKET)) if subject_id.startswith(TICKET) else None,
        name=_name(rows, subject_id),
        rows=rows,
        lines=_lines(rows),
        titles={lane.name: lane.title for lane in visible_lanes()},
        list_address=back_or(url_for("subjects.find")),
    )


def _lines(rows: list[Row]) -> list[Line]:
    ids = [row["id"] for row in rows]
    events, names = timelines(ids), references_of(ids)
    lines = [Line(entry, row) for row in rows for entry in tell(row["lane"], events[row["id"]], names[row["id"]])]
    return sorted(lines, key=lambda line: line.entry.at)


def _name(rows: list[Row], subject_id: str) -> str:
    """The business keys that all of its dispatches have, such as an order's number."""
    if subject_id.startswith(PATIENT):
        return "messages to a patient"
    common = [key for key in business_keys(rows[0]["search_keys"]) if all(key in row["search_keys"] for row in rows)]
    return " · ".join(common) or subject_id
