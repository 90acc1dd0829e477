"""Editing the visit of a message and sending it as a new one. Reads the form; `rewriting` decides and stores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, MANAGE, REVEAL, may, needs
from dashboard.context import acting_person, reason_given
from dashboard.hl7_queries import find_message
from dashboard.hl7_visit_form import edited, faults_by_field, parts, visit_from
from dashboard.hl7_wording import message_words
from dashboard.presentation import upper_first
from dispatchlog.engine import operator
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.hl7 import stored_visit
from dispatchlog.systems.hl7.checks import VisitError
from dispatchlog.systems.hl7.lane import LANE
from dispatchlog.systems.hl7.rewriting import RewriteError, check_rewritable, rewrite, visit_of

pages = Blueprint("hl7_rewrite", __name__, url_prefix="/admin/hl7")

# Which message this session may edit, until when, and why: the form shows the visit unmasked.
EDITING = "hl7_editing"
EDITING_SECONDS = 1_800


@pages.post("/<uuid:message_id>/edit")
@needs(MANAGE)
def begin(message_id: UUID) -> Response:
    """Open the form; that the visit was looked at, and why, is kept."""
    _must_be_allowed()
    row = find_message(message_id)
    if not (reason := reason_given()):
        return _refused(message_id, "Say why it has to be edited: the reason stays with both messages.")
    try:
        check_rewritable(row)
        visit_of(message_id)
    except RewriteError as error:
        return _refused(message_id, f"{upper_first(error.message)}.")
    operator.log_action(acting_person(), "reveal_content", lane=LANE, dispatch_id=message_id, reason=reason)
    session[EDITING] = [str(message_id), int(time.time()) + EDITING_SECONDS, reason]
    return redirect(url_for("hl7_rewrite.edit", message_id=message_id), 303)


@pages.get("/<uuid:message_id>/edit")
@needs(MANAGE)
def edit(message_id: UUID) -> str | Response:
    """The visit's fields that the message carries."""
    _must_be_allowed()
    row = find_message(message_id)
    reason = _editing(message_id)
    if reason is None:
        return _refused(message_id, "Say first why it has to be edited.")
    return _form(row, stored_visit.to_json(visit_of(message_id)), reason=reason)


@pages.post("/<uuid:message_id>/rewrite")
@needs(MANAGE)
def send(message_id: UUID) -> Response | tuple[str, int]:
    """Check what was edited, and send it as a new message in place of the old one."""
    _must_be_allowed()
    row = find_message(message_id)
    if _editing(message_id) is None:
        return _refused(message_id, "The form was open for too long, so nothing was sent. Say again why it is edited.")
    given = {name: value for name, value in request.form.items() if isinstance(value, str)}
    record = edited(stored_visit.to_json(visit_of(message_id)), row["message_type"], given)
    try:
        visit = visit_from(record)
        second = request.form.get("second") == "yes"
        done = rewrite(message_id, visit, actor=acting_person(), reason=reason_given(), second=second)
    except VisitError as error:
        return _form(row, _as_given(row, given), reason=reason_given(), faults=faults_by_field(error)), 400
    except DispatchlogError as error:
        problem = f"{upper_first(error.message)}."
        return _form(row, _as_given(row, given), reason=reason_given(), problem=problem), 400
    session.pop(EDITING, None)
    old = "The old one is cancelled." if done.cancelled else "The old one stays as it is."
    flash(f"A new message is queued to be sent. {old}", "good")
    return redirect(url_for("hl7_message.show", message_id=done.message_id), 303)


def _as_given(row: Row, given: Mapping[str, str]) -> dict[str, Any]:
    """What the form held, in the shape of the stored visit, entries that were to be taken out included."""
    record = stored_visit.to_json(visit_of(row["id"]))
    return edited(record, row["message_type"], given, whole=True)


def _form(
    row: Row, record: Mapping[str, Any], *, reason: str, faults: Mapping[str, str] | None = None, problem: str = ""
) -> str:
    faults = faults or {}
    shown = parts(record, row["message_type"], faults)
    names = {field.name for part in shown for field in part.fields}
    return render_template(
        "hl7_rewrite.html",
        row=row,
        words=message_words(row["message_type"]),
        parts=shown,
        reason=reason,
        faults=faults,
        # What stands in no field of this form cannot be put right in it.
        elsewhere=[f"{name} {words}" for name, words in faults.items() if name not in names],
        problem=problem,
        second=request.form.get("second") == "yes",
    )


def _editing(message_id: UUID) -> str | None:
    """Why this session edits the message; None where it does not, or for too long."""
    editing, until, reason = session.get(EDITING) or ("", 0, "")
    return str(reason) if editing == str(message_id) and until > time.time() else None


def _must_be_allowed() -> None:
    """Editing shows the visit and acts on it."""
    if not (may(ACT) and may(REVEAL)):
        abort(403)


def _refused(message_id: UUID, sentence: str) -> Response:
    flash(sentence, "bad")
    return redirect(url_for("hl7_message.show", message_id=message_id), 303)
