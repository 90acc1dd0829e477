"""The courier system's actors for upstream services: an order, its payment, and that it is ready.

Each takes the document that the API takes, with `orderId` in it. A broker keeps what it is given, so an order, which names
its patient, goes there sealed by `sealed_report`; a plain one is refused. Any number of the same messages has the effect of
one. A message that comes too early (a payment before its order) or while the database is away is put back for later; who
must know what became of a report uses the API, which answers.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar
from uuid import UUID

import dramatiq
import structlog

from dispatchlog.engine.database import DATABASE_AWAY
from dispatchlog.order_documents import Document, DocumentError, Problem, read_document
from dispatchlog.pharmacy_documents import PaymentDocument, PharmacyOrderDocument
from dispatchlog.sealing import CannotUnsealError, seal, unseal
from dispatchlog.settings import get_settings
from dispatchlog.systems.courier import orders
from dispatchlog.systems.courier.booking import REPORTS_QUEUE
from dispatchlog.systems.courier.inputs import CourierError
from tasks.broker import broker

log = structlog.get_logger(__name__)

# A report is of use however long the workers were away, so `max_age=0`: never too old.

# What passes by itself: the other service's report is still on its way.
_TOO_EARLY = frozenset({"ORDER_NOT_FOUND", "PHARMACY_NOT_FOUND"})
# 5, 10, 20 ... seconds, then every 10 minutes: about two hours in all.
MOST_TRIES = 18
_LONGEST_DELAY_SECONDS = 600
_SEALED_FOR = "pharmacy order report"
AnyDocument = TypeVar("AnyDocument", bound=Document)


def sealed_report(order: Mapping[str, Any]) -> dict[str, str]:
    """What may be sent to `report_pharmacy_order`: its id, and the order as only who has our secret key reads it.

    Raises:
        CourierError: INVALID_UUID, `orderId` is none.
    """
    order_id = str(_order_id(order.get("orderId")))
    key = get_settings().secret_key.get_secret_value()
    sealed = seal(json.dumps(dict(order), default=str), purpose=_SEALED_FOR, owner=order_id, secret_key=key)
    return {"orderId": order_id, "sealed": base64.b64encode(sealed).decode()}


@dramatiq.actor(broker=broker, queue_name=REPORTS_QUEUE, max_age=0)
def report_pharmacy_order(order: object = None, source: object = "queue", tries: object = 0) -> None:
    """A pharmacy order was created: `send(sealed_report(order), source="your-service")`."""

    def store() -> None:
        order_id, opened = _opened(order)
        document = _read(PharmacyOrderDocument, opened)
        if document.order_id not in (None, order_id):
            raise CourierError("it was sealed for another order", code="REPORT_NOT_SEALED", field="orderId")
        orders.put_order(document.to_input(order_id), source=_source(source), trace_id="")

    _take(report_pharmacy_order, store, order, source, tries)


@dramatiq.actor(broker=broker, queue_name=REPORTS_QUEUE, max_age=0)
def capture_pharmacy_payment(payment: object = None, source: object = "queue", tries: object = 0) -> None:
    """What became of an order's payment: the API's document with `orderId`."""

    def store() -> None:
        document = _read(PaymentDocument, payment)
        orders.capture_payment(_order_id(document.order_id), document.to_input(), source=_source(source))

    _take(capture_pharmacy_payment, store, payment, source, tries)


@dramatiq.actor(broker=broker, queue_name=REPORTS_QUEUE, max_age=0)
def mark_pharmacy_order_ready(order: object = None, source: object = "queue", tries: object = 0) -> None:
    """The pharmacist has prepared the order: its id, or `{"orderId": ...}`."""

    def store() -> None:
        hint = order.get("orderId") if isinstance(order, Mapping) else order
        orders.mark_ready(_order_id(hint), actor=f"service:{_source(source)}")

    _take(mark_pharmacy_order_ready, store, order, source, tries)


def _take(
    actor: dramatiq.Actor[Any, Any], store: Callable[[], None], said: object, source: object, tries: object
) -> None:
    """Store it; what cannot be stored as it is, is dropped with a line of the log that names no person."""
    number = tries if isinstance(tries, int) else 0
    try:
        store()
    except DATABASE_AWAY:
        _again(actor, said, source, number, code="DATABASE_UNAVAILABLE")
    except CourierError as error:
        if error.code in _TOO_EARLY:
            _again(actor, said, source, number, code=error.code)
        else:
            log.warning("ORDER_REPORT_REFUSED", actor=actor.actor_name, code=error.code, field=error.field)
    except DocumentError as error:
        first = error.problems[0]
        log.warning("ORDER_REPORT_REFUSED", actor=actor.actor_name, code=first.code, field=first.field)
    except Exception as error:  # noqa: BLE001  (its traceback could quote what the message says of a patient)
        _again(actor, said, source, number, code=type(error).__name__)


def _again(actor: dramatiq.Actor[Any, Any], said: object, source: object, tries: int, *, code: str) -> None:
    if tries >= MOST_TRIES:
        log.error("ORDER_REPORT_DROPPED", actor=actor.actor_name, code=code, tries=tries)
        return
    delay = min(5 * 2**tries, _LONGEST_DELAY_SECONDS) * 1000
    actor.send_with_options(args=(said,), kwargs={"source": source, "tries": tries + 1}, delay=delay)
    log.info("ORDER_REPORT_WAITS", actor=actor.actor_name, code=code, tries=tries + 1)


def _read(kind: type[AnyDocument], said: object) -> AnyDocument:
    try:
        return read_document(kind, json.dumps(said), what="the message")
    except TypeError:
        raise DocumentError([Problem("INVALID_JSON", "this is not JSON")]) from None


def _opened(said: object) -> tuple[UUID, object]:
    """The order's id and its report. Whoever has only the broker can neither read one nor make one."""
    if not isinstance(said, Mapping) or not isinstance(said.get("sealed"), str):
        raise CourierError("a report goes over the broker sealed", code="REPORT_NOT_SEALED", field="sealed")
    order_id = _order_id(said.get("orderId"))
    key = get_settings().secret_key.get_secret_value()
    try:
        sealed = base64.b64decode(said["sealed"], validate=True)
        return order_id, json.loads(unseal(sealed, purpose=_SEALED_FOR, owner=str(order_id), secret_key=key))
    except (CannotUnsealError, ValueError) as error:
        raise CourierError("it was not sealed with our key", code="REPORT_NOT_SEALED", field="sealed") from error


def _order_id(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError:
        raise CourierError("this is not a UUID", code="INVALID_UUID", field="orderId") from None


def _source(source: object) -> str:
    return str(source)[:64]
