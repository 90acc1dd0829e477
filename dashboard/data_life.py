"""How long data stay: the policies with what is due, the days set with a reason, what is kept back and the latest runs.

`dispatchlog.retention` decides and deletes; this asks it.
"""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import MANAGE, needs
from dashboard.context import acting_person, line_given, reason_given, settings
from dashboard.wording import actor
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.retention.holds import Scope, holds, keep, let_go
from dispatchlog.retention.policies import MOST_COUNTED, due, policies, set_days
from dispatchlog.retention.runs import latest_runs
from dispatchlog.systems import registry

pages = Blueprint("data_life", __name__, url_prefix="/data")

SCOPES = {
    Scope.PATIENT: "Patient (id or address)",
    Scope.SUBJECT: "Subject of a story",
    Scope.ORDER: "Order",
    Scope.DISPATCH: "Dispatch",
    Scope.ORGANISATION: "Organisation",
}


@pages.get("")
@needs(MANAGE)
def show() -> str:
    """Every policy, every hold in force, the latest runs."""
    return render_template(
        "data_life.html",
        policies=sorted(((each, due(each)) for each in policies()), key=lambda found: title_of(found[0].name)),
        title_of=title_of,
        most=MOST_COUNTED,
        holds=holds(),
        scopes=SCOPES,
        runs=latest_runs(25),
        actor=actor,
        from_hour=settings().retention_from_hour,
        until_hour=settings().retention_until_hour,
    )


def title_of(policy: str) -> str:
    """What a policy is about, for a person: those of a lane begin with the lane's title, so that they stand together."""
    titles = {lane.name: lane.title for lane in registry.lanes()}
    name, _, part = policy.partition(" ")
    if name in titles:
        return f"{titles[name]}: {part}" if part else titles[name]
    return policy[:1].upper() + policy[1:]


@pages.post("/days")
@needs(MANAGE)
def change_days() -> Response:
    """Let rows of a policy leave after so many days, or never."""
    days = line_given("days")
    if days and not (days.isdecimal() and len(days) < 6):
        return _back("Days are a whole number, or nothing for never.", "bad")
    try:
        after = set_days(
            line_given("policy"), int(days) if days else None, actor=acting_person(), reason=reason_given()
        )
    except DispatchlogError as error:
        return _back(f"Nothing was changed: {error.message}.", "bad")
    return _back(f"{after.name}: {'never' if after.days is None else f'after {after.days} days'}.", "good")


@pages.post("/hold")
@needs(MANAGE)
def hold() -> Response:
    """Keep something back from its age and from erasure."""
    scope = request.form.get("scope", "")
    try:
        if scope not in set(Scope):
            raise DispatchlogError("say what kind of thing it is", code="BAD_HOLD")
        kept = keep(Scope(scope), line_given("value", most=400), actor=acting_person(), reason=reason_given())
    except DispatchlogError as error:
        return _back(f"Nothing is kept back: {error.message}.", "bad")
    return _back(f"Hold {kept.id} is in force since {kept.held_at:%Y-%m-%d %H:%M} UTC.", "good")


@pages.post("/release")
@needs(MANAGE)
def release() -> Response:
    """End a hold."""
    number = line_given("hold")
    try:
        ended = let_go(
            int(number) if number.isdecimal() and len(number) < 19 else 0, actor=acting_person(), reason=reason_given()
        )
    except DispatchlogError as error:
        return _back(f"Nothing was changed: {error.message}.", "bad")
    return _back(f"Hold {ended.id} has ended. What is old enough leaves with the next run.", "good")


def _back(words: str, tone: str) -> Response:
    flash(words, tone)
    return redirect(url_for("data_life.show"))
