"""Telling workers that events of couriers wait. Owns the names; the table carries what waits."""

from __future__ import annotations

from dispatchlog.hints import Hint

# One name for the nudge, the queue and the actor.
EVENTS = "courier_events"
POLLS = "courier_polls"

_events = Hint(EVENTS)


def wake() -> None:
    """Have workers apply what is stored; comes back at once, whatever the broker does."""
    _events.send()


def taken_up() -> None:
    """Forget that a hint is on its way; before looking, or one sent in between would be lost."""
    _events.taken_up()
