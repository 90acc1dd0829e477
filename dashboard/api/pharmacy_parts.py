"""What the API answers of pharmacy orders. Each class lists what may leave; patients are masked, codes never leave."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.api.documents import Answer, Part
from dashboard.masking import mask, mask_name, mask_text
from dispatchlog.systems.courier.code_rules import MOST_TRIES
from dispatchlog.systems.courier.reading import OrderState
from dispatchlog.systems.courier.states import DispatchStatus, actions, shown

Row = Mapping[str, Any]


class PharmacyAnswer(Answer):
    """A pharmacy as it is stored."""

    code: str
    name: str
    phone: str
    email: str | None
    address: str
    city: str
    latitude: float
    longitude: float
    updated_at: datetime


class PatientPart(Part):
    """Who gets the order, masked: enough to recognise, too little to learn."""

    patient_id: str
    name: str
    phone: str
    email: str

    @classmethod
    def of(cls, order: Row) -> PatientPart:
        return cls(
            patient_id=order["patient_id"],
            name=mask_name(order["patient_name"]),
            phone=mask(order["patient_phone"]),
            email=mask(order["patient_email"]),
        )


class ItemPart(Part):
    """One line of the order."""

    name: str
    quantity: int


class BookingPart(Part):
    """The booking with the courier: a dispatch of lane `courier_booking`. `error` is DISPATCH_CREATION_FAILED or null."""

    dispatch_log_id: UUID
    status: str
    in_doubt: bool
    attempts: int
    error: str | None
    last_error_code: str | None
    last_error: str | None

    @classmethod
    def of(cls, row: Row) -> BookingPart:
        failed = row["status"] == "FAILED"
        return cls(
            dispatch_log_id=row["id"],
            status=row["status"],
            in_doubt=row["in_doubt"],
            attempts=row["attempts"],
            error="DISPATCH_CREATION_FAILED" if failed else None,
            last_error_code=row["last_error_code"],
            last_error=mask_text(row["last_error"]) or None,
        )


class DeliveryCodePart(Part):
    """The patient's code: when it ends and how many tries are left; never the code."""

    expires_at: datetime
    tries_left: int
    locked: bool

    @classmethod
    def of(cls, dispatch: Row) -> DeliveryCodePart | None:
        if dispatch["code_expires_at"] is None:
            return None
        locked = dispatch["code_locked_at"] is not None
        left = 0 if locked else MOST_TRIES - dispatch["code_tries"]
        return cls(expires_at=dispatch["code_expires_at"], tries_left=left, locked=locked)


class CourierDispatchPart(Part):
    """One attempt to bring the order. `status` is null until the courier has the booking."""

    dispatch_id: UUID
    attempt: int
    courier: str
    status: str | None
    raw_status: str
    courier_reference: str | None
    tracking_url: str | None
    driver_name: str | None
    driver_phone: str | None
    eta_at: datetime | None
    requested_at: datetime
    booked_at: datetime | None
    assigned_at: datetime | None
    picked_up_at: datetime | None
    in_transit_at: datetime | None
    ended_at: datetime | None
    failure_code: str | None
    failure_reason: str | None
    confirmed_by: str | None
    cancel_requested_at: datetime | None
    cancel_refused: str | None
    disagreement: str | None
    booking: BookingPart | None
    delivery_code: DeliveryCodePart | None

    @classmethod
    def of(cls, row: Row) -> CourierDispatchPart:
        booking = row.get("booking")
        return cls(
            **{
                **row,
                "dispatch_id": row["id"],
                "status": shown(row["status"]),
                "raw_status": mask_text(row["raw_status"]),
                "cancel_refused": mask_text(row["cancel_refused"]) or None,
                "driver_phone": mask(row["driver_phone"]) or None,
                "failure_reason": mask_text(row["failure_reason"]) or None,
                "booking": BookingPart.of(booking) if booking else None,
                "delivery_code": DeliveryCodePart.of(row),
            }
        )


class CourierEventPart(Part):
    """What was heard of the order's dispatches, and what it did. `status` is null where the courier's word is not known."""

    at: datetime
    dispatch_id: UUID | None
    source: str
    status: str | None
    raw_status: str
    occurred_at: datetime | None
    effect: str | None
    actor: str
    reason: str

    @classmethod
    def of(cls, row: Row) -> CourierEventPart:
        masked = {name: mask_text(row[name]) for name in ("raw_status", "reason")}
        return cls(**{**row, **masked, "at": row["received_at"]})


class OrderSummaryPart(Part):
    """An order in a list. `traceId` is the order's own, which goes with it to the courier and into every event."""

    order_id: UUID
    order_number: str
    payment_status: str
    is_ready_for_dispatch: bool
    dispatch_id: UUID | None
    dispatch_status: str | None
    deliver_by: datetime | None
    currency: str
    total_minor: int
    version: int
    created_at: datetime
    updated_at: datetime
    trace_id: str

    @classmethod
    def of(cls, order: Row) -> OrderSummaryPart:
        return cls(**_summary(order))


class PharmacyOrderPart(OrderSummaryPart):
    """An order with everything that became of it.

    `waitingFor` says what stands before a courier is booked, `actions` what can be done with the newest dispatch.
    """

    pharmacy: str
    patient: PatientPart
    items: list[ItemPart]
    paid_at: datetime | None
    ready_at: datetime | None
    waiting_for: list[str]
    actions: list[str]
    dispatch: CourierDispatchPart | None
    dispatches: list[CourierDispatchPart]
    events: list[CourierEventPart]

    @classmethod
    def of_state(cls, state: OrderState) -> PharmacyOrderPart:
        newest = state.dispatch
        told = {
            "pharmacy": state.pharmacy["code"],
            "patient": PatientPart.of(state.order),
            "items": [ItemPart(**item) for item in state.items],
            "waiting_for": list(state.waiting_for),
            "actions": [str(action) for action in actions(DispatchStatus(newest["status"]))] if newest else [],
            "dispatch": CourierDispatchPart.of(newest) if newest else None,
            "dispatches": [CourierDispatchPart.of(dispatch) for dispatch in state.dispatches],
            "events": [CourierEventPart.of(event) for event in state.events],
        }
        return cls(**{**_summary(state.order), **told})


class PharmacyOrderAnswer(Answer):
    """The order as it stands."""

    order: PharmacyOrderPart


class ReadyAnswer(PharmacyOrderAnswer):
    """The order, and what marking it ready came to: `waitingFor` is empty once a courier is being booked.

    `bookingRetried`: a booking that had failed was set going again.
    """

    changed: bool
    waiting_for: list[str]
    booking_retried: bool


class PharmacyOrderListAnswer(Answer):
    """One page of orders, newest first. `total` counts up to a limit; `totalIsExact` says whether it is all."""

    orders: list[OrderSummaryPart]
    page: int
    page_size: int
    total: int
    total_is_exact: bool


class SocketTicketAnswer(Answer):
    """What lets somebody listen to this order alone: `auth: {ticket}` of the socket, until `expiresAt`."""

    ticket: str
    room: str
    expires_at: datetime


def _summary(order: Row) -> dict[str, Any]:
    return {**order, "order_id": order["id"], "dispatch_status": shown(order["dispatch_status"])}
