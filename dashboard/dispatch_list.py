"""The list of dispatches, over all lanes or one, and its search. Shows; changes nothing but the remembered search."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Blueprint, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from dashboard.access import READ, needs
from dashboard.dispatch_page import possible_actions
from dashboard.filters import ListFilter, parse_filter
from dashboard.queries import count_by_state, list_dispatches
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.holds import holds_on, open_holds
from dispatchlog.engine.lanes import Lane
from dispatchlog.systems import registry

pages = Blueprint("dispatches", __name__)

_MOST_SEARCHES = 20


@pages.get("/dispatches")
@needs(READ)
def every_lane() -> str:
    """All lanes' dispatches, or those of the lane that `lane` names."""
    problems: tuple[str, ...] = ()
    lane: Lane | None = None
    if name := request.args.get("lane", ""):
        try:
            lane = registry.lane(name)
        except UnknownLane:
            problems = (f"Lane “{name[:40]}” is not known; showing all of them.",)
    return _show(lane, problems)


@pages.get("/lanes/<lane_name>")
@needs(READ)
def one_lane(lane_name: str) -> str:
    """One lane's dispatches."""
    return _show(registry.lane(lane_name), ())


@pages.post("/search")
@needs(READ)
def search() -> Response:
    """To the list that the form asks for. What may be a person's address goes into the session, not into the URL."""
    text = request.form.get("q", "").strip()
    arguments: dict[str, Any] = {
        name: request.form.getlist(name) for name in ("status", "from", "to") if any(request.form.getlist(name))
    }
    if "@" in text or text.startswith("+"):
        arguments["found"] = _remember(text)
    elif text:
        arguments["q"] = text
    lane = request.form.get("lane", "")
    if lane in {known.name for known in registry.lanes()}:
        return redirect(url_for("dispatches.one_lane", lane_name=lane, **arguments), 303)
    return redirect(url_for("dispatches.every_lane", **arguments), 303)


def _show(lane: Lane | None, problems: tuple[str, ...]) -> str:
    wanted = parse_filter(request.args, lane=lane, searches=session.get("searches"))
    lanes = (lane,) if lane else registry.lanes()
    return render_template(
        "dispatches.html",
        wanted=wanted,
        problems=problems + wanted.problems,
        lane=lane,
        lanes=registry.lanes(),
        held=holds_on(lane, open_holds()) if lane else (),
        titles={known.name: known.title for known in registry.lanes()},
        page=list_dispatches(wanted, lanes),
        possible=lambda row: possible_actions(registry.lane(row["lane"]), row),
        counts=count_by_state(wanted, lanes),
        here=_here(wanted),
        link=_linker(wanted),
    )


def _linker(wanted: ListFilter) -> Any:
    def link(**changes: Any) -> str:
        arguments = wanted.arguments(**changes)
        lane = changes.get("lane", wanted.lane)
        if lane is not None:
            return url_for("dispatches.one_lane", lane_name=lane.name, **arguments)
        return url_for("dispatches.every_lane", **arguments)

    return link


def _here(wanted: ListFilter) -> str:
    address: str = _linker(wanted)(position=wanted.position)
    return address


def _remember(text: str) -> str:
    name = secrets.token_urlsafe(6)
    known = list(session.get("searches", {}).items())[-_MOST_SEARCHES + 1 :]
    session["searches"] = {**dict(known), name: text}
    return name
