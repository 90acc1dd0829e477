"""Telling workers that events, answers or campaigns wait. Owns the names; the tables carry what waits."""

from __future__ import annotations

from collections.abc import Callable

from dispatchlog.hints import Hint

# Each is one name for the nudge, the queue and the actor.
EVENTS = "outreach_events"
INBOUND = "outreach_inbound"
CAMPAIGNS = "outreach_campaigns"
# Where upstream services bring whole reports and requests.
REPORTS = "OUTREACH_REPORTS"
QUEUES = (EVENTS, INBOUND, CAMPAIGNS, REPORTS)

_hints = {name: Hint(name) for name in (EVENTS, INBOUND, CAMPAIGNS)}


def wake(name: str) -> None:
    """Have workers take up what waits (`EVENTS`, `INBOUND`, `CAMPAIGNS`); comes back at once, whatever the broker does."""
    _hints[name].send()


def taken_up(name: str) -> None:
    """Forget that a hint is on its way; before looking, or one sent in between would be lost."""
    _hints[name].taken_up()


def take_up(name: str, work: Callable[[], object]) -> None:
    """Do what waits under this name, one thread of a process at a time."""
    _hints[name].take_up(work)
