"""The list of dispatches, over all lanes or one, and its search. Shows; changes nothing but the remembered search."""

from __future__ import annotations

import secrets
from typing import Any

from flask import Blueprint, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from dashboard.access import READ, needs
from dashboard.asked import Asked, gateways, read_filter
from dashboard.days import microseconds_of
from dashboard.dispatch_page import possible_actions
from dashboard.filter_words import chips
from dashboard.filters import AGES, FIELDS, PERIODS, SORTS, TIMES_LEFT, ListFilter
from dashboard.lanes import visible_lane, visible_lanes
from dashboard.queries import causes, count_by_state, count_matching, list_dispatches
from dispatchlog.engine.holds import holds_on, open_holds

pages = Blueprint("dispatches", __name__)

_MOST_SEARCHES = 20


@pages.get("/dispatches")
@needs(READ)
def every_lane() -> str:
    """All lanes' dispatches, or those of the lane that `lane` names."""
    return _show(read_filter())


@pages.get("/lanes/<lane_name>")
@needs(READ)
def one_lane(lane_name: str) -> str:
    """One lane's dispatches."""
    return _show(read_filter(visible_lane(lane_name)))


@pages.post("/search")
@needs(READ)
def search() -> Response:
    """To the list that the form asks for. What may be a person's address goes into the session, not into the URL."""
    text = request.form.get("q", "").strip()
    arguments: dict[str, Any] = {name: request.form.getlist(name) for name in FIELDS if any(request.form.getlist(name))}
    if "@" in text or text.startswith("+"):
        arguments["found"] = remember_search(text)
    elif text:
        arguments["q"] = text
    lane = request.form.get("lane", "")
    if lane in {known.name for known in visible_lanes()}:
        return redirect(url_for("dispatches.one_lane", lane_name=lane, **arguments), 303)
    return redirect(url_for("dispatches.every_lane", **arguments), 303)


def list_address(wanted: ListFilter, **changes: Any) -> str:
    """The address of the list with this filter, some of its fields replaced."""
    arguments = wanted.arguments(**changes)
    lane = changes.get("lane", wanted.lane)
    if lane is not None:
        return url_for("dispatches.one_lane", lane_name=lane.name, **arguments)
    return url_for("dispatches.every_lane", **arguments)


def _show(asked: Asked) -> str:
    wanted = asked.wanted
    counts = count_by_state(wanted, asked.lanes)
    return render_template(
        "dispatches.html",
        wanted=wanted,
        problems=asked.problems,
        lane=wanted.lane,
        lanes=visible_lanes(),
        held=holds_on(wanted.lane, open_holds()) if wanted.lane else (),
        titles={known.name: known.title for known in visible_lanes()},
        page=list_dispatches(wanted, asked.lanes),
        possible=lambda row: possible_actions(visible_lane(row["lane"]), row),
        counts=counts,
        matching=count_matching(wanted, asked.lanes, counts),
        place_of=lambda row: microseconds_of(row["sort_at"]),
        here=list_address(wanted, position=wanted.position),
        link=lambda **changes: list_address(wanted, **changes),
        chips=chips(wanted),
        causes=_causes(asked),
        gateways=gateways(),
        sorts=SORTS,
        ages=AGES,
        periods=PERIODS,
        times_left=TIMES_LEFT,
        # The list as other pages take it: its filter, with the lane as one field of it.
        filter_arguments={**wanted.arguments(), **({"lane": wanted.lane.name} if wanted.lane else {})},
    )


def _causes(asked: Asked) -> list[str]:
    known = causes(asked.lanes)
    return known if not asked.wanted.cause or asked.wanted.cause in known else [*known, asked.wanted.cause]


def remember_search(text: str) -> str:
    """Keep the search in the session; the name that stands for it in addresses comes back."""
    name = secrets.token_urlsafe(6)
    known = list(session.get("searches", {}).items())[-_MOST_SEARCHES + 1 :]
    session["searches"] = {**dict(known), name: text}
    return name
