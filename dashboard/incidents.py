"""Incidents: what failed lately, by provider and cause, and the replays that try it again step by step. Shows; a replay is
moved by the engine alone.
"""

from __future__ import annotations

from types import MappingProxyType

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, READ, needs
from dashboard.context import acting_person, line_given, reason_given
from dashboard.health import broker_health
from dashboard.incident_queries import (
    PAGE_INCIDENTS,
    find_replay,
    incidents,
    keys_of,
    latest_replays,
    open_replays,
    progress,
    replay_rows,
    window_since,
)
from dashboard.lanes import hidden_lanes, visible_lanes
from dashboard.wording import NEEDS_RECIPIENT, advice
from dispatchlog.broker import get_waker
from dispatchlog.engine import replay
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.standing import objection
from dispatchlog.systems import registry

pages = Blueprint("incidents", __name__, url_prefix="/incidents")

# Days before today, each from midnight UTC on, so that a list by days shows the same rows.
WINDOWS = MappingProxyType({1: "Since yesterday", 7: "7 days", 30: "30 days"})
# What a replay is called in each state: label, icon, tone.
REPLAY_STATES = MappingProxyType(
    {
        "RUNNING": ("Running", "play", "busy"),
        "STOPPED": ("Stopped", "pause", "wait"),
        "HALTED": ("Halted by a failure", "alert", "bad"),
        "DONE": ("Done", "check", "good"),
        "ENDED": ("Given up", "ban", "off"),
    }
)
# The same for one dispatch of it.
ROW_STATES = MappingProxyType(
    {
        "WAITING": ("Not released", "clock", "off"),
        "RELEASED": ("On its way", "send", "busy"),
        "SENT": ("Sent", "check", "good"),
        "FAILED": ("Failed again", "x", "bad"),
        "SKIPPED": ("Left out", "ban", "wait"),
    }
)


@pages.get("")
@needs(READ)
def show() -> str:
    """What failed in the window, by provider and cause, the latest first."""
    days = _days(request.args.get("days", ""))
    since = window_since(days)
    broker = broker_health()
    lanes = visible_lanes()
    found = incidents(lanes, since=since)
    return render_template(
        "incidents.html",
        incidents=found,
        days=days,
        windows=WINDOWS,
        since=since.date().isoformat(),
        replays=open_replays(without=hidden_lanes()),
        latest=latest_replays(without=hidden_lanes()),
        circuits={incident.gateway: broker.circuit_of(incident.gateway) for incident in found},
        titles={lane.name: lane.title for lane in lanes},
        states=REPLAY_STATES,
        most=PAGE_INCIDENTS,
        stages=replay.STAGES,
        hopeless=NEEDS_RECIPIENT,
        advice=advice,
    )


@pages.post("/replays")
@needs(ACT)
def start() -> Response:
    """Freeze the list and begin with a single one of it."""
    gateway, cause = line_given("gateway"), line_given("cause")
    days = _days(request.form.get("days", ""))
    try:
        replay_id = replay.start(
            visible_lanes(),
            gateway=gateway,
            cause=cause,
            since=window_since(days),
            actor=acting_person(),
            reason=reason_given(),
        )
    except ReasonRequired:
        return _refused("Say why it will work now: the reason stays with the replay.", days)
    except DispatchlogError as error:
        return _refused(f"Nothing was started: {error.message}.", days)
    _advance(replay_id)
    flash("The replay has begun. The first one is on its way; the others wait for it.", "good")
    return redirect(url_for("incidents.show_replay", replay_id=replay_id), 303)


@pages.get("/replays/<int:replay_id>")
@needs(READ)
def show_replay(replay_id: int) -> str:
    """How far it is. Whoever looks hastens the step that the scheduler would take a moment later."""
    _require(replay_id)
    _advance(replay_id)
    found = find_replay(replay_id)
    assert found is not None  # noqa: S101  replays are never deleted
    state = request.args.get("state", "").upper()
    state = state if state in ROW_STATES else ""
    rows, after = replay_rows(replay_id, state=state, after=_position(request.args.get("after", "")))
    lanes = visible_lanes()
    halted_by = [row for row in replay_rows(replay_id, state="FAILED")[0] if row["dispatch_id"] == found["halted_by"]]
    return render_template(
        "replay.html",
        replay=found,
        progress=progress(found),
        rows=rows,
        after=after,
        state=state,
        states=REPLAY_STATES,
        against=objection(found["actor"]) if found["state"] == "STOPPED" else "",
        row_states=ROW_STATES,
        stages=replay.STAGES,
        keys=keys_of([*rows, *halted_by], lanes),
        titles={lane.name: lane.title for lane in lanes},
        halted_by=halted_by[0] if halted_by else None,
    )


@pages.post("/replays/<int:replay_id>/stop")
@needs(ACT)
def stop(replay_id: int) -> Response:
    """Release no more of it; what was released goes on."""
    _require(replay_id)
    try:
        replay.stop(replay_id, actor=acting_person(), reason=reason_given())
    except DispatchlogError as error:
        return _unchanged(replay_id, error)
    return _done(replay_id, "Stopped. Nothing more is released; what was released goes on.")


@pages.post("/replays/<int:replay_id>/resume")
@needs(ACT)
def resume(replay_id: int) -> Response:
    """Go on; after a failure with a single one again."""
    _require(replay_id)
    try:
        replay.resume(replay_id, registry.lanes(), actor=acting_person(), reason=reason_given())
    except DispatchlogError as error:
        return _unchanged(replay_id, error)
    _advance(replay_id)
    return _done(replay_id, "It goes on.")


@pages.post("/replays/<int:replay_id>/end")
@needs(ACT)
def end(replay_id: int) -> Response:
    """Give it up; what was not released stays failed."""
    _require(replay_id)
    try:
        replay.end(replay_id, actor=acting_person(), reason=reason_given())
    except DispatchlogError as error:
        return _unchanged(replay_id, error)
    return _done(replay_id, "Given up. What was not released stays failed.")


def _require(replay_id: int) -> None:
    """A replay with anything of a lane that they may not see is not there for them."""
    if replay_id > 2**62 or find_replay(replay_id, without=hidden_lanes()) is None:
        abort(404)


def _advance(replay_id: int) -> None:
    waker = get_waker() if broker_health().answers else None
    replay.advance(replay_id, registry.lanes(), waker=waker, objection=objection)


def _done(replay_id: int, sentence: str) -> Response:
    flash(sentence, "good")
    return redirect(url_for("incidents.show_replay", replay_id=replay_id), 303)


def _unchanged(replay_id: int, error: DispatchlogError) -> Response:
    if error.code == "REPLAY_NOT_FOUND":
        abort(404)
    if isinstance(error, ReasonRequired):
        flash("Say why: the reason stays with the replay.", "bad")
    else:
        flash(f"Nothing changed: {error.message}.", "warn")
    return redirect(url_for("incidents.show_replay", replay_id=replay_id), 303)


def _refused(sentence: str, days: int) -> Response:
    flash(sentence, "bad")
    return redirect(url_for("incidents.show", days=days), 303)


def _days(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 4 and int(text) in WINDOWS else 1


def _position(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 9 else 0
