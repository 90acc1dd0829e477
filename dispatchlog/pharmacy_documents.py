"""The JSON documents in which pharmacies, their orders and payments are reported. Owns their shape and size; never stores.

The API and the actors read the same documents, so what one takes the other takes. Rules about their values belong to
`dispatchlog.systems.courier`, which checks them before it writes.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import Field

from dispatchlog.order_documents import ONE_LINE, Address, Document, Id, Instant, ReasonText
from dispatchlog.systems.courier.checks import PAYMENT_RANK
from dispatchlog.systems.courier.inputs import (
    ItemInput,
    OrderInput,
    PatientInput,
    PaymentInput,
    PharmacyInput,
    Place,
)

MAX_ITEMS = 100

Name = Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
Phone = Annotated[str, Field(min_length=1, max_length=32, examples=["+971501234567"]), ONE_LINE]
Code = Annotated[str, Field(min_length=1, max_length=40, examples=["AL-NOOR"]), ONE_LINE]


class PlaceDocument(Document):
    """Where something is. Coordinates are WGS 84 degrees; couriers need them."""

    address: Annotated[str, Field(min_length=1, max_length=500), ONE_LINE]
    city: Annotated[str, Field(max_length=120), ONE_LINE] = ""
    latitude: Annotated[float, Field(examples=[25.2048])]
    longitude: Annotated[float, Field(examples=[55.2708])]
    note: Annotated[str, Field(max_length=500, description="for the driver; nothing about health"), ONE_LINE] = ""

    def to_input(self) -> Place:
        return Place(self.address, self.latitude, self.longitude, self.city, self.note)


class PharmacyDocument(Document):
    """A pharmacy: where orders are picked up. `email` gets updates."""

    name: Name
    phone: Phone
    email: Address | None = None
    place: PlaceDocument

    def to_input(self, code: str) -> PharmacyInput:
        return PharmacyInput(code, self.name, self.phone, self.place.to_input(), self.email)


class PatientDocument(Document):
    """Who gets the order; the delivery code goes to `email`."""

    name: Name
    phone: Phone
    email: Address
    patient_id: Annotated[str, Field(max_length=64), ONE_LINE] = ""

    def to_input(self) -> PatientInput:
        return PatientInput(self.name, self.phone, self.email, self.patient_id)


class ItemDocument(Document):
    """One line of an order; couriers are told only how many there are."""

    name: Name
    quantity: Annotated[int, Field(ge=1, le=100_000)]


class PharmacyOrderDocument(Document):
    """An order of medicines. `totalMinor` is in the currency's minor unit; `deliverBy` is what was promised."""

    order_id: Annotated[Id | None, Field(description="over HTTP optional, and then the same as in the URL")] = None
    order_number: Annotated[str, Field(min_length=1, max_length=64), ONE_LINE]
    pharmacy: Annotated[Code, Field(description="the pharmacy's code")]
    patient: PatientDocument
    delivery: PlaceDocument
    items: Annotated[list[ItemDocument], Field(min_length=1, max_length=MAX_ITEMS)]
    currency: Annotated[str, Field(min_length=3, max_length=3, examples=["AED"]), ONE_LINE]
    total_minor: Annotated[int, Field(ge=0, le=2**53)]
    deliver_by: Instant | None = None

    def to_input(self, order_id: UUID) -> OrderInput:
        return OrderInput(
            order_id=order_id,
            order_number=self.order_number,
            pharmacy=self.pharmacy,
            patient=self.patient.to_input(),
            place=self.delivery.to_input(),
            items=tuple(ItemInput(item.name, item.quantity) for item in self.items),
            currency=self.currency,
            total_minor=self.total_minor,
            deliver_by=self.deliver_by,
        )


class PaymentDocument(Document):
    """What became of an order's payment."""

    order_id: Annotated[Id | None, Field(description="over HTTP optional, and then the same as in the URL")] = None
    status: Annotated[str, Field(max_length=16, json_schema_extra={"enum": [*PAYMENT_RANK]}), ONE_LINE]
    reference: Annotated[str, Field(max_length=128), ONE_LINE] = ""
    paid_at: Instant | None = None

    def to_input(self) -> PaymentInput:
        return PaymentInput(self.status, self.reference, self.paid_at)


class ReasonDocument(Document):
    """Why, for the record."""

    reason: ReasonText = ""


class CodeDocument(Document):
    """The delivery code that the patient read out: six digits."""

    code: Annotated[str, Field(max_length=64, examples=["482916"])]


class NothingDocument(Document):
    """Nothing: an empty body or `{}`."""
