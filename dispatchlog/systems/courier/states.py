"""What a courier's dispatch can be, what follows what, and what a person may do with it. Pure; owns no row.

Couriers tell what happened late, twice and out of order. So what is furthest along wins, whatever order it was heard in.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class DispatchStatus(StrEnum):
    """The normalised status of a courier dispatch. REQUESTED is ours: the courier does not have the booking yet."""

    REQUESTED = "REQUESTED"
    BOOKED = "BOOKED"
    ASSIGNED = "ASSIGNED"
    PICKED_UP = "PICKED_UP"
    IN_TRANSIT = "IN_TRANSIT"
    CANCELED = "CANCELED"
    FAILED = "FAILED"
    DELIVERED = "DELIVERED"


class Action(StrEnum):
    """What a person may do with an order's newest dispatch."""

    CANCEL = "cancel"
    CONFIRM_DELIVERY = "confirmDelivery"
    REDISPATCH = "redispatch"


# Of two ends the stronger evidence wins: what was handed over cannot have failed.
RANK: Mapping[DispatchStatus, int] = {status: rank for rank, status in enumerate(DispatchStatus)}

ENDED = frozenset({DispatchStatus.DELIVERED, DispatchStatus.FAILED, DispatchStatus.CANCELED})
OPEN = frozenset(DispatchStatus) - ENDED
CANCELLABLE = frozenset({DispatchStatus.REQUESTED, DispatchStatus.BOOKED, DispatchStatus.ASSIGNED})
REPEATABLE = frozenset({DispatchStatus.FAILED, DispatchStatus.CANCELED})

# The column that says when a status was first reached.
REACHED_AT: Mapping[DispatchStatus, str] = {
    DispatchStatus.REQUESTED: "requested_at",
    DispatchStatus.BOOKED: "booked_at",
    DispatchStatus.ASSIGNED: "assigned_at",
    DispatchStatus.PICKED_UP: "picked_up_at",
    DispatchStatus.IN_TRANSIT: "in_transit_at",
    DispatchStatus.DELIVERED: "ended_at",
    DispatchStatus.FAILED: "ended_at",
    DispatchStatus.CANCELED: "ended_at",
}


def further(present: DispatchStatus, heard: DispatchStatus) -> DispatchStatus:
    """The status after hearing of `heard`: never back, and the same for every order of hearing."""
    return heard if RANK[heard] > RANK[present] else present


def actions(status: DispatchStatus) -> tuple[Action, ...]:
    """What a person may do at this status."""
    if status in CANCELLABLE:
        return (Action.CANCEL,)
    if status is DispatchStatus.IN_TRANSIT:
        return (Action.CONFIRM_DELIVERY,)
    if status in REPEATABLE:
        return (Action.REDISPATCH,)
    return ()


def shown(status: DispatchStatus | str | None) -> str | None:
    """The status as others know it: null until the courier has the booking."""
    return None if status in (None, DispatchStatus.REQUESTED) else str(status)
