"""The lanes that whoever is signed in may see, for every page that is theirs. Owns that rule; services and the machinery
ask the registry itself.
"""

from __future__ import annotations

from dashboard.access import may
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Lane
from dispatchlog.systems import registry


def visible_lanes() -> tuple[Lane, ...]:
    """Those whose audience they belong to, in the registry's order; none for whoever is not signed in."""
    return tuple(lane for lane in registry.lanes() if may(lane.audience))


def visible_lane(name: str) -> Lane:
    """The lane of this name.

    Raises:
        UnknownLane: there is none, or none for them, which looks the same.
    """
    lane = registry.lane(name)
    if not may(lane.audience):
        raise UnknownLane(f"no lane is named {name[:64]!r}")
    return lane
