"""What patients wrote back: what waits for a person, what was done, and settling one by one. The inbox's system acts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import OUTREACH, REACH, may, needs
from dashboard.comm_inbox_queries import count_waiting, masked_names, processed_messages, waiting_messages
from dashboard.comm_inbox_words import (
    ABOUT_APPOINTMENT,
    DONE,
    SETTLEMENTS,
    WAITS,
    language_words,
    mask_long_numbers,
    mask_sender,
)
from dashboard.comm_reading import keep_reading
from dashboard.comm_words import APPOINTMENTS, INTENTS, channel_words, purpose_words
from dashboard.context import line_given
from dashboard.filters import Position, parse_position
from dashboard.outreach_asking import outreach_asker
from dashboard.sessions import BACKGROUND_HEADER
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.outreach import inbound
from dispatchlog.systems.outreach.inbound_actions import WHO
from dispatchlog.systems.outreach.inbound_context import coming, context_of
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.reply_parser import CONFIRMATION, PERHAPS_STOP, Reading, read_reply
from dispatchlog.systems.outreach.states import Channel

pages = Blueprint("comm_inbox", __name__, url_prefix="/outreach/inbox")

PROCESSED = "processed"
_REFUSALS = {
    "INBOUND_NOT_FOUND": "That message is not there any more.",
    "ALREADY_PROCESSED": "Somebody has settled that message already. Nothing changed.",
    "UNKNOWN_INTENT": "Choose what the message means.",
}


@pages.get("")
@needs(OUTREACH)
def show() -> str:
    """What waits for a person, the oldest first, or what was dealt with, the newest first."""
    problems: list[str] = []
    position = parse_position(request.args.get("at", ""), problems)
    done = request.args.get("show") == PROCESSED
    rows, following = processed_messages(position) if done else waiting_messages(position)
    if BACKGROUND_HEADER not in request.headers:
        keep_reading(rows)
    choices = {row["id"]: _appointments(row) for row in rows} if not done else {}
    concerned = [*rows, *(one for about in choices.values() for one in about)]
    return render_template(
        "comm_inbox.html",
        rows=rows,
        names=masked_names(row["patient_id"] for row in concerned),
        readings={row["id"]: _reading(row) for row in rows} if not done else {},
        choices=choices,
        following=following,
        begun=position is not None,
        done=done,
        waiting=count_waiting(),
        problems=problems,
        settlements=SETTLEMENTS if may(REACH) else (),
        about_appointment=ABOUT_APPOINTMENT,
        waits=WAITS,
        dealt=DONE,
        intents=INTENTS,
        appointment_states=APPOINTMENTS,
        perhaps_stop=PERHAPS_STOP,
        channel_words=channel_words,
        purpose_words=purpose_words,
        language_words=language_words,
        mask_sender=mask_sender,
        mask_long_numbers=mask_long_numbers,
        link=_address,
    )


@pages.post("/<uuid:inbound_id>/settle")
@needs(REACH)
def settle(inbound_id: UUID) -> Response:
    """A person says what the message means."""
    meant = request.form.get("intent", "")
    intent = None if meant == "nothing" else meant
    try:
        row = inbound.settle(
            inbound_id,
            intent=intent,
            note=line_given("note"),
            asker=outreach_asker(),
            appointment_id=_uuid(request.form.get("appointment", "")),
        )
    except OutreachError as error:
        flash(_REFUSALS.get(error.code) or f"Nothing changed: {error.message.rstrip('.')}.", "bad")
        return redirect(_address(), 303)
    flash(f"Settled: {DONE[row['action']][0].lower()}.", "good")
    return redirect(_address(), 303)


def _reading(row: Row) -> Reading:
    """Why it was read as it was, from the same text."""
    return read_reply(
        row["body"],
        asks=CONFIRMATION if row["action"] == WHO else row["job_asks"] or "",
        language=row["job_language"] or "",
        offered=row["job_body"] or "",
    )


def _appointments(row: Row) -> Sequence[Mapping[str, Any]]:
    """Those that the message may be about: what was asked about, or what the patients of the address have ahead."""
    if row["job_asks"] and row["is_ahead"]:
        return [row]
    context = context_of(Channel(row["channel"]), row["from_address"])
    return context.asking if row["action"] == WHO else coming(context)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _address(*, at: Position | None = None, done: bool = False) -> str:
    return url_for("comm_inbox.show", show=PROCESSED if done else None, at=str(at) if at else None)
