"""What is reported of pharmacies, orders and payments, and what is wrong with it. No database.

Latitude and longitude are WGS 84 degrees, money is in the currency's minor unit, instants are aware.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dispatchlog.engine.errors import DispatchlogError


class CourierError(DispatchlogError):
    """It cannot be taken or done as things are; `field` names the culprit, if any. Nothing was changed."""

    def __init__(self, message: str, *, code: str, field: str = "") -> None:
        super().__init__(message, code=code)
        self.field = field


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: the address in words and its coordinates."""

    address: str
    latitude: float
    longitude: float
    city: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PharmacyInput:
    """A pharmacy as reported; `email` gets the updates."""

    code: str
    name: str
    phone: str
    place: Place
    email: str | None = None


@dataclass(frozen=True, slots=True)
class ItemInput:
    """One line of an order."""

    name: str
    quantity: int


@dataclass(frozen=True, slots=True)
class PatientInput:
    """Who gets the order; the delivery code goes to `email`."""

    name: str
    phone: str
    email: str
    patient_id: str = ""


@dataclass(frozen=True, slots=True)
class OrderInput:
    """An order as reported; `total_minor` in the minor unit of `currency` (ISO 4217), `deliver_by` what was promised."""

    order_id: UUID
    order_number: str
    pharmacy: str
    patient: PatientInput
    place: Place
    items: Sequence[ItemInput]
    currency: str
    total_minor: int
    deliver_by: datetime | None = None


@dataclass(frozen=True, slots=True)
class PaymentInput:
    """What became of an order's payment: `status` is Pending, Paid, Failed or Refunded."""

    status: str
    reference: str = ""
    paid_at: datetime | None = None
