"""Upstream services report pharmacy orders over the broker: in any order, and nothing of a patient is read there or in the
log.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from dispatchlog.client import Client
from dispatchlog.engine.database import configure, connected, database, fetch_dicts
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import pharmacies
from dispatchlog.systems.courier.inputs import CourierError
from tasks.courier import report_pharmacy_order, sealed_report
from tests.scenarios.processes import wait_for
from tests.systems.courier_samples import PHARMACY, an_order
from tests.tasks.test_actors import push, worker


def test_reports_are_taken_in_any_order_and_refused_ones_name_no_person(settings_env: Settings, tmp_path: Path) -> None:
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    pharmacies.put_pharmacy(PHARMACY, source="test")
    order = an_order()
    document = {
        "orderId": str(order.order_id),
        "orderNumber": order.order_number,
        "pharmacy": order.pharmacy,
        "patient": {"name": "Amina Rivers", "phone": "+2348015550123", "email": "amina@example.com"},
        "delivery": {"address": "3 Marina Road", "latitude": 6.4281, "longitude": 3.4219},
        "items": [{"name": "Amlodipine 5 mg", "quantity": 2}],
        "currency": "NGN",
        "totalMinor": 1_250_000,
    }
    client = Client(settings_env.redis_url, source="app")
    client.capture_pharmacy_payment({"orderId": str(order.order_id), "status": "Paid"})
    client.mark_pharmacy_order_ready(order.order_id)
    report(settings_env, sealed_report({**document, "patient": {**document["patient"], "phone": "Amina Rivers"}}))
    report(settings_env, document)
    report(settings_env, {**sealed_report(document), "orderId": str(an_order().order_id)})
    log = tmp_path / "log"

    def stored() -> list[tuple[str, bool]]:
        with connected():
            rows = fetch_dicts("SELECT payment_status, is_ready_for_dispatch FROM pharmacy_orders")
        return [(row["payment_status"], row["is_ready_for_dispatch"]) for row in rows]

    with worker(settings_env, log):
        wait_for(lambda: log.read_text().count("ORDER_REPORT_REFUSED") == 3, seconds=60)
        wait_for(lambda: log.read_text().count("ORDER_REPORT_WAITS") >= 2, seconds=60)
        assert stored() == []
        report(settings_env, sealed_report(document))
        wait_for(lambda: stored() == [("Paid", True)], seconds=90)
    client.close()
    database.close_all()
    said = log.read_text()
    assert said.count("REPORT_NOT_SEALED") == 2
    assert "INVALID_PHONE" in said
    assert "patient.phone" in said
    assert "Amina" not in said


def test_a_sealed_report_tells_whoever_has_the_broker_nothing_but_the_order_s_id(settings_env: Settings) -> None:
    order = {"orderId": str(an_order().order_id), "patient": {"name": "Amina Rivers"}}
    first, second = sealed_report(order), sealed_report(order)
    assert first["orderId"] == order["orderId"]
    assert set(first) == {"orderId", "sealed"}
    assert "Amina" not in json.dumps(first)
    assert first["sealed"] != second["sealed"]
    with pytest.raises(CourierError, match="UUID"):
        sealed_report({"patient": {"name": "Amina Rivers"}})


def report(settings: Settings, said: object) -> None:
    """Put it into the broker as a service would."""
    message = report_pharmacy_order.message_with_options(args=(said,), kwargs={"source": "app"})
    with redis.Redis.from_url(settings.redis_url) as client:
        push(client, message.queue_name, message.encode())
