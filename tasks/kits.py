"""The kits system's actors, under the queue names that both upstream services use."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

import dramatiq
import structlog

from dispatchlog.systems.kit_registering import register_order
from dispatchlog.systems.kit_upstream import refresh_from_upstream
from dispatchlog.systems.kits import HEALTH_INFORMATION_QUEUE, REGISTER_QUEUE
from tasks.broker import broker
from tasks.deliver import drain_lane

log = structlog.get_logger(__name__)


@dramatiq.actor(broker=broker, queue_name=REGISTER_QUEUE)
def auto_register_practitioner_order_kits(
    order_id: object = None,
    orderId: object = None,  # noqa: N803 - the payload's own spelling
    source: object = "queue",
) -> None:
    """An order of a practitioner was shipped: take up its kits for registration.

    Send the order's id as `send(order_id)`, as `send(orderId=...)` or as the payload `{"orderId": ...}`. Any number of
    messages has the effect of one; a lost one is made up for by the sweep.
    """
    hint = orderId if order_id is None else order_id
    if isinstance(hint, Mapping):
        hint = hint.get("orderId")
    try:
        order = UUID(str(hint))
    except ValueError:
        log.warning("ORDER_HINT_REFUSED", code="INVALID_UUID")
        return
    refresh_from_upstream(order)
    report = register_order(order, source=str(source)[:64])
    log.info("ORDER_TAKEN_UP", order_id=str(order), state=report.state, code=report.code, new_kits=report.new_kits)


@dramatiq.actor(broker=broker, queue_name=HEALTH_INFORMATION_QUEUE)
def health_information_dispatch(lane_name: object = "health_information") -> None:
    """The hourly sweep happened: send the forms that are due."""
    drain_lane(lane_name)
