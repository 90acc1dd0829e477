"""Pausing lanes and providers: what is paused now and was before, and the two buttons. The engine decides; this asks it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import CONTROL, READ, needs
from dashboard.context import acting_person, back_or, reason_given
from dashboard.health import broker_health
from dashboard.lanes import hidden_subjects, visible_lanes
from dashboard.wording import actor
from dispatchlog.broker import get_waker
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.holds import (
    LANE,
    Hold,
    Target,
    UnknownTarget,
    hold,
    open_holds,
    parse_target,
    past_holds,
    release,
    targets,
)
from dispatchlog.engine.lanes import Lane, gateway_names
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.systems import registry

pages = Blueprint("pausing", __name__, url_prefix="/pausing")

PAST_ROWS = 25
# More than these are named by whoever pauses one instead of being listed.
MOST_ENDPOINTS = 20


@dataclass(frozen=True, slots=True)
class Switch:
    """One thing that can be paused: its words, what it concerns besides itself, and its hold if it has one."""

    target: Target
    title: str
    kind: str
    note: str
    hold: Hold | None

    @property
    def anchor(self) -> str:
        """Its place on the page; a gateway's name may hold what an address's fragment may not."""
        return "-".join(part for part in (self.target.scope, *self.target.name.split()) if part)


@pages.get("")
@needs(READ)
def show() -> str:
    """Every lane and provider with its switch, and earlier pauses."""
    before = request.args.get("before", "")
    before_id = int(before) if before.isdecimal() and len(before) < 19 else None
    past = past_holds(limit=PAST_ROWS + 1, before_id=before_id, without=hidden_subjects())
    return render_template(
        "pausing.html",
        switches=switches(),
        name_endpoint=number_of_endpoints() > MOST_ENDPOINTS,
        past=past[:PAST_ROWS],
        older=past[PAST_ROWS - 1].id if len(past) > PAST_ROWS else None,
        title_of=title_of,
        actor=actor,
    )


@pages.post("/pause")
@needs(CONTROL)
def pause() -> Response:
    """Let nothing of it leave."""
    target = _target()
    try:
        result = hold(target, actor=acting_person(), reason=reason_given())
    except ReasonRequired:
        return _back("Say why it is paused: everybody who looks at it sees the reason.", "bad")
    if result.changed:
        return _back(f"{title_of(target)} is paused. What is being sent is finished; nothing else is begun.", "good")
    if result.hold is None:  # resumed in the same moment
        return _back("Nothing changed: somebody else resumed it just now.", "warn")
    return _back(f"Nothing changed: {actor(result.hold.held_by)} paused it before.", "warn")


@pages.post("/resume")
@needs(CONTROL)
def resume() -> Response:
    """Let it go on."""
    target = _target()
    waker = get_waker() if broker_health().answers else None
    try:
        result = release(target, actor=acting_person(), reason=reason_given(), lanes=registry.lanes(), waker=waker)
    except ReasonRequired:
        return _back("Say why it goes on: the reason stays with the pause.", "bad")
    if result.changed:
        return _back(f"{title_of(target)} goes on. What is due leaves now.", "good")
    return _back("Nothing changed: it is not paused.", "warn")


def switches() -> list[Switch]:
    """Lanes first, then providers, each with its hold; of many endpoints only those that are paused."""
    lanes = visible_lanes()
    held = {each.target: each for each in open_holds()}
    hidden = _endpoints(lanes) if number_of_endpoints() > MOST_ENDPOINTS else frozenset()
    shown = [target for target in targets(lanes) if target in held or target.scope == LANE or target.name not in hidden]
    return [Switch(target, title_of(target), *_described(target), hold=held.get(target)) for target in shown]


def number_of_endpoints() -> int:
    """How many endpoints there are that can be paused one by one."""
    return len(_endpoints(visible_lanes()))


def _endpoints(lanes: Sequence[Lane]) -> frozenset[str]:
    return frozenset(gateway_names([lane for lane in lanes if lane.is_routed]))


def title_of(target: Target) -> str:
    """What people call it."""
    if target.scope != LANE:
        return target.name
    return next((lane.title for lane in visible_lanes() if lane.name == target.name), target.name)


def _described(target: Target) -> tuple[str, str]:
    concerned = target.lanes_of(visible_lanes())
    if target.scope == LANE:
        if concerned[0].is_routed:
            return "Lane", "Leaves by the endpoints of the schools."
        return "Lane", f"Leaves through {concerned[0].gateway.name}."
    titles = " and ".join(lane.title for lane in concerned)
    return "Provider", f"Pausing it pauses {titles}."


def _target() -> Target:
    named = request.form.get("target", "")
    if named in _endpoints(visible_lanes()):
        named = f"gateway:{named}"
    try:
        return parse_target(named, visible_lanes())
    except UnknownTarget as error:
        abort(400, description=_sentence(error))


def _sentence(error: DispatchlogError) -> str:
    return f"{error.message[:1].upper()}{error.message[1:]}."


def _back(sentence: str, tone: str) -> Response:
    flash(sentence, tone)
    return redirect(back_or(url_for("pausing.show")), 303)
