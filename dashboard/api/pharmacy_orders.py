"""The API's routes for pharmacy orders and their courier. They hand what was said to the courier system. No SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from dashboard.api.errors import (
    PREFIX,
    UNVERSIONED_CANCEL,
    UNVERSIONED_READY,
    UNVERSIONED_VERIFY,
    ApiError,
)
from dashboard.api.pharmacy_parts import (
    OrderSummaryPart,
    PharmacyAnswer,
    PharmacyOrderAnswer,
    PharmacyOrderListAnswer,
    PharmacyOrderPart,
    ReadyAnswer,
    SocketTicketAnswer,
)
from dashboard.api.routes import Call, Route, path_uuid
from dashboard.sockets.tickets import issue_ticket
from dispatchlog.pharmacy_documents import (
    CodeDocument,
    NothingDocument,
    PaymentDocument,
    PharmacyDocument,
    PharmacyOrderDocument,
    ReasonDocument,
)
from dispatchlog.settings import get_settings
from dispatchlog.systems.courier import cancelling, codes, orders, pharmacies, reading
from dispatchlog.systems.courier.changes import order_of_dispatch
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.orders import OrderRow
from dispatchlog.systems.courier.states import DispatchStatus
from dispatchlog.tracing import current_trace_id

MOST_PAGE_SIZE = 100
DEEPEST = 10_000
_SHOWN = tuple(str(status) for status in DispatchStatus if status is not DispatchStatus.REQUESTED)


def put_pharmacy(call: Call, code: str) -> PharmacyAnswer:
    """Create or update a pharmacy."""
    document: PharmacyDocument = call.document
    return PharmacyAnswer(**pharmacies.put_pharmacy(document.to_input(code), source=call.source))


def put_order(call: Call, order_id: str) -> PharmacyOrderAnswer:
    """Create an order, or say again what was said. Its trace id is the one of the request that created it."""
    document: PharmacyOrderDocument = call.document
    wanted = _same(document.order_id, path_uuid(order_id, "orderId"))
    order, _ = orders.put_order(document.to_input(wanted), source=call.source, trace_id=current_trace_id())
    return _answer(order)


def put_payment(call: Call, order_id: str) -> PharmacyOrderAnswer:
    """Note what became of the payment."""
    document: PaymentDocument = call.document
    wanted = _same(document.order_id, path_uuid(order_id, "orderId"))
    return _answer(orders.capture_payment(wanted, document.to_input(), source=call.source))


def mark_ready(call: Call, order_id: str) -> ReadyAnswer:
    """The order is prepared; the courier is booked as soon as it is paid too."""
    result = orders.mark_ready(path_uuid(order_id, "orderId"), actor=call.actor)
    return ReadyAnswer(
        order=_part(result.order),
        changed=result.changed,
        waiting_for=[str(code) for code in result.waiting_for],
        booking_retried=result.retried,
    )


def get_order(_: Call, order_id: str) -> PharmacyOrderAnswer:
    """The order as it stands."""
    return PharmacyOrderAnswer(order=PharmacyOrderPart.of_state(reading.order_state(path_uuid(order_id, "orderId"))))


def find_orders(call: Call) -> PharmacyOrderListAnswer:
    """One page of orders."""
    page, size = _number(call, "page", 1, DEEPEST), _number(call, "pageSize", 10, MOST_PAGE_SIZE)
    if page * size > DEEPEST:
        raise ApiError("INVALID_PAGE", f"only the newest {DEEPEST} orders can be paged through", field="page")
    status = call.parameters.get("status") or None
    if status is not None and status not in _SHOWN:
        raise ApiError("UNKNOWN_STATUS", f"status is one of {', '.join(_SHOWN)}", field="status")
    found = reading.order_page(page=page, page_size=size, status=status)
    return PharmacyOrderListAnswer(
        orders=[OrderSummaryPart.of(order) for order in found.orders],
        page=page,
        page_size=size,
        total=found.total,
        total_is_exact=found.total_is_exact,
    )


def cancel_dispatch(call: Call, order_id: str) -> PharmacyOrderAnswer:
    """Cancel the newest dispatch."""
    wanted, document = path_uuid(order_id, "orderId"), call.document
    with _present_state(lambda: wanted):
        return _answer(cancelling.cancel_dispatch(wanted, actor=call.actor, reason=document.reason))


def redispatch(call: Call, order_id: str) -> PharmacyOrderAnswer:
    """Begin another dispatch."""
    wanted, document = path_uuid(order_id, "orderId"), call.document
    with _present_state(lambda: wanted):
        return _answer(cancelling.redispatch(wanted, actor=call.actor, reason=document.reason))


def verify_code(call: Call, dispatch_id: str) -> PharmacyOrderAnswer:
    """Check the code that the patient read out."""
    wanted, document = path_uuid(dispatch_id, "dispatchId"), call.document
    with _present_state(lambda: order_of_dispatch(wanted)):
        return _answer(codes.verify_code(wanted, document.code, actor=call.actor))


def resend_code(call: Call, dispatch_id: str) -> PharmacyOrderAnswer:
    """Send the patient's code again."""
    wanted = path_uuid(dispatch_id, "dispatchId")
    with _present_state(lambda: order_of_dispatch(wanted)):
        return _answer(codes.resend_code(wanted, actor=call.actor))


def issue_socket_ticket(_: Call, order_id: str) -> SocketTicketAnswer:
    """A ticket for the room of one order that exists."""
    order = reading.order_state(path_uuid(order_id, "orderId")).order
    ticket = issue_ticket(order["id"], settings=get_settings())
    return SocketTicketAnswer(ticket=ticket.text, room=ticket.room, expires_at=ticket.expires_at)


def _answer(order: OrderRow) -> PharmacyOrderAnswer:
    return PharmacyOrderAnswer(order=_part(order))


def _part(order: OrderRow) -> PharmacyOrderPart:
    return PharmacyOrderPart.of_state(reading.order_state(order["id"]))


@contextmanager
def _present_state(order_id: Callable[[], UUID]) -> Iterator[None]:
    """A refusal because it was delivered already shows the order as it is: who asked acted on an old page."""
    try:
        yield
    except CourierError as error:
        if error.code != "DISPATCH_ALREADY_DELIVERED":
            raise
        state = PharmacyOrderPart.of_state(reading.order_state(order_id())).model_dump(mode="json", by_alias=True)
        raise ApiError(error.code, error.message, present={"order": state}) from error


def _same(in_body: UUID | None, in_path: UUID) -> UUID:
    if in_body not in (None, in_path):
        raise ApiError("ORDER_ID_MISMATCH", "orderId in the body is not the one in the URL", field="orderId")
    return in_path


def _number(call: Call, name: str, default: int, most: int) -> int:
    text = call.parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= most):
        raise ApiError("INVALID_PAGE", f"{name} is a number from 1 to {most}", field=name)
    return int(text)


_ORDER = f"{PREFIX}/orders/<order_id>"
_DISPATCH = f"{PREFIX}/dispatch/<dispatch_id>"
_PLACE = ("INVALID_COORDINATES", "INVALID_EMAIL", "INVALID_PHONE", "INVALID_TEXT")

ROUTES = (
    Route(
        "PUT",
        f"{PREFIX}/pharmacies/<code>",
        "putPharmacy",
        "Create or update a pharmacy: where its orders are picked up, and who gets updates.",
        "pharmacy:write",
        put_pharmacy,
        PharmacyAnswer,
        document=PharmacyDocument,
        codes=("INVALID_CODE", *_PLACE),
    ),
    Route(
        "PUT",
        _ORDER,
        "putPharmacyOrder",
        "Create a pharmacy order, or say again what was said; what a courier was told cannot be changed.",
        "pharmacy:write",
        put_order,
        PharmacyOrderAnswer,
        document=PharmacyOrderDocument,
        codes=(
            "ORDER_ID_MISMATCH",
            "PHARMACY_NOT_FOUND",
            "ORDER_NUMBER_TAKEN",
            "ORDER_ALREADY_DISPATCHED",
            "ORDER_ITEMS_FIXED",
            "INVALID_ORDER_NUMBER",
            "INVALID_AMOUNT",
            "INVALID_CURRENCY",
            "INVALID_ITEMS",
            *_PLACE,
        ),
    ),
    Route(
        "PUT",
        f"{_ORDER}/payment",
        "putOrderPayment",
        "Say what became of an order's payment; once it is Paid and the order ready, a courier is booked.",
        "pharmacy:write",
        put_payment,
        PharmacyOrderAnswer,
        document=PaymentDocument,
        codes=("ORDER_ID_MISMATCH", "ORDER_NOT_FOUND", "PAYMENT_STATUS_UNKNOWN", "PAYMENT_FINAL"),
    ),
    Route(
        "POST",
        f"{_ORDER}/ready",
        "markOrderReady",
        "Mark an order ready for dispatch; once it is paid too a courier is booked. Saying it twice books one.",
        "pharmacy:write",
        mark_ready,
        ReadyAnswer,
        document=NothingDocument,
        body_optional=True,
        codes=("ORDER_NOT_FOUND",),
        unversioned=UNVERSIONED_READY,
    ),
    Route(
        "GET",
        f"{PREFIX}/orders",
        "findPharmacyOrders",
        "Pharmacy orders, newest first, by the status of their newest dispatch.",
        "pharmacy:read",
        find_orders,
        PharmacyOrderListAnswer,
        parameters={
            "page": "which page, from 1",
            "pageSize": f"how many orders on a page, 1 to {MOST_PAGE_SIZE}; 10 unless told",
            "status": ", ".join(_SHOWN),
        },
        codes=("INVALID_PAGE", "UNKNOWN_STATUS"),
    ),
    Route(
        "GET",
        _ORDER,
        "getPharmacyOrder",
        "A pharmacy order with its dispatches and what was heard of them; the patient is masked.",
        "pharmacy:read",
        get_order,
        PharmacyOrderAnswer,
        codes=("ORDER_NOT_FOUND",),
    ),
    Route(
        "POST",
        f"{_ORDER}/dispatch/cancel",
        "cancelOrderDispatch",
        "Cancel the newest dispatch, before it is picked up.",
        "pharmacy:act",
        cancel_dispatch,
        PharmacyOrderAnswer,
        document=ReasonDocument,
        body_optional=True,
        codes=(
            "ORDER_NOT_FOUND",
            "DISPATCH_NOT_FOUND",
            "DISPATCH_ALREADY_DELIVERED",
            "DISPATCH_NOT_CANCELLABLE",
            "BOOKING_IN_DOUBT",
        ),
        unversioned=UNVERSIONED_CANCEL,
    ),
    Route(
        "POST",
        f"{_ORDER}/redispatch",
        "redispatchOrder",
        "Book another courier for an order whose newest dispatch failed or was cancelled.",
        "pharmacy:act",
        redispatch,
        PharmacyOrderAnswer,
        document=ReasonDocument,
        body_optional=True,
        codes=(
            "ORDER_NOT_FOUND",
            "DISPATCH_NOT_FOUND",
            "DISPATCH_ALREADY_DELIVERED",
            "DISPATCH_NOT_REPEATABLE",
            "PAYMENT_NOT_CAPTURED",
            "BOOKING_IN_DOUBT",
            "NO_COURIER",
        ),
    ),
    Route(
        "POST",
        f"{_DISPATCH}/otp/verify",
        "verifyDeliveryCode",
        "Check the code that the patient read out; where it is right the order is DELIVERED.",
        "pharmacy:act",
        verify_code,
        PharmacyOrderAnswer,
        document=CodeDocument,
        codes=(
            "DISPATCH_NOT_FOUND",
            "DISPATCH_ALREADY_DELIVERED",
            "DISPATCH_NOT_IN_TRANSIT",
            "OTP_MALFORMED",
            "OTP_INVALID",
            "OTP_EXPIRED",
            "OTP_LOCKED",
        ),
        unversioned=UNVERSIONED_VERIFY,
    ),
    Route(
        "POST",
        f"{_DISPATCH}/otp/resend",
        "resendDeliveryCode",
        "Send the patient's delivery code again.",
        "pharmacy:act",
        resend_code,
        PharmacyOrderAnswer,
        document=NothingDocument,
        body_optional=True,
        codes=(
            "DISPATCH_NOT_FOUND",
            "DISPATCH_ALREADY_DELIVERED",
            "DISPATCH_NOT_IN_TRANSIT",
            "CODE_LOCKED",
            "CODE_SENT_JUST_NOW",
        ),
    ),
    Route(
        "POST",
        f"{_ORDER}/socket-ticket",
        "issueSocketTicket",
        "A ticket with which a browser or app may listen to this order alone, for a quarter of an hour.",
        "pharmacy:read",
        issue_socket_ticket,
        SocketTicketAnswer,
        document=NothingDocument,
        body_optional=True,
        codes=("ORDER_NOT_FOUND",),
    ),
)
