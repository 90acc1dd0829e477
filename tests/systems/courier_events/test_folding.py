"""The same events end the same, in whatever order and in however many portions they are applied: for any events at all."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.systems.courier.folding import Heard, fold
from dispatchlog.systems.courier.states import RANK, DispatchStatus
from tests.systems.courier_events.samples import KEPT, NOON

FRESH = {
    **dict.fromkeys(KEPT.split()),
    "status": "BOOKED",
    "raw_status": "",
    "heard_at": None,
}
statuses = st.sampled_from([None, *(set(DispatchStatus) - {DispatchStatus.REQUESTED})])
said = st.dictionaries(
    st.sampled_from(["tracking_url", "driver_name", "driver_phone", "failure_code", "failure_reason"]),
    st.sampled_from(["x", "y", "z"]),
)


@st.composite
def heard(draw: st.DrawFn) -> list[Heard]:
    """Up to nine events, some at the same instant, from all sources but a person's hand."""
    return [
        Heard(
            id=0,
            event_id=f"e{number}",
            source=draw(st.sampled_from(["webhook", "poll", "booking", "otp"])),
            status=draw(statuses),
            raw_status=draw(st.sampled_from(["", "one", "two"])),
            at=NOON + timedelta(minutes=draw(st.integers(0, 4))),
            received_at=NOON,
            said=draw(said),
        )
        for number in range(draw(st.integers(1, 9)))
    ]


def applied(events: Sequence[Heard], cuts: Sequence[int]) -> dict[str, Any]:
    """The dispatch after the events in this order, applied in portions that end at the cuts."""
    numbered = [
        Heard(number, each.event_id, each.source, each.status, each.raw_status, each.at, each.received_at, each.said)
        for number, each in enumerate(events, 1)
    ]
    row: dict[str, Any] = dict(FRESH)
    bounds = sorted({0, len(numbered), *(cut for cut in cuts if cut < len(numbered))})
    for start, end in itertools.pairwise(bounds):
        row |= fold(row, numbered[start:end], numbered[:start]).columns
    return {name: row[name] for name in FRESH}


@given(st.data(), heard(), st.lists(st.integers(1, 8)), st.lists(st.integers(1, 8)))
def test_any_order_and_any_portions_end_the_same(
    data: st.DataObject, events: list[Heard], cuts: list[int], others: list[int]
) -> None:
    end = applied(events, cuts)
    assert applied(data.draw(st.permutations(events)), others) == end
    furthest = max([RANK[DispatchStatus.BOOKED], *(RANK[each.status] for each in events if each.status)])
    assert RANK[DispatchStatus(end["status"])] == furthest
    assert (end["ended_at"] is not None) == (end["status"] in ("DELIVERED", "FAILED", "CANCELED"))
    assert (end["confirmed_by"] is not None) == (end["status"] == "DELIVERED")
