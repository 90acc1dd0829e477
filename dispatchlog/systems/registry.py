"""Every lane of the product, one line each. Owns the list; a new system adds its line here and nothing else changes."""

from __future__ import annotations

from functools import lru_cache

from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Lane
from dispatchlog.systems import kits
from dispatchlog.systems.courier.booking import courier_booking_lane
from dispatchlog.systems.courier.cancellation_lane import courier_cancellation_lane
from dispatchlog.systems.courier.messages import courier_message_lane
from dispatchlog.systems.hl7.lane import hl7_lane
from dispatchlog.systems.outreach.lane import comm_job_lane
from dispatchlog.systems.tickets.notifications import ticket_notification_lane

_FACTORIES = (
    kits.kit_registration_lane,
    kits.health_information_lane,
    hl7_lane,
    courier_booking_lane,
    courier_cancellation_lane,
    courier_message_lane,
    ticket_notification_lane,
    comm_job_lane,
)
_extra: list[Lane] = []


@lru_cache(maxsize=1)
def _registered() -> tuple[Lane, ...]:
    return tuple(factory() for factory in _FACTORIES)


def lanes() -> tuple[Lane, ...]:
    """All lanes, in the order of their systems."""
    return (*_registered(), *_extra)


def lane(name: str) -> Lane:
    """The lane of this name.

    Raises:
        UnknownLane: there is none; names come from messages and URLs, which anybody could have written.
    """
    for known in lanes():
        if known.name == name:
            return known
    raise UnknownLane(f"no lane is named {name[:64]!r}")


def chosen(names: str) -> tuple[Lane, ...]:
    """The lanes of these names, with commas between them; all where there is none.

    Raises:
        UnknownLane: there is none of a name.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    return tuple(lane(name) for name in dict.fromkeys(wanted)) or lanes()


def register(extra: Lane) -> None:
    """Add a lane that no system owns: benchmarks and tests bring throw-away ones."""
    _extra.append(extra)


def unregister(extra: Lane) -> None:
    """Take a lane that `register` added out again."""
    _extra.remove(extra)


def forget() -> None:
    """Build the lanes anew on next use, from the settings then in force; for tests."""
    _registered.cache_clear()
