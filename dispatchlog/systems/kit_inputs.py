"""What upstream services report: orders, kits, practitioners, shipments, and what is wrong with them. No database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from uuid import UUID

from dispatchlog.engine.errors import CannotCompose, DispatchlogError
from dispatchlog.systems.kit_names import kit_name
from dispatchlog.systems.mail import recipient_address

KIT_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# The furthest status wins: two services report one order independently and not in order.
STATUS_RANK = {"created": 0, "paid": 1, "processing": 2, "shipped": 3, "delivered": 4, "cancelled": 5}


class OrderError(DispatchlogError):
    """The order cannot be taken as it is; `field` names the culprit. Nothing was stored."""

    def __init__(self, message: str, *, code: str, field: str = "") -> None:
        super().__init__(message, code=code)
        self.field = field


@dataclass(frozen=True, slots=True)
class KitInput:
    """One kit as reported: `kit_id` is 1 to 64 of A-Z a-z 0-9 . _ - in any case."""

    kit_id: str
    recipient_email: str | None = None


@dataclass(frozen=True, slots=True)
class PractitionerInput:
    """The order's practitioner as reported."""

    id: UUID
    name: str
    email: str | None = None


@dataclass(frozen=True, slots=True)
class ShipmentInput:
    """What an upstream service says of a shipment; None leaves what is known."""

    shipping_date: datetime | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    status: str | None = None


@dataclass(frozen=True, slots=True)
class OrderInput:
    """An order as reported. Instants are aware; kits once reported stay with the order."""

    order_id: UUID
    order_number: str
    practitioner: PractitionerInput | None = None
    status: str = "created"
    shipping_date: datetime | None = None
    tracking_number: str | None = None
    tracking_url: str | None = None
    kits: tuple[KitInput, ...] = ()


def check_order(order: OrderInput) -> None:
    """Raise OrderError for the first thing wrong with the order; touches no database."""
    if not order.order_number.strip() or len(order.order_number) > 64 or not order.order_number.isprintable():
        raise OrderError("orderNumber must be 1 to 64 characters", code="INVALID_ORDER_NUMBER", field="orderNumber")
    check_shipment(order.status, order.shipping_date, order.tracking_url)
    seen: set[str] = set()
    for position, kit in enumerate(order.kits):
        place = f"kits[{position}]"
        if not KIT_ID.fullmatch(kit.kit_id):
            message = "a kit id is 1 to 64 letters, digits, dots, underscores or hyphens"
            raise OrderError(message, code="INVALID_KIT_ID", field=f"{place}.kitId")
        if kit_name(kit.kit_id) in seen:
            message = f"kit {kit.kit_id} stands twice in the order; upper and lower case are the same"
            raise OrderError(message, code="DUPLICATE_KIT", field=f"{place}.kitId")
        seen.add(kit_name(kit.kit_id))
        _check_email(kit.recipient_email, f"{place}.recipientEmail")
    if order.practitioner is not None:
        _check_email(order.practitioner.email, "practitioner.email")


def _check_email(address: str | None, place: str) -> None:
    if address and not _is_email(address):
        raise OrderError("this is not an e-mail address", code="INVALID_EMAIL", field=place)


@lru_cache(maxsize=10_000)
def _is_email(address: str) -> bool:
    """Remembered, because a file of orders names the same practitioners again and again."""
    try:
        recipient_address(address)
    except CannotCompose:
        return False
    return True


def check_shipment(status: str | None, shipping_date: datetime | None, tracking_url: str | None) -> None:
    """Raise OrderError for the first thing wrong with what is said of a shipment."""
    if status is not None and status not in STATUS_RANK:
        raise OrderError(f"status is one of {', '.join(STATUS_RANK)}", code="UNKNOWN_STATUS", field="status")
    if shipping_date is not None and shipping_date.tzinfo is None:
        raise OrderError("shippingDate needs a time zone", code="NAIVE_DATE", field="shippingDate")
    if tracking_url and not re.match(r"https?://[^\s]{1,2000}$", tracking_url):
        raise OrderError("trackingUrl must be an http(s) URL", code="INVALID_TRACKING_URL", field="trackingUrl")
