"""The lanes that whoever is signed in may see, for every page that is theirs. Owns that rule; services and the machinery
ask the registry itself.
"""

from __future__ import annotations

from collections.abc import Collection

from dashboard.access import may
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Lane, gateway_names
from dispatchlog.systems import registry


def visible_lanes() -> tuple[Lane, ...]:
    """Those whose audience they belong to, in the registry's order; none for whoever is not signed in."""
    return _of_audiences({audience for audience in _audiences() if may(audience)})


def hidden_lanes() -> frozenset[str]:
    """The names of the lanes that they may not see, to be left out of what is found by its lane's name."""
    return hidden_from([audience for audience in _audiences() if may(audience)])


def hidden_from(permissions: Collection[str]) -> frozenset[str]:
    """The names of the lanes that nobody with these permissions alone may see."""
    seen = _of_audiences(permissions)
    return frozenset(lane.name for lane in registry.lanes() if lane not in seen)


def hidden_subjects() -> list[str]:
    """The same, and the gateways by which nothing leaves but what they may not see: what an alert or a hold can be of."""
    only_theirs = gateway_names(registry.lanes()) - gateway_names(visible_lanes()) if hidden_lanes() else set()
    return sorted(hidden_lanes() | only_theirs)


def visible_lane(name: str) -> Lane:
    """The lane of this name.

    Raises:
        UnknownLane: there is none, or none for them, which looks the same.
    """
    lane = registry.lane(name)
    if not may(lane.audience):
        raise UnknownLane(f"no lane is named {name[:64]!r}")
    return lane


def _audiences() -> set[str]:
    return {lane.audience for lane in registry.lanes()}


def _of_audiences(permissions: Collection[str]) -> tuple[Lane, ...]:
    return tuple(lane for lane in registry.lanes() if lane.audience in permissions)
