"""What leaves next: who will be sent what in the next hour and the next day. Shows; changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

from flask import Blueprint, render_template, request, url_for

from dashboard.access import READ, needs
from dashboard.context import settings
from dashboard.dispatch_queries import is_first_try, next_sweep_at
from dashboard.filters import parse_filter
from dashboard.lanes import visible_lane, visible_lanes
from dashboard.upcoming_queries import count_upcoming, list_upcoming, sweeps_of
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Lane, Row

pages = Blueprint("upcoming", __name__)

PERIODS = MappingProxyType(
    {"hour": ("Within the hour", timedelta(hours=1)), "day": ("Within a day", timedelta(days=1))}
)


@pages.get("/upcoming")
@needs(READ)
def show() -> str:
    """What is due by then, the first due first, with what is overdue."""
    within = request.args.get("within", "hour")
    within = within if within in PERIODS else "hour"
    until = PERIODS[within][1]
    problems: list[str] = []
    lane = _lane(problems)
    wanted = parse_filter(request.args, lane=lane)
    lanes = (lane,) if lane else visible_lanes()
    sweeps = sweeps_of(lanes)

    def leaves_at(row: Row) -> datetime | None:
        """The sweep that it waits for; None where it waits for none, or nobody knows when the next comes."""
        known = visible_lane(row["lane"])
        last = sweeps.get(known.name)
        if not known.waits_for_sweep or not is_first_try(row) or (last is not None and row["due_at"] <= last):
            return None
        after = max(datetime.now(UTC), row["due_at"])
        return next_sweep_at(last, period_seconds=settings().sweep_seconds, after=after)

    def link(**changes: Any) -> str:
        arguments = {"within": within, "lane": lane.name if lane else None, **changes}
        return url_for("upcoming.show", **{name: value for name, value in arguments.items() if value})

    return render_template(
        "upcoming.html",
        page=list_upcoming(lanes, until=until, after=wanted.position),
        counts={known.name: count_upcoming(known, until) for known in visible_lanes()},
        lanes=visible_lanes(),
        lane=lane,
        within=within,
        periods=PERIODS,
        link=link,
        here=link(at=str(wanted.position) if wanted.position else None),
        beginning=wanted.position is None,
        leaves_at=leaves_at,
        titles={known.name: known.title for known in visible_lanes()},
        problems=[*problems, *wanted.problems],
    )


def _lane(problems: list[str]) -> Lane | None:
    name = request.args.get("lane", "")
    if not name:
        return None
    try:
        return visible_lane(name)
    except UnknownLane:
        problems.append(f"Lane “{name[:40]}” is not known; showing all of them.")
        return None
