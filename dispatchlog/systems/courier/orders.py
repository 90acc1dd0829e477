"""Pharmacy orders: reporting them, their payment, marking them ready, and the gate that books a courier. Owns their table.

Everything that changes an order takes its row's lock first, and writes the change's `order_changes` row with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from dispatchlog.systems.courier.inputs import OrderInput, PaymentInput

OrderRow = Mapping[str, Any]


class Waiting(StrEnum):
    """What the gate waits for before a courier is booked; stable codes."""

    PAYMENT_NOT_CAPTURED = "PAYMENT_NOT_CAPTURED"
    NOT_MARKED_READY = "NOT_MARKED_READY"
    NO_COURIER = "NO_COURIER"


@dataclass(frozen=True, slots=True)
class ReadyResult:
    """What marking an order ready came to.

    `waiting_for` is what the gate still waits for, empty once a dispatch exists; `changed` is false where nothing new
    happened; `retried`: a booking that had failed was set going again.
    """

    order: OrderRow
    changed: bool
    waiting_for: Sequence[Waiting] = ()
    retried: bool = False
    booking: Mapping[str, Any] = field(default_factory=dict)


def put_order(order: OrderInput, *, source: str, trace_id: str) -> tuple[OrderRow, bool]:
    """Store the order; the row and whether it is new. The same report again changes nothing.

    What a courier has been told cannot be changed: once a dispatch exists, another report than the stored one is refused.

    Raises:
        CourierError: PHARMACY_NOT_FOUND, ORDER_NUMBER_TAKEN, ORDER_ALREADY_DISPATCHED, INVALID_* with the field.
    """
    raise NotImplementedError


def capture_payment(order_id: UUID, payment: PaymentInput, *, source: str) -> OrderRow:
    """Note what became of the payment; Paid books the courier where the order is ready. Saying the same twice is one.

    Raises:
        CourierError: ORDER_NOT_FOUND, PAYMENT_STATUS_UNKNOWN, PAYMENT_FINAL (Refunded does not become Paid again).
    """
    raise NotImplementedError


def mark_ready(order_id: UUID, *, actor: str) -> ReadyResult:
    """The pharmacist has prepared the order: the courier is booked once it is paid too. Idempotent; with a booking that
    failed (and is not in doubt) it tries that again.

    Raises:
        CourierError: ORDER_NOT_FOUND.
    """
    raise NotImplementedError


def mark_many_ready(order_ids: Sequence[UUID], *, actor: str) -> Mapping[UUID, ReadyResult | str]:
    """Each on its own; for an order that could not be taken its code comes back."""
    raise NotImplementedError


def lock_order(order_id: UUID) -> OrderRow:
    """The order's row, locked until the transaction ends.

    Raises:
        CourierError: ORDER_NOT_FOUND.
    """
    raise NotImplementedError


def note_change(order_id: UUID, what: str, **columns: Any) -> OrderRow:
    """Set columns of a locked order, raise its version and write what those who listen are told; the row comes back.

    `what` is a stable word: created, paid, ready, dispatch, status, cancelling, code, tracking.
    """
    raise NotImplementedError


def open_gates() -> int:
    """Book what is paid and ready and has no dispatch (a courier was configured later); how many. For the clock."""
    raise NotImplementedError
