"""The sample that `dispatchlog up` loads into an empty database: orders arrive, then ship one after the other, reported
by two services as in real life. Talks to the product as they do; writes no table itself.
"""

from __future__ import annotations

import json
import random
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatchlog.local.loading import load_sample
from dispatchlog.order_documents import OrderDocument, read_document
from dispatchlog.sample import sample_orders
from dispatchlog.settings import Settings
from dispatchlog.systems.kit_orders import ShipmentInput, put_order, report_shipment

ORDERS = 60
SHIPPED_AT_ONCE = 12
SECONDS_BETWEEN = 1.5
SERVICES = ("vitract-orders", "vitract-kit-api-v1")


def main() -> int:
    """Load the sample; the exit code comes back. Begun anew after a failure it repeats nothing: each report counts once."""
    return load_sample(_load, what="the orders")


def _load(_: Settings) -> None:
    ships = [order for order in map(_store, sample_orders(ORDERS, seed=7)) if order is not None]
    print(f"{ORDERS} sample orders stored; {len(ships)} of them ship in the next minute or so", flush=True)
    chance = random.Random(7)  # noqa: S311 - a sample, not a secret
    for position, (order_id, shipment) in enumerate(ships):
        if position >= SHIPPED_AT_ONCE:
            time.sleep(SECONDS_BETWEEN)
        for service in chance.sample(SERVICES, 2):  # both report the same shipment; it counts once
            report_shipment(order_id, shipment, source=service)
    print("the sample is complete", flush=True)


def _store(document: dict[str, Any]) -> tuple[UUID, ShipmentInput] | None:
    """Store one sample order as it was before it shipped; where it ships, what is to be reported comes back."""
    order = read_document(OrderDocument, json.dumps(document))
    if order.order_id is None:
        raise ValueError("a sample order has no id")
    whole = order.to_input(order.order_id)
    ships = whole.status in ("shipped", "delivered")
    before = replace(whole, status="paid", shipping_date=None, tracking_number=None, tracking_url=None)
    put_order(before if ships else whole, source=SERVICES[0])
    if not ships:
        return None
    shipment = ShipmentInput(datetime.now(UTC), whole.tracking_number, whole.tracking_url, "shipped")
    return whole.order_id, shipment


if __name__ == "__main__":
    sys.exit(main())
