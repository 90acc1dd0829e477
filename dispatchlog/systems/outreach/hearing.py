"""What a message is after what was heard of it. Pure; owns no row.

Every column is the earliest instant at which something was heard, so the same events end the same, whatever order they came
in and however often.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from dispatchlog.systems.outreach.provider_words import Withdrawal, withdrawal
from dispatchlog.systems.outreach.states import Heard

COLUMNS = ("delivered_at", "opened_at", "clicked_at", "bounced_at", "bounce_code", "unsubscribed_at")
# Whoever opens a message or follows its link has got it.
_SETS: Mapping[Heard, tuple[str, ...]] = {
    Heard.SENT: (),
    Heard.DELIVERED: ("delivered_at",),
    Heard.OPENED: ("delivered_at", "opened_at"),
    Heard.CLICKED: ("delivered_at", "clicked_at"),
    Heard.BOUNCED: ("bounced_at",),
    Heard.UNSUBSCRIBED: ("unsubscribed_at",),
}
_RANK: Mapping[Heard, int] = {heard: rank for rank, heard in enumerate(_SETS)}
_KNOWN_BY = ((Heard.CLICKED, "clicked_at"), (Heard.OPENED, "opened_at"), (Heard.DELIVERED, "delivered_at"))


class Effect(StrEnum):
    """What an event did when it was applied."""

    MOVED = "MOVED"
    NOTED = "NOTED"
    BEHIND = "BEHIND"
    UNKNOWN = "UNKNOWN"
    UNMATCHED = "UNMATCHED"


@dataclass(frozen=True, slots=True)
class Event:
    """One stored event of a message."""

    id: int
    provider: str
    raw_status: str
    heard: Heard | None
    code: str
    occurred_at: datetime | None
    received_at: datetime
    provider_message_id: str = ""

    @property
    def withdrawal(self) -> Withdrawal | None:
        return withdrawal(self.provider, self.raw_status, self.code)


def event_of(row: Mapping[str, Any]) -> Event:
    """A row of `comm_events`."""
    return Event(
        id=row["id"],
        provider=row["provider"],
        raw_status=row["raw_status"],
        heard=Heard(row["status"]) if row["status"] else None,
        code=row["code"],
        occurred_at=row["occurred_at"],
        received_at=row["received_at"],
        provider_message_id=row["provider_message_id"],
    )


def fold(job: Mapping[str, Any], new: Sequence[Event]) -> tuple[dict[str, Any], dict[int, Effect]]:
    """The columns of the job that are others after `new` events, and what each event did."""
    state = {name: job[name] for name in COLUMNS}
    effects: dict[int, Effect] = {}
    for event in sorted(new, key=lambda each: each.id):
        before = dict(state)
        _take(state, event, at=_instant(event, job["created_at"]))
        effects[event.id] = _effect(event, before, changed=state != before)
    return {name: value for name, value in state.items() if value != job[name]}, effects


def _instant(event: Event, created_at: datetime) -> datetime:
    """When it happened as the provider says, as far as that can be: not before the message was made, nor after we heard."""
    return max(min(event.occurred_at or event.received_at, event.received_at), created_at)


def _take(state: dict[str, Any], event: Event, *, at: datetime) -> None:
    columns = _SETS[event.heard] if event.heard else ()
    if event.withdrawal is not None:
        columns = (*columns, "unsubscribed_at")
    for column in columns:
        if column == "bounced_at":
            _bounce(state, event.code, at)
        elif state[column] is None or at < state[column]:
            state[column] = at


def _bounce(state: dict[str, Any], code: str, at: datetime) -> None:
    """The first bounce counts; of two at one instant the smaller code, whichever came first."""
    known = state["bounced_at"]
    if known is None or (at, code) < (known, state["bounce_code"] or ""):
        state["bounced_at"], state["bounce_code"] = at, code


def _effect(event: Event, before: Mapping[str, Any], *, changed: bool) -> Effect:
    if event.heard is None and event.withdrawal is None:
        return Effect.UNKNOWN
    if changed:
        return Effect.MOVED
    furthest = next((heard for heard, column in _KNOWN_BY if before[column] is not None), Heard.SENT)
    return Effect.BEHIND if event.heard and _RANK[event.heard] < _RANK[furthest] else Effect.NOTED


def accepted(events: Sequence[Event]) -> dict[str, Any]:
    """What the ledger keeps as the provider's word that it has the message: it told of it."""
    first = min(events, key=lambda event: event.id)
    return {"webhook": {"provider": first.provider, "status": first.raw_status, "event": first.id}}
