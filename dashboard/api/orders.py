"""The API's routes for kit orders: they hand what was reported to the kits system and answer what became of it. No SQL."""

from __future__ import annotations

from dataclasses import asdict

from dashboard.api.documents import OrderAnswer, RegistrationAnswer
from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.routes import Call, Route, path_uuid
from dispatchlog.order_documents import Document, OrderDocument, ShipmentDocument
from dispatchlog.systems import kit_orders, kit_registering

_RULES = (
    "DUPLICATE_KIT",
    "INVALID_KIT_ID",
    "INVALID_EMAIL",
    "INVALID_ORDER_NUMBER",
    "INVALID_TRACKING_URL",
    "UNKNOWN_STATUS",
)


class EmptyDocument(Document):
    """Nothing: an empty body or `{}`."""


def put_order(call: Call, order_id: str) -> OrderAnswer:
    """Create or update an order. Saying the same twice changes nothing."""
    wanted = path_uuid(order_id, "orderId")
    document: OrderDocument = call.document
    if document.order_id not in (None, wanted):
        raise ApiError("ORDER_ID_MISMATCH", "orderId in the body is not the one in the URL", field="orderId")
    return OrderAnswer.of(kit_orders.put_order(document.to_input(wanted), source=call.source))


def report_shipment(call: Call, order_id: str) -> OrderAnswer:
    """Add what one service knows of a shipment."""
    wanted = path_uuid(order_id, "orderId")
    document: ShipmentDocument = call.document
    if document.is_empty():
        raise ApiError("EMPTY_REPORT", "say at least one of shippingDate, trackingNumber, trackingUrl and status")
    return OrderAnswer.of(kit_orders.report_shipment(wanted, document.to_input(), source=call.source))


def get_order(_: Call, order_id: str) -> OrderAnswer:
    """The order as it stands."""
    return OrderAnswer.of(kit_orders.order_state(path_uuid(order_id, "orderId")))


def register_order(call: Call, order_id: str) -> RegistrationAnswer:
    """Do what the queue's message does, at once; but an order that nobody has reported is refused, not waited for."""
    wanted = path_uuid(order_id, "orderId")
    kit_orders.order_state(wanted)
    return RegistrationAnswer(**asdict(kit_registering.register_order(wanted, source=call.source)))


_ORDER = f"{PREFIX}/kit-orders/<order_id>"

ROUTES = (
    Route(
        "PUT",
        _ORDER,
        "putKitOrder",
        "Create or update an order; once it is shipped its kits are registered.",
        "orders:write",
        put_order,
        OrderAnswer,
        document=OrderDocument,
        codes=("ORDER_ID_MISMATCH", *_RULES),
    ),
    Route(
        "GET",
        _ORDER,
        "getKitOrder",
        "An order, its kits, and what became of each registration and form.",
        "orders:read",
        get_order,
        OrderAnswer,
        codes=("ORDER_NOT_FOUND",),
    ),
    Route(
        "PATCH",
        f"{_ORDER}/shipment",
        "reportShipment",
        "Add what is known of an order's shipment; any of the fields means that it left.",
        "orders:write",
        report_shipment,
        OrderAnswer,
        document=ShipmentDocument,
        codes=("ORDER_NOT_FOUND", "EMPTY_REPORT", "INVALID_TRACKING_URL", "UNKNOWN_STATUS"),
    ),
    Route(
        "POST",
        f"{_ORDER}/register",
        "registerKitOrder",
        "Take up a stored order's kits for registration, or learn why not; what the queue's message does.",
        "orders:write",
        register_order,
        RegistrationAnswer,
        document=EmptyDocument,
        body_optional=True,
        codes=("ORDER_NOT_FOUND",),
    ),
)
