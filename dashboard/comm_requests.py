"""The open wishes for another time of an appointment, and closing them. The appointments' system stores."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import OUTREACH, REACH, needs
from dashboard.comm_inbox_queries import count_wishes, masked_names, open_wishes
from dashboard.comm_inbox_words import mask_long_numbers
from dashboard.comm_reading import keep_reading
from dashboard.comm_words import APPOINTMENTS
from dashboard.context import line_given
from dashboard.filters import Position, parse_position
from dashboard.outreach_asking import outreach_asker
from dispatchlog.engine.operator import log_action
from dispatchlog.systems.outreach import appointments
from dispatchlog.systems.outreach.inputs import OutreachError

pages = Blueprint("comm_requests", __name__, url_prefix="/outreach/requests")


@pages.get("")
@needs(OUTREACH)
def show() -> str:
    """Open wishes, the oldest first."""
    problems: list[str] = []
    position = parse_position(request.args.get("at", ""), problems)
    rows, following = open_wishes(position)
    keep_reading(rows)
    return render_template(
        "comm_requests.html",
        rows=rows,
        names=masked_names(row["patient_id"] for row in rows),
        following=following,
        begun=position is not None,
        count=count_wishes(),
        problems=problems,
        appointment_states=APPOINTMENTS,
        mask_long_numbers=mask_long_numbers,
        link=_address,
    )


@pages.post("/<uuid:request_id>/close")
@needs(REACH)
def close(request_id: UUID) -> Response:
    """Somebody has found another time, or there is none."""
    note = line_given("reason")
    if not note:
        flash("Say what was arranged: the note stays with the appointment.", "bad")
        return redirect(_address(), 303)
    asker = outreach_asker()
    try:
        closed = appointments.close_request(request_id, note=note, asker=asker)
    except OutreachError as error:
        flash(f"Nothing changed: {error.message.rstrip('.')}.", "bad")
        return redirect(_address(), 303)
    if closed:
        log_action(asker.actor, "close_reschedule_request", reason=note, detail={"request_id": request_id})
        flash("Closed.", "good")
    else:
        flash("It was closed already. Nothing changed.", "warn")
    return redirect(_address(), 303)


def _address(*, at: Position | None = None) -> str:
    return url_for("comm_requests.show", at=str(at) if at else None)
