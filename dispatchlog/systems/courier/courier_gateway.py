"""To which courier's client a booking or cancellation is handed. Owns the choice; speaks no courier's language.

A row names the courier it was made for, so one that was asked for before another courier was chosen never reaches that
other one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Literal

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Permanent
from dispatchlog.engine.gateway import Gateway, GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.gateways.courier import Courier
from dispatchlog.systems.courier import couriers

COURIER = "courier"  # the letter's header that names the row's courier
Act = Literal["booking", "cancellation"]


def chosen_courier() -> Courier | None:
    """The courier that new dispatches are booked with; None while the setting names none."""
    return couriers.booking_courier()


class CourierGateway:
    """The client of the row's courier, for one of the two acts; where none is configured it refuses."""

    def __init__(self, act: Act) -> None:
        self._act: Act = act
        chosen = chosen_courier()
        self._own: Gateway | None = None if chosen is None else getattr(chosen, act)
        own = self._own
        self.name = own.name if own else f"courier-{act}"
        self.kind = own.kind if own else GatewayKind.LOOKUP if act == "booking" else GatewayKind.IDEMPOTENT
        self.deadline_seconds = own.deadline_seconds if own else 20.0
        self.key_retention: timedelta | None = own.key_retention if own else None
        self.indexing_delay = own.indexing_delay if own else timedelta(0)

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        """Through the row's courier.

        Raises:
            Permanent: COURIER_NOT_CONFIGURED; nothing was sent.
            Transient, Permanent, OutcomeUnknown: as that courier's client says.
        """
        gateway = self._of(parcel)
        if gateway is None:
            raise Permanent(
                f"the courier {parcel.headers.get(COURIER, '')!r}, with which this was to be done, is not configured",
                code="COURIER_NOT_CONFIGURED",
            )
        return gateway.send(parcel, deadline=deadline, before_write=before_write)

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:
        """Asks the row's courier; UNSURE where it is not configured any more."""
        gateway = self._of(parcel)
        if gateway is None:
            return LookUp(LookUpAnswer.UNSURE)
        return gateway.look_up(parcel, since=since, deadline=deadline)

    def _of(self, parcel: Parcel) -> Gateway | None:
        """The engine recovers by this gateway's kind, so a courier of another kind is not reached through it."""
        if self._own is None:
            return None
        courier = couriers.couriers().get(parcel.headers.get(COURIER, ""))
        gateway: Gateway | None = None if courier is None else getattr(courier, self._act)
        return gateway if gateway is not None and gateway.kind is self.kind else None

    def close(self) -> None:
        if self._own is not None:
            self._own.close()
