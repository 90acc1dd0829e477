"""Telling workers that events of couriers wait. Owns the names; the table carries what waits."""

from __future__ import annotations

from collections.abc import Callable

from dispatchlog.hints import Hint

# One name for the nudge, the queue and the actor.
EVENTS = "courier_events"
POLLS = "courier_polls"

_events = Hint(EVENTS)


def wake() -> None:
    """Have workers apply what is stored; comes back at once, whatever the broker does."""
    _events.send()


def take_up(work: Callable[[], object]) -> None:
    """Do what waits, one thread of a process at a time."""
    _events.take_up(work)
