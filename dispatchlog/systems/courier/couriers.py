"""Which couriers there are, by the settings. Owns the list: one that books, and all that can still be asked."""

from __future__ import annotations

from collections.abc import Mapping

from dispatchlog.gateways.courier import Courier


def couriers() -> Mapping[str, Courier]:
    """Every configured courier by name; empty where none is."""
    raise NotImplementedError


def booking_courier() -> Courier | None:
    """The one that new dispatches are booked with (setting `courier`); None: none is configured."""
    raise NotImplementedError
