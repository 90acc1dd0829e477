"""The courier system's actors for upstream services: an order, its payment, and that it is ready.

Each takes the document that the API takes, with `orderId` in it. An order names its patient, so it goes into the broker
sealed by `sealed_report`; a plain one is refused. Any number of the same messages has the effect of one, and one that comes
too early (a payment before its order) waits (`reports`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

import dramatiq

from dispatchlog.pharmacy_documents import PaymentDocument, PharmacyOrderDocument
from dispatchlog.systems.courier import orders
from dispatchlog.systems.courier.booking import REPORTS_QUEUE
from dispatchlog.systems.courier.inputs import CourierError
from tasks import reports
from tasks.broker import broker

# A report is of use however long the workers were away, so `max_age=0`: never too old.

_SEALED_FOR = "pharmacy order report"
# What passes by itself: the other service's report is still on its way.
_reception = reports.Reception("ORDER_REPORT", CourierError, frozenset({"ORDER_NOT_FOUND", "PHARMACY_NOT_FOUND"}))


def sealed_report(order: Mapping[str, Any]) -> dict[str, str]:
    """What may be sent to `report_pharmacy_order`: its id, and the order as only who has our secret key reads it.

    Raises:
        CourierError: INVALID_UUID, `orderId` is none.
    """
    order_id = str(_order_id(order.get("orderId")))
    return {"orderId": order_id, "sealed": reports.sealed(order, owner=order_id, purpose=_SEALED_FOR)}


@dramatiq.actor(broker=broker, queue_name=REPORTS_QUEUE, max_age=0)
def report_pharmacy_order(order: object = None, source: object = "queue", tries: object = 0) -> None:
    """A pharmacy order was created: `send(sealed_report(order), source="your-service")`."""

    def store() -> None:
        order_id, opened = _opened(order)
        document = reports.read(PharmacyOrderDocument, opened)
        if document.order_id not in (None, order_id):
            raise CourierError("it was sealed for another order", code="REPORT_NOT_SEALED", field="orderId")
        orders.put_order(document.to_input(order_id), source=reports.source_of(source), trace_id="")

    _reception.take(report_pharmacy_order, store, order, tries, source=source)


@dramatiq.actor(broker=broker, queue_name=REPORTS_QUEUE, max_age=0)
def capture_pharmacy_payment(payment: object = None, source: object = "queue", tries: object = 0) -> None:
    """What became of an order's payment: the API's document with `orderId`."""

    def store() -> None:
        document = reports.read(PaymentDocument, payment)
        order_id = _order_id(document.order_id)
        orders.capture_payment(order_id, document.to_input(), source=reports.source_of(source))

    _reception.take(capture_pharmacy_payment, store, payment, tries, source=source)


@dramatiq.actor(broker=broker, queue_name=REPORTS_QUEUE, max_age=0)
def mark_pharmacy_order_ready(order: object = None, source: object = "queue", tries: object = 0) -> None:
    """The pharmacist has prepared the order: its id, or `{"orderId": ...}`."""

    def store() -> None:
        hint = order.get("orderId") if isinstance(order, Mapping) else order
        orders.mark_ready(_order_id(hint), actor=f"service:{reports.source_of(source)}")

    _reception.take(mark_pharmacy_order_ready, store, order, tries, source=source)


def _opened(said: object) -> tuple[UUID, object]:
    """The order's id and its report."""
    message, sealed = reports.sealed_part(said)
    order_id = _order_id(message.get("orderId"))
    return order_id, reports.opened(sealed, owner=str(order_id), purpose=_SEALED_FOR)


def _order_id(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise CourierError("this is not a UUID", code="INVALID_UUID", field="orderId") from None
