"""What is wrong with a reported pharmacy, order or payment: pure checks, the first fault found is raised. No database."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

from dispatchlog.engine.errors import CannotCompose
from dispatchlog.systems.courier.inputs import CourierError, OrderInput, PaymentInput, PharmacyInput, Place
from dispatchlog.systems.mail import recipient_address

PENDING, FAILED, PAID, REFUNDED = "Pending", "Failed", "Paid", "Refunded"
# Reports of one payment come late and out of order, so the furthest one counts.
PAYMENT_RANK = {PENDING: 0, FAILED: 1, PAID: 2, REFUNDED: 3}

MOST_ITEMS = 100
MOST_QUANTITY = 100_000
# Far above any order, and exact in every JSON reader (RFC 8259 section 6).
MOST_MINOR = 10**12

_CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
_ORDER_NUMBER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/#-]{0,63}")
_CURRENCY = re.compile(r"[A-Z]{3}")
# ITU-T E.164 has at most 15 digits; people also write blanks, brackets, dots and hyphens.
_PHONE = re.compile(r"\+?[0-9][0-9 ().-]{3,30}")


def check_pharmacy(pharmacy: PharmacyInput) -> None:
    """Raise CourierError for the first thing wrong with the pharmacy."""
    if not _CODE.fullmatch(pharmacy.code):
        message = "a pharmacy's code is 1 to 40 letters, digits, dots, underscores or hyphens"
        raise CourierError(message, code="INVALID_CODE", field="code")
    _check_text(pharmacy.name, "name", most=255)
    _check_phone(pharmacy.phone, "phone")
    if pharmacy.email:
        _check_email(pharmacy.email, "email")
    _check_place(pharmacy.place, "place")


def check_order(order: OrderInput) -> None:
    """Raise CourierError for the first thing wrong with the order."""
    if not _ORDER_NUMBER.fullmatch(order.order_number):
        message = "orderNumber is 1 to 64 letters, digits or . _ / # -, and begins with a letter or digit"
        raise CourierError(message, code="INVALID_ORDER_NUMBER", field="orderNumber")
    if not _CODE.fullmatch(order.pharmacy):
        raise CourierError("this cannot be a pharmacy's code", code="PHARMACY_NOT_FOUND", field="pharmacy")
    _check_text(order.patient.name, "patient.name", most=255)
    _check_text(order.patient.patient_id, "patient.patientId", most=64, needed=False)
    _check_phone(order.patient.phone, "patient.phone")
    _check_email(order.patient.email, "patient.email")
    _check_place(order.place, "delivery")
    _check_items(order)
    if not _CURRENCY.fullmatch(order.currency):
        message = "currency is three capital letters (ISO 4217), such as NGN"
        raise CourierError(message, code="INVALID_CURRENCY", field="currency")
    if not _is_whole(order.total_minor) or not 0 <= order.total_minor <= MOST_MINOR:
        message = "totalMinor is a whole number of the currency's minor unit, 0 or more"
        raise CourierError(message, code="INVALID_AMOUNT", field="totalMinor")
    _check_instant(order.deliver_by, "deliverBy")


def check_payment(payment: PaymentInput) -> None:
    """Raise CourierError for the first thing wrong with the payment."""
    if payment.status not in PAYMENT_RANK:
        message = f"status is one of {', '.join(PAYMENT_RANK)}"
        raise CourierError(message, code="PAYMENT_STATUS_UNKNOWN", field="status")
    _check_text(payment.reference, "reference", most=128, needed=False)
    _check_instant(payment.paid_at, "paidAt")


def _check_items(order: OrderInput) -> None:
    if not 1 <= len(order.items) <= MOST_ITEMS:
        raise CourierError(f"an order has 1 to {MOST_ITEMS} items", code="INVALID_ITEMS", field="items")
    for position, item in enumerate(order.items):
        _check_text(item.name, f"items[{position}].name", most=255)
        if not _is_whole(item.quantity) or not 1 <= item.quantity <= MOST_QUANTITY:
            message = f"a quantity is a whole number from 1 to {MOST_QUANTITY}"
            raise CourierError(message, code="INVALID_ITEMS", field=f"items[{position}].quantity")


def _check_place(place: Place, field: str) -> None:
    _check_text(place.address, f"{field}.address", most=500)
    _check_text(place.city, f"{field}.city", most=120, needed=False)
    _check_text(place.note, f"{field}.note", most=500, needed=False)
    for name, value, most in (("latitude", place.latitude, 90), ("longitude", place.longitude, 180)):
        if not _is_number(value) or not -most <= value <= most:
            message = f"{name} is a number of degrees from -{most} to {most}"
            raise CourierError(message, code="INVALID_COORDINATES", field=f"{field}.{name}")
    if place.latitude == 0 and place.longitude == 0:
        # What a form without a map sends; no courier could find it.
        message = "the coordinates 0, 0 are in the Atlantic: send those of the address"
        raise CourierError(message, code="INVALID_COORDINATES", field=f"{field}.latitude")


def _check_text(text: str, field: str, *, most: int, needed: bool = True) -> None:
    if needed and not text.strip():
        raise CourierError("this must not be empty", code="INVALID_TEXT", field=field)
    if len(text) > most:
        raise CourierError(f"this is longer than {most} characters", code="INVALID_TEXT", field=field)
    if not text.isprintable():
        # A line break or control character would reach labels, mails and logs.
        raise CourierError("this holds a line break or control character", code="INVALID_TEXT", field=field)


def _check_phone(phone: str, field: str) -> None:
    digits = sum(character.isdigit() for character in phone)
    if not _PHONE.fullmatch(phone) or not 5 <= digits <= 15:
        message = "this is not a telephone number; write it with its country code, such as +2348012345678"
        raise CourierError(message, code="INVALID_PHONE", field=field)


def _check_email(address: str, field: str) -> None:
    try:
        recipient_address(address)
    except CannotCompose as error:
        raise CourierError("this is not an e-mail address", code="INVALID_EMAIL", field=field) from error
    if len(address) > 320:
        raise CourierError("this is not an e-mail address", code="INVALID_EMAIL", field=field)


def _check_instant(instant: datetime | None, field: str) -> None:
    if instant is None:
        return
    if instant.tzinfo is None:
        raise CourierError(f"{field} needs a time zone", code="NAIVE_DATE", field=field)
    try:
        instant.astimezone(UTC)
    except OverflowError as error:
        raise CourierError(f"{field} is out of range", code="INVALID_DATE", field=field) from error


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
