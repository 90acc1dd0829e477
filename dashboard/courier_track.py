"""The way of a pharmacy order as a track of steps: what is done, where it is, what is still to come. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from dashboard.courier_wording import ORDER_STATES, TRACK
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.courier.states import REACHED_AT, DispatchStatus

DONE, NOW, AHEAD, MISSED = "done", "now", "ahead", "missed"


@dataclass(frozen=True, slots=True)
class Step:
    """One step: its words, icon and tone, when it was reached, and whether it is done, now, ahead or was passed over."""

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
    for key in TRACK:
        shown = status if key == "DELIVERED" and ended else key
        state = ORDER_STATES[shown]
        at = dispatch[REACHED_AT[DispatchStatus(shown)]] if dispatch else None
        if shown == "DELIVERED" and status != "DELIVERED":
            at = None
        where = NOW if shown == status else DONE if at is not None else MISSED if _is_past(key, status) else AHEAD
        tone = state.tone if shown in ("FAILED", "CANCELED") else "good"
        steps.append(Step(shown, state.label, state.icon, tone, at, where))
    return steps


def _before(key: str, label: str, at: datetime | None) -> Step:
    return Step(key, label, "check", "good", at, DONE if at is not None else AHEAD)


def _is_past(key: str, status: str) -> bool:
    """Whether a step that has no instant is behind: nobody told of it, or it ended before."""
    if status in ("FAILED", "CANCELED"):
        return True
    return status in TRACK and TRACK.index(key) < TRACK.index(status)
