"""Whatever order events arrive in, however often, and wherever the booking stands among them: the end is the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations
from typing import Any

import pytest

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.gateways.courier import Report
from dispatchlog.systems.courier import events
from tests.systems.courier_events.conftest import Asked
from tests.systems.courier_events.samples import COURIER, NOON, Made, brought, next_attempt, orders, report, states

News = Callable[[Made], Report]


def news(event_id: str, status: str | None, minutes: int, **said: Any) -> News:
    return lambda made: report(made, event_id, status, minutes=minutes, **said)


BOOKED = news("b", "BOOKED", 0, tracking_url="https://track.example.org/1")
ASSIGNED = news("a", "ASSIGNED", 10, driver_name="Bola", driver_phone="+23480", eta_at=NOON.replace(hour=14))
ASSIGNED_ANEW = news("a2", "ASSIGNED", 20, driver_name="Chidi")
PICKED_UP = news("p", "PICKED_UP", 30, eta_at=NOON.replace(hour=15))
IN_TRANSIT = news("t", "IN_TRANSIT", 40, tracking_url="https://track.example.org/2")
UNKNOWN = news("u", None, 45, raw_status="AT_LUNCH", driver_name="Somebody else")
FAILED = news("f", "FAILED", 50, failure_code="NOBODY_HOME", failure_reason="rang twice")
CANCELED = news("c", "CANCELED", 5, failure_reason="no driver")
DELIVERED = news("d", "DELIVERED", 55)
TOLD_LATE = news("d2", "DELIVERED", 52)


def arrive(made: Sequence[Made], ways: Sequence[Sequence[News]], *, portion: int) -> None:
    """Round by round each order hears its next events, and the one before them a second time; then they are applied."""
    for turn in range(0, len(ways[0]), portion):
        now = [news(each) for each, way in zip(made, ways, strict=True) for news in way[turn : turn + portion]]
        again = [way[turn - 1](each) for each, way in zip(made, ways, strict=True)] if turn else []
        assert events.store_reports(COURIER, "webhook", [*now, *again, *now], trace_id="t") == len(now)
        assert events.apply_open(limit=10_000) == len(now)


@pytest.mark.parametrize(
    "heard",
    [
        [BOOKED, ASSIGNED, PICKED_UP, IN_TRANSIT, UNKNOWN, DELIVERED],
        [ASSIGNED, ASSIGNED_ANEW, IN_TRANSIT, UNKNOWN],
        [IN_TRANSIT, FAILED, CANCELED, DELIVERED, TOLD_LATE],
        [PICKED_UP, FAILED, CANCELED],
    ],
    ids=["the whole way", "two drivers", "every end", "two ends"],
)
def test_every_arrival_order_ends_the_same(many: Asked, heard: Sequence[News]) -> None:
    ways = list(permutations(heard))
    made = orders(len(ways), status="BOOKED")
    arrive(made, ways, portion=1 if len(ways) < 200 else 3)
    ends = states(made)
    assert [end for end in ends if end != ends[0]] == []
    assert ends[0] == expected(heard)


def expected(heard: Sequence[News]) -> dict[str, Any]:
    nothing = dict.fromkeys(states_columns())
    at = {number: NOON.replace(minute=number) for number in (0, 5, 10, 20, 30, 40, 50, 52)}
    if DELIVERED in heard and BOOKED in heard:
        return nothing | {
            "status": "DELIVERED",
            "raw_status": "raw-DELIVERED",
            "tracking_url": "https://track.example.org/2",
            "driver_name": "Somebody else",
            "driver_phone": "+23480",
            "eta_at": NOON.replace(hour=15),
            "booked_at": at[0],
            "assigned_at": at[10],
            "picked_up_at": at[30],
            "in_transit_at": at[40],
            "ended_at": NOON.replace(minute=55),
            "confirmed_by": "courier",
        }
    if ASSIGNED_ANEW in heard:
        return nothing | {
            "status": "IN_TRANSIT",
            "raw_status": "AT_LUNCH",
            "tracking_url": "https://track.example.org/2",
            "driver_name": "Somebody else",
            "driver_phone": "+23480",
            "eta_at": NOON.replace(hour=14),
            "assigned_at": at[10],
            "in_transit_at": at[40],
        }
    if DELIVERED in heard:
        return nothing | {
            "status": "DELIVERED",
            "raw_status": "raw-DELIVERED",
            "tracking_url": "https://track.example.org/2",
            "in_transit_at": at[40],
            "ended_at": at[52],
            "confirmed_by": "courier",
        }
    return nothing | {
        "status": "FAILED",
        "raw_status": "raw-FAILED",
        "eta_at": NOON.replace(hour=15),
        "picked_up_at": at[30],
        "ended_at": at[50],
        "failure_code": "NOBODY_HOME",
        "failure_reason": "rang twice",
    }


def states_columns() -> list[str]:
    from tests.systems.courier_events.samples import KEPT

    return KEPT.split()


def test_what_came_before_the_booking_is_applied_when_the_booking_brings_the_reference(many: Asked) -> None:
    ways = list(permutations([BOOKED, ASSIGNED, PICKED_UP, IN_TRANSIT]))
    made = orders(len(ways), status="REQUESTED")
    for turn in range(4):
        booked = [each for each, way in zip(made, ways, strict=True) if way[turn] is BOOKED]
        for each in booked:
            brought(each)
        events.store_reports(COURIER, "booking", [BOOKED(each) for each in booked], trace_id="t")
        others = [way[turn](each) for each, way in zip(made, ways, strict=True) if way[turn] is not BOOKED]
        events.store_reports(COURIER, "webhook", [*others, *others], trace_id="t")
        events.apply_open(limit=10_000)
    ends = states(made)
    assert [end for end in ends if end != ends[0]] == []
    assert ends[0]["status"] == "IN_TRANSIT"
    assert ends[0]["assigned_at"] == NOON.replace(minute=10)
    with connected():
        assert fetch_all("SELECT DISTINCT effect FROM courier_events WHERE dispatch_id IS NULL") == []


def test_late_events_of_the_first_attempt_never_move_the_second_wherever_they_come(many: Asked) -> None:
    old = [IN_TRANSIT, DELIVERED]
    ways = list(permutations([(1, each) for each in old] + [(2, each) for each in (BOOKED, ASSIGNED, FAILED)]))
    first = orders(len(ways), status="CANCELED")
    second = [next_attempt(each, status="BOOKED") for each in first]
    before = states(first)
    for turn in range(5):
        told = [
            way[turn][1](one if way[turn][0] == 1 else two) for one, two, way in zip(first, second, ways, strict=True)
        ]
        events.store_reports(COURIER, "webhook", told, trace_id="t")
        assert events.apply_open(limit=10_000) == len(ways)
    assert states(first) == before
    ends = states(second)
    assert [end for end in ends if end != ends[0]] == []
    assert (ends[0]["status"], ends[0]["tracking_url"]) == ("FAILED", "https://track.example.org/1")
    with connected():
        assert fetch_all("SELECT DISTINCT dispatch_status FROM pharmacy_orders") == [("FAILED",)]
