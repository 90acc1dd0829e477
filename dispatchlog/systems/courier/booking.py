"""Lane `courier_booking`: one courier dispatch to be booked with the courier. Owns what is sent and what follows."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.lanes import Lane
from dispatchlog.systems.courier.orders import OrderRow

LANE = "courier_booking"


def courier_booking_lane() -> Lane:
    """The lane; LOOKUP or IDEMPOTENT as the configured courier is."""
    raise NotImplementedError


def request_dispatch(order: OrderRow, *, actor: str) -> UUID:
    """Begin the order's next dispatch and enqueue its booking, in the caller's transaction with the order locked.

    The dispatch's id comes back. The database refuses a second open one.
    """
    raise NotImplementedError
