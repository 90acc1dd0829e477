"""The way of a pharmacy order as a track of steps: what is done, where it is, what is still to come. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dashboard.courier_wording import ORDER_STATES, TRACK
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.courier.states import REACHED_AT, DispatchStatus

DONE, NOW, AHEAD, MISSED, NEVER = "done", "now", "ahead", "missed", "never"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its words, icon and tone, when it was reached, and where it is: done, now, ahead, behind though
    nobody told of it (missed), or not reached before the end (never).
    """

    key: str
    label: str
    icon: str
    tone: str
    at: datetime | None
    where: str


def track(order: Row, dispatch: Row | None) -> list[Step]:
    """From ordered to delivered; an end that is none of success stands in place of the last step."""
    steps = [
        Step("ORDERED", "Ordered", "plus", "good", order["created_at"], DONE),
        _before("PAID", "Paid", order["paid_at"] if order["payment_status"] == "Paid" else None),
        _before("READY", "Marked ready", order["ready_at"]),
    ]
    status = dispatch["status"] if dispatch else ""
    ended = status in ("FAILED", "CANCELED")
    furthest = _furthest(dispatch)
    for key in TRACK:
        shown = status if key == "DELIVERED" and ended else key
        state = ORDER_STATES[shown]
        at = dispatch[REACHED_AT[DispatchStatus(shown)]] if dispatch else None
        if shown == "DELIVERED" and status != "DELIVERED":
            at = None
        where = NOW if shown == status else DONE if at is not None else _without_instant(key, furthest, ended=ended)
        tone = state.tone if shown in ("FAILED", "CANCELED") else "good"
        steps.append(Step(shown, state.label, state.icon, tone, at, where))
    return steps


def _before(key: str, label: str, at: datetime | None) -> Step:
    return Step(key, label, "check", "good", at, DONE if at is not None else AHEAD)


def _furthest(dispatch: Row | None) -> int:
    """How far along the track it is known to have come; -1 before it was booked."""
    if dispatch is None:
        return -1
    reached = [
        at
        for at, key in enumerate(TRACK)
        if key == dispatch["status"] or (key != "DELIVERED" and dispatch[REACHED_AT[DispatchStatus(key)]] is not None)
    ]
    return max(reached, default=-1)


def _without_instant(key: str, furthest: int, *, ended: bool) -> str:
    if TRACK.index(key) < furthest:
        return MISSED
    return NEVER if ended else AHEAD
