"""Which list an address asks for: its filter, and the lanes whose dispatches can stand in it. Reads no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from flask import current_app, request, session
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from dashboard.filters import ListFilter, parse_filter
from dashboard.lanes import visible_lane, visible_lanes
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Lane, gateway_names, narrowed


@dataclass(frozen=True, slots=True)
class Asked:
    """The list that an address asks for: its filter, the lanes it can be of, and what could not be read."""

    wanted: ListFilter
    lanes: Sequence[Lane]
    problems: tuple[str, ...] = ()


def read_filter(lane: Lane | None = None, *, arguments: MultiDict[str, str] | None = None) -> Asked:
    """What this request's address (or `arguments`) asks for. Its `lane` counts where no lane is given; an unknown one is
    named.
    """
    arguments = request.args if arguments is None else arguments
    problems: tuple[str, ...] = ()
    if lane is None and (name := arguments.get("lane", "")):
        try:
            lane = visible_lane(name)
        except UnknownLane:
            problems = (f"Lane “{name[:40]}” is not known; showing all of them.",)
    wanted = parse_filter(arguments, lane=lane, searches=session.get("searches"), gateways=gateways())
    among = (lane,) if lane else visible_lanes()
    lanes = [*among]
    if wanted.gateway:
        lanes = [part for known in among if (part := narrowed(known, wanted.gateway)) is not None]
    return Asked(wanted, lanes, problems + wanted.problems)


def read_address(address: str) -> Asked | None:
    """What the address of a list on this site asks for; None where it is no list's."""
    parts = urlsplit(address)
    try:
        endpoint, values = current_app.url_map.bind("").match(parts.path, method="GET")
        lane = visible_lane(values["lane_name"]) if endpoint == "dispatches.one_lane" else None
    except (HTTPException, UnknownLane):
        return None
    if endpoint not in ("dispatches.every_lane", "dispatches.one_lane"):
        return None
    return read_filter(lane, arguments=MultiDict(parse_qsl(parts.query)))


def gateways() -> list[str]:
    """The providers' names."""
    return sorted(gateway_names(visible_lanes()))
