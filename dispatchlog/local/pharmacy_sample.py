"""Made-up pharmacies and orders for demonstrations, and what the sandbox courier makes of them. Stores nothing.

Nobody is meant: every patient is a "Sample" with a letter of the spelling alphabet, at an address reserved for examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from dispatchlog.systems.courier.inputs import ItemInput, OrderInput, PatientInput, PharmacyInput, Place

PHARMACIES = (
    PharmacyInput(
        code="ISLAND",
        name="Island Sample Pharmacy",
        phone="+2340000000001",
        place=Place("1 Sample Road", 6.4281, 3.4219, city="Lagos"),
        email="island@example.org",
    ),
    PharmacyInput(
        code="MAINLAND",
        name="Mainland Sample Pharmacy",
        phone="+2340000000002",
        place=Place("20 Sample Avenue", 6.5095, 3.3711, city="Lagos"),
        email="mainland@example.org",
    ),
)
_ORDERS = UUID("3a0b0c6f-3d0e-5a51-9b55-1f6f6f3f6a10")
_ITEMS = (
    (ItemInput("Amlodipine 5 mg", 2),),
    (ItemInput("Metformin 500 mg", 3), ItemInput("Test strips", 1)),
    (ItemInput("Salbutamol inhaler", 1),),
    (ItemInput("Paracetamol 500 mg", 1), ItemInput("Oral rehydration salts", 4), ItemInput("Zinc 20 mg", 1)),
)


@dataclass(frozen=True, slots=True)
class SampleOrder:
    """An order, what happens to it here, and how its courier goes (`courier_sandbox_script.Scenario`)."""

    letter: str
    shows: str
    paid: bool = True
    ready: bool = True
    cancelled: bool = False
    goes: Mapping[str, Any] = field(default_factory=dict)
    minutes: int = 45

    @property
    def number(self) -> str:
        return f"RX-{1001 + ORDERS.index(self)}"


_DELIVERS = {"ends": "delivers", "deliver_after_seconds": 240}
ORDERS = (
    SampleOrder("Alfa", "at the door until its code is entered"),
    SampleOrder("Bravo", "the courier says delivered by itself", goes=_DELIVERS),
    SampleOrder("Charlie", "two drivers decline it first", goes={"declines": 2}),
    SampleOrder("Delta", "waits for its payment", paid=False),
    SampleOrder("Echo", "waits to be marked ready", ready=False),
    SampleOrder("Foxtrot", "fails at the door; can be dispatched again", goes={"ends": "fails"}),
    SampleOrder("Golf", "cancelled; can be dispatched again", cancelled=True),
    SampleOrder("Hotel", "nobody has paid or prepared it", paid=False, ready=False),
    SampleOrder(
        "India", "webhooks are lost; asking finds them", goes={"lost": ["ASSIGNED", "PICKED_UP", "IN_TRANSIT"]}
    ),
    SampleOrder("Juliett", "webhooks come twice and in the wrong order", goes={"copies": 2, "swapped": True}),
    SampleOrder("Kilo", "fails at the pharmacy", goes={"ends": "fails_at_pickup"}),
    SampleOrder("Lima", "no driver takes it; can be cancelled", goes={"ends": "waits"}),
    SampleOrder("Mike", "cancelling it is refused", goes={"refuse_cancel": True}),
    SampleOrder("November", "later than it was promised", goes=_DELIVERS, minutes=1),
    SampleOrder("Oscar", "waits to be marked ready", ready=False),
    SampleOrder("Papa", "on its way", goes=_DELIVERS),
)


def sandbox_script() -> dict[str, Any]:
    """What the sandbox courier does with them; every other order waits at the door for its code."""
    return {"orders": {order.number: dict(order.goes) for order in ORDERS if order.goes}, "usual": {"ends": "arrives"}}


def order_input(order: SampleOrder, *, now: datetime) -> OrderInput:
    """The order as a chat reports it."""
    index = ORDERS.index(order)
    north, east = (index * 7 % 16) / 400 - 0.02, (index * 5 % 16) / 400 - 0.015
    home = Place(f"{index + 3} Sample Close", 6.4474 + north, 3.4726 + east, city="Lagos", note="Ring twice")
    patient = PatientInput(f"{order.letter} Sample", f"+23400000001{index:02d}", f"{order.letter.lower()}@example.org")
    return OrderInput(
        order_id=uuid5(_ORDERS, order.number),
        order_number=order.number,
        pharmacy=PHARMACIES[index % 2].code,
        patient=patient,
        place=home,
        items=_ITEMS[index % len(_ITEMS)],
        currency="NGN",
        total_minor=450_000 + 125_000 * index,
        deliver_by=now + timedelta(minutes=order.minutes),
    )
