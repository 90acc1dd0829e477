"""What a dispatch is after what was heard of it. Pure; owns no row.

Couriers tell late, twice and out of order, so everything here is a maximum, a minimum or a choice by what the events say
themselves: the same events end the same, whatever order they came in. Only a person's word counts from when it was said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from dispatchlog.row_content import COURIER_EVENTS
from dispatchlog.systems.courier.states import ENDED, RANK, REACHED_AT, REPEATABLE, DispatchStatus, further

HAND = "hand:"
# Whose word of a delivery weighs most, last.
_CONFIRMS: Mapping[str, str] = {"otp": "otp", "staff": "staff"}
_WEIGHT = {None: 0, "courier": 1, "staff": 2, "otp": 3}
_SAID = ("tracking_url", "driver_name", "driver_phone")
_INSTANTS = tuple(dict.fromkeys(REACHED_AT.values()))[1:]


class Effect(StrEnum):
    """What an event did when it was applied."""

    MOVED = "MOVED"
    NOTED = "NOTED"
    BEHIND = "BEHIND"
    UNKNOWN = "UNKNOWN"
    UNMATCHED = "UNMATCHED"
    SUPERSEDED = "SUPERSEDED"


@dataclass(frozen=True, slots=True)
class Heard:
    """One event. `at` is when it happened as the courier says, else when it came; `said` what else it tells."""

    id: int
    event_id: str
    source: str
    status: DispatchStatus | None
    raw_status: str
    at: datetime
    received_at: datetime
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def by_hand(self) -> bool:
        return self.source == "staff" and self.event_id.startswith(HAND)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What new events come to: the dispatch's columns that are others now, each event's effect, and those that moved it."""

    columns: Mapping[str, Any]
    effects: Mapping[int, Effect]
    moves: Sequence[Heard]


def heard(row: Mapping[str, Any]) -> Heard:
    """An event's row as what was heard."""
    said = dict((COURIER_EVENTS.opened(row)["body"] or {}).get("report") or {})
    if said.get("eta_at"):
        said["eta_at"] = datetime.fromisoformat(said["eta_at"])
    return Heard(
        id=row["id"],
        event_id=row["event_id"],
        source=row["source"],
        status=DispatchStatus(row["status"]) if row["status"] else None,
        raw_status=row["raw_status"],
        at=row["occurred_at"] or row["received_at"],
        received_at=row["received_at"],
        said=said,
    )


def fold(dispatch: Mapping[str, Any], new: Sequence[Heard], known: Sequence[Heard]) -> Outcome:
    """The dispatch after `new` events, where `known` ones were applied before; new ones count as they were stored."""
    state = {name: dispatch[name] for name in ("status", "confirmed_by", *_INSTANTS)}
    effects: dict[int, Effect] = {}
    moves: list[Heard] = []
    for event in sorted(new, key=lambda each: each.id):
        before = state["status"]
        _take(state, event)
        effects[event.id] = _effect(event, before)
        if state["status"] != before:
            moves.append(event)
    state |= _details(dispatch, DispatchStatus(state["status"]), new, known)
    state["heard_at"] = _heard_at(dispatch, new)
    changed = {name: value for name, value in state.items() if value != dispatch[name]}
    return Outcome(changed, effects, moves)


def _heard_at(dispatch: Mapping[str, Any], new: Sequence[Heard]) -> datetime | None:
    """When the courier said anything last."""
    at = [event.received_at for event in new if event.source in ("webhook", "poll")]
    return max([*at, *filter(None, [dispatch["heard_at"]])], default=None)


def _effect(event: Heard, before: str) -> Effect:
    if event.status is None:
        return Effect.UNKNOWN
    present = DispatchStatus(before)
    if event.by_hand or further(present, event.status) is not present:
        return Effect.MOVED
    return Effect.NOTED if event.status is present else Effect.BEHIND


def _take(state: dict[str, Any], event: Heard) -> None:
    if event.status is None:
        return
    present = DispatchStatus(state["status"])
    now = event.status if event.by_hand else further(present, event.status)
    if event.by_hand:
        _forget_beyond(state, now)
    if now is not present and (now in ENDED or present in ENDED):
        state["ended_at"] = None
    state["status"] = str(now)
    _reach(state, event, now)
    _confirm(state, event, now)


def _forget_beyond(state: dict[str, Any], now: DispatchStatus) -> None:
    """A person says that it never came further than this."""
    for status, column in REACHED_AT.items():
        if column in state and column != "ended_at" and RANK[status] > RANK[now]:
            state[column] = None


def _reach(state: dict[str, Any], event: Heard, now: DispatchStatus) -> None:
    """The instant of a status is the earliest heard; of two ends only that of the one which stands counts."""
    assert event.status is not None  # noqa: S101  (for the type checker: asked before)
    column = REACHED_AT[event.status]
    if column not in state or (event.status in ENDED and event.status is not now):
        return
    state[column] = event.at if state[column] is None else min(state[column], event.at)


def _confirm(state: dict[str, Any], event: Heard, now: DispatchStatus) -> None:
    if now is not DispatchStatus.DELIVERED:
        state["confirmed_by"] = None
    elif event.status is now:
        says = _CONFIRMS.get(event.source, "courier")
        state["confirmed_by"] = max(state["confirmed_by"], says, key=lambda each: _WEIGHT[each])


def _details(
    dispatch: Mapping[str, Any], status: DispatchStatus, new: Sequence[Heard], known: Sequence[Heard]
) -> dict[str, Any]:
    """Tracking, driver, arrival and the courier's word: each from the furthest event that says it, then the latest."""
    since = max((event.id for event in (*new, *known) if event.by_hand), default=0)
    ranked = _ranked([*new, *(event for event in known if event.id >= since)])
    found = {name: _first(ranked, name) or dispatch[name] for name in (*_SAID, "eta_at")}
    raw = next((event.raw_status for event in ranked if event.raw_status), dispatch["raw_status"])
    ends = [event for event in ranked if event.status is status] if status in REPEATABLE else []
    failure = {name: _first(ends, name) for name in ("failure_code", "failure_reason")}
    return {**found, "raw_status": raw, **failure}


def _first(ranked: Sequence[Heard], name: str) -> Any:
    return next((event.said[name] for event in ranked if event.said.get(name)), None)


def _ranked(events: Sequence[Heard]) -> list[Heard]:
    """Furthest first. A word that is not known was said of whatever was the furthest by its instant."""
    rank, keys = -1, {}
    for event in sorted(events, key=lambda each: (each.at, each.event_id)):
        rank = rank if event.status is None else max(rank, RANK[event.status])
        own = rank if event.status is None else RANK[event.status]
        keys[event.id] = (own, event.at, event.event_id)
    return sorted(events, key=lambda each: keys[each.id], reverse=True)
