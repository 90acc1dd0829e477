"""What follows if a dispatch is tried again now, in plain words, before anybody presses the button. Owns the sentences;
changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

from dashboard.dispatch_queries import Event, is_first_try, siblings
from dashboard.masking import mask, mask_text
from dashboard.presentation import ago
from dashboard.wording import verb_of
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.lanes import Lane, Row


def consequences(
    lane: Lane, row: Row, *, recipient: str | None, events: Sequence[Event], circuit: BreakerState
) -> list[str]:
    """What a retry does, and what to know before it: the last try, the pause of the provider, others of the subject."""
    verb = verb_of(lane.name)
    whom = f" to {mask(recipient)}" if recipient else f" at {lane.gateway.name}"
    said = [f"It is {verb.past} once{whom}."]
    if row["status"] == "PENDING":
        said = [f"It becomes due at once; it is then {verb.past} once{whom}."]
        if lane.waits_for_sweep and is_first_try(row):
            said.append("It leaves with the next sweep.")
    elif row["in_doubt"]:
        said.append("The same content goes out under the same key, so it cannot take effect twice.")
    elif not lane.body_on_row:
        said.append("It is written afresh, with what is known now.")
    if caution := caution_of(lane, row):
        said.append(caution)
    said.append(_last_try(events))
    if circuit.state == "open":
        said.append(f"Calls to {lane.gateway.name} are paused just now, so it waits until they go through.")
    if others := _others(lane, row):
        said.append(others)
    return said


def caution_of(lane: Lane, row: Row) -> str:
    """What speaks against sending it, as far as its lane knows; "" where nothing does."""
    return lane.caution(row) if lane.caution is not None else ""


def _last_try(events: Sequence[Event]) -> str:
    tries = [event for event in events if event.kind == "attempt" and event.row["outcome"] != "NOT_SENT"]
    if not tries:
        return "It has never been tried."
    last = tries[-1]
    ended = mask_text(last.row["message"]) or "without an answer"
    return f"The last try was {ago(last.at)}: {ended.rstrip('.')}."


def _others(lane: Lane, row: Row) -> str:
    counted = siblings(lane, row)
    words = [f"{number} {state.lower()}" for state, number in counted.items()]
    return f"Others of the same kind for the same subject: {', '.join(words)}." if words else ""
