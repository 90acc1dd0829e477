"""What holds for patients who have said nothing themselves: for all, a clinic's or a provider's. The system stores it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import OUTREACH, REACH, may, needs
from dashboard.comm_levels import EVERYBODY, LEVELS, level_asked
from dashboard.comm_preference_fields import CHOICES, SWITCHES, TIMES, problem_of, read, shown
from dashboard.comm_preference_queries import nearer, owner, owners, reached
from dashboard.comm_words import FIELDS
from dashboard.context import acting_person, reason_given
from dashboard.outreach_asking import outreach_asker
from dashboard.patient_texts import LANGUAGES
from dispatchlog.engine import operator
from dispatchlog.engine.database import transaction
from dispatchlog.systems.outreach import preferences
from dispatchlog.systems.outreach.inputs import OutreachError

pages = Blueprint("comm_preferences", __name__, url_prefix="/outreach/preferences")


@pages.get("")
@needs(OUTREACH)
def show() -> str:
    """One level's form, and whom it reaches."""
    level, owner_id = level_asked()
    said = preferences.defaults(level, owner_id) if _is_chosen(level, owner_id) else {}
    return _page(level, owner_id, shown(said))


@pages.post("")
@needs(REACH)
def change() -> Response | tuple[str, int]:
    """Store what differs, with a reason."""
    level, owner_id = level_asked()
    if not _is_chosen(level, owner_id):
        abort(404)
    wanted = read(request.form, preferences.defaults(level, owner_id))
    problems, reason = dict(wanted.problems), reason_given()
    if level == EVERYBODY:
        problems |= {
            name: "For everybody there has to be a value."
            for name, value in wanted.values.items()
            if value is None and name != "best_hour"
        }
    if not reason:
        problems["reason"] = "Say why: the reason is kept with your name."
    if not wanted.values and not problems:
        problems[""] = "Nothing was changed: everything stands as it was."
    if not problems:
        try:
            _store(level, owner_id, wanted.values, reason)
        except OutreachError as error:
            problems = problem_of(error.field, error.message)
    if problems:
        return _page(level, owner_id, request.form.to_dict(), problems), 400
    flash("Saved. Whoever has said something themselves keeps their choice.", "good")
    return redirect(_address(level, owner_id), 303)


def _store(level: str, owner_id: UUID | None, values: Mapping[str, Any], reason: str) -> None:
    with transaction(acting_person(), reason):
        preferences.change_defaults(level, owner_id, values, asker=outreach_asker())
        detail = {"level": level, "owner_id": owner_id and str(owner_id), "fields": sorted(values)}
        operator.log_action(acting_person(), "change_preference_defaults", reason=reason, detail=detail)


def _is_chosen(level: str, owner_id: UUID | None) -> bool:
    return level == EVERYBODY or owner_id is not None


def _address(level: str, owner_id: UUID | None) -> str:
    return url_for("comm_preferences.show", level=None if level == EVERYBODY else level, of=owner_id)


def _page(
    level: str, owner_id: UUID | None, given: Mapping[str, str], problems: Mapping[str, str] | None = None
) -> str:
    chosen = _is_chosen(level, owner_id)
    return render_template(
        "comm_preferences.html",
        level=level,
        levels=LEVELS,
        owner=owner(level, owner_id) if owner_id else None,
        owners=owners(level) if level != EVERYBODY else [],
        chosen=chosen,
        given=given,
        problems=problems or {},
        reached=reached(level, owner_id) if chosen else None,
        nearer=nearer(level, owner_id) if chosen else [],
        may_change=may(REACH),
        names=FIELDS,
        choices=CHOICES,
        times=TIMES,
        switches=SWITCHES,
        languages=LANGUAGES,
        address=_address,
    )
