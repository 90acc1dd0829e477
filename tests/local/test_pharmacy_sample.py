"""The sample's pharmacy orders: taken as they are, nobody's, each with a courier who does as the script says."""

from __future__ import annotations

from datetime import UTC, datetime

from dispatchlog.gateways.courier_sandbox_script import Script
from dispatchlog.local.pharmacy_sample import ORDERS, PHARMACIES, order_input, sandbox_script
from dispatchlog.systems.courier.checks import check_order, check_pharmacy

NOW = datetime(2026, 3, 9, 8, tzinfo=UTC)


def test_every_pharmacy_and_order_can_be_taken_and_is_nobodys() -> None:
    inputs = [order_input(order, now=NOW) for order in ORDERS]
    for pharmacy in PHARMACIES:
        check_pharmacy(pharmacy)
    for order in inputs:
        check_order(order)
    assert {order.pharmacy for order in inputs} == {pharmacy.code for pharmacy in PHARMACIES}
    assert len({order.order_id for order in inputs}) == len({order.order_number for order in inputs}) == len(ORDERS)
    assert all(order.patient.name.endswith(" Sample") for order in inputs)
    assert all(order.patient.email.endswith("@example.org") for order in inputs)


def test_the_sandbox_goes_by_the_sample_s_script_and_shows_every_ending() -> None:
    script = Script()
    script.load(sandbox_script())
    booked = [order for order in ORDERS if order.paid and order.ready]
    scenarios = {order.letter: script.scenario(order.number) for order in booked}
    assert {each.ends for each in scenarios.values()} == {"arrives", "delivers", "fails", "fails_at_pickup", "waits"}
    assert scenarios["India"].lost
    assert len({(order.paid, order.ready) for order in ORDERS}) == 4
