"""The alerts that stand now, as a banner shows them: in words, since when, and where to look. Owns their query."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import url_for

from dashboard.alerts import TITLES
from dashboard.lanes import hidden_subjects, visible_lanes
from dispatchlog.alerts import BREAKER, CREDENTIALS, DOUBTS, FAILURES, NO_SCHEDULER, NO_WORKER, QUEUE_AGE
from dispatchlog.engine.database import fetch_all
from dispatchlog.engine.lanes import gateway_names

# Enough to see what is wrong; the page of alerts has them all.
MOST_SHOWN = 5

_STANDING = """
SELECT kind, subject, summary, started_at FROM dispatch_alerts WHERE over_at IS NULL AND subject <> ALL (%s)
ORDER BY started_at DESC, kind, subject LIMIT %s
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """One alert that is not over: `address` is where what it means is shown, `go` what one does there."""

    title: str
    summary: str
    started_at: datetime
    address: str
    go: str


@dataclass(frozen=True, slots=True)
class Banner:
    """The newest of them; `more` stand besides. What `told` names by kind and subject need not be said again."""

    alerts: tuple[Standing, ...]
    more: bool
    told: frozenset[tuple[str, str]]


def banner() -> Banner:
    """What stands now; empty where nothing does."""
    rows = fetch_all(_STANDING, (hidden_subjects(), MOST_SHOWN + 1))
    shown = rows[:MOST_SHOWN]
    alerts = tuple(
        Standing(TITLES.get(kind, "Alert"), summary, at, *_place(kind, subject)) for kind, subject, summary, at in shown
    )
    return Banner(alerts, len(rows) > MOST_SHOWN, frozenset((kind, subject) for kind, subject, *_ in shown))


def _place(kind: str, subject: str) -> tuple[str, str]:
    lane = subject if subject in {lane.name for lane in visible_lanes()} else None
    if kind == DOUBTS:
        return url_for("doubts.show", lane=lane), "Decide"
    if kind == FAILURES:
        return _list(lane, status=["FAILED", "IN_DOUBT"]), "Show them"
    if kind == QUEUE_AGE:
        return _list(lane, status="PENDING", sort="waiting"), "Show the oldest"
    if kind in (BREAKER, CREDENTIALS) and subject in gateway_names(visible_lanes()):
        return _list(None, gateway=subject, status="PENDING", sort="waiting"), "Show what waits"
    if kind in (NO_WORKER, NO_SCHEDULER):
        return _list(lane, status="PENDING", sort="waiting"), "Show what waits"
    return url_for("alerts.show"), "Show the alert"


def _list(lane: str | None, **arguments: str | list[str]) -> str:
    if lane is not None:
        return url_for("dispatches.one_lane", lane_name=lane, **arguments)  # type: ignore[arg-type]
    return url_for("dispatches.every_lane", **arguments)  # type: ignore[arg-type]
