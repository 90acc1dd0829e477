"""One HL7 message: its segments, every try with its acknowledgement, what holds it, and what replaced it. Shows; changes
nothing but what this session may see.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, MANAGE, REVEAL, may, needs
from dashboard.context import acting_person, back_or, reason_given
from dashboard.dispatch_page import circumstances, content_is_revealed, possible_actions, reveal_content
from dashboard.dispatch_queries import attempts_of, mark_of, timeline
from dashboard.explain import explain
from dashboard.hl7_layout import ShownSegment, laid_out, raw_text
from dashboard.hl7_queries import control_id_of, find_message, replacements
from dashboard.hl7_wording import message_words
from dashboard.masking import mask_name, mask_text
from dashboard.wording import OUTCOMES
from dispatchlog.engine import operator
from dispatchlog.engine.lanes import Row
from dispatchlog.systems import registry
from dispatchlog.systems.hl7.lane import LANE
from dispatchlog.systems.hl7.rewriting import RewriteError, check_rewritable

pages = Blueprint("hl7_message", __name__, url_prefix="/admin/hl7")


@dataclass(frozen=True, slots=True)
class Try:
    """One try: what came of it, in words, with the acknowledgement laid out like a message."""

    at: datetime
    title: str
    icon: str
    tone: str
    text: str
    code: str
    gateway: str
    latency_ms: float | None
    acknowledgement: list[ShownSegment]
    raw: str


@pages.get("/<uuid:message_id>")
@needs(MANAGE)
def show(message_id: UUID) -> str:
    """The message. What identifies a person is masked, except for a minute after whoever looks said why."""
    row = find_message(message_id)
    lane = registry.lane(LANE).of(row)
    revealed = content_is_revealed(message_id)
    body = bytes(row["body"])
    return render_template(
        "hl7_message.html",
        row=row,
        lane=lane,
        words=message_words(row["message_type"]),
        name=row["student_name"] if revealed else mask_name(row["student_name"]),
        revealed=revealed,
        segments=laid_out(body, revealed=revealed),
        raw=raw_text(body, revealed=revealed),
        tries=[_try(event.row, event.at, revealed=revealed) for event in attempts_of([message_id])[message_id]],
        holdings=explain(lane, row, circumstances(lane, row, timeline(message_id))),
        control_id_of=control_id_of,
        possible=possible_actions(lane, row) if may(ACT) else frozenset(),
        no_edit=_why_not_editable(row),
        replaced_by=replacements(message_id),
        shown=mark_of(row),
        here=url_for("hl7_message.show", message_id=message_id, back=back_or("") or None),
        list_address=back_or(url_for("hl7_messages.every_message")),
        back=back_or(""),
    )


@pages.post("/<uuid:message_id>/reveal")
@needs(MANAGE)
def reveal(message_id: UUID) -> Response:
    """Show the message unmasked for a minute; that it was looked at, and why, is kept."""
    if not may(REVEAL):
        abort(403)
    find_message(message_id)
    if reason := reason_given():
        operator.log_action(acting_person(), "reveal_content", lane=LANE, dispatch_id=message_id, reason=reason)
        reveal_content(message_id)
    else:
        flash("Say why you need to see it: the reason is kept with your name.", "bad")
    return redirect(url_for("hl7_message.show", message_id=message_id, back=back_or("") or None), 303)


def _try(row: Row, at: datetime, *, revealed: bool) -> Try:
    words, mark, tone = OUTCOMES[row["outcome"]]
    tried = row["outcome"] != "NOT_SENT"
    said = (row["evidence"] or {}).get("acknowledgement")
    acknowledgement = said.encode() if isinstance(said, str) else b""
    return Try(
        at=at,
        title=f"Try {row['try_number']}: {words}" if tried else words.capitalize(),
        icon=mark,
        tone=tone,
        text=mask_text(row["message"]),
        code=row["code"] or "",
        gateway=row["gateway"],
        latency_ms=row["latency_ms"],
        acknowledgement=laid_out(acknowledgement, revealed=revealed),
        raw=raw_text(acknowledgement, revealed=revealed),
    )


def _why_not_editable(row: Row) -> str:
    """Why it cannot be written anew now, as a sentence; "" where it can."""
    try:
        check_rewritable(row)
    except RewriteError as error:
        return f"It cannot be edited now: {error.message}."
    return "It was made of no stored visit, so there is nothing to edit." if row["visit_id"] is None else ""
