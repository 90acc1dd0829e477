"""What the two legs of a Kwik task say of our dispatch: pickup and delivery, each with its `job_status`. Pure.

Statuses (kwikng, read 2026-11-21): 0 upcoming, 1 started, 2 ended, 3 failed, 4 arrived, 6 unassigned, 7 accepted,
8 declined, 9 cancelled, 10 deleted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatchlog.gateways.courier import Report
from dispatchlog.gateways.courier_words import fingerprint, reference, text, web_address

PICKUP, DELIVERY = 0, 1
_WORDS = {
    0: "assigned",
    1: "started",
    2: "done",
    3: "failed",
    4: "arrived",
    6: "unassigned",
    7: "accepted",
    8: "declined",
    9: "cancelled",
    10: "deleted",
}
_ANY = frozenset(_WORDS)
_NOT_DONE = _ANY - {2}
_OFF = frozenset({9, 10})
# Pickup, delivery, ours; the first that fits. Ends stand first: a leg that failed or was called off is over whatever the
# other still says. A delivery that is done without its pickup contradicts itself: nothing here fits it.
TABLE: Sequence[tuple[frozenset[int], frozenset[int], str]] = (
    (frozenset({3}), _NOT_DONE, "FAILED"),
    (frozenset({2}), frozenset({3}), "FAILED"),
    (_OFF, _NOT_DONE, "CANCELED"),
    (_ANY, _OFF, "CANCELED"),
    (frozenset({6, 8}), _NOT_DONE, "BOOKED"),
    (frozenset({0, 7, 1, 4}), frozenset({6, 0, 7}), "ASSIGNED"),
    (frozenset({2}), frozenset({6, 0, 7}), "PICKED_UP"),
    (frozenset({2}), frozenset({1, 4}), "IN_TRANSIT"),
    (frozenset({2}), frozenset({2}), "DELIVERED"),
)


@dataclass(frozen=True, slots=True)
class Legs:
    """The task's two legs as Kwik lists them; None where one is missing."""

    pickup: Mapping[str, Any] | None
    delivery: Mapping[str, Any] | None

    @classmethod
    def of(cls, rows: Sequence[Any], known: Mapping[str, Any]) -> Legs:
        """The legs whose numbers we know, else the first of each kind: a task may be listed with those of another try."""
        legs = [row for row in rows if isinstance(row, dict)]

        def find(kind: int, name: str) -> Mapping[str, Any] | None:
            mine = [leg for leg in legs if known.get(name) and reference(leg.get("job_id")) == known[name]]
            return next(iter([*mine, *(leg for leg in legs if number(leg.get("job_type")) == kind)]), None)

        return cls(find(PICKUP, "pickup"), find(DELIVERY, "delivery"))

    @property
    def statuses(self) -> tuple[int | None, int | None]:
        pickup, delivery = ((leg or {}).get("job_status") for leg in (self.pickup, self.delivery))
        return number(pickup), number(delivery)

    @property
    def references(self) -> dict[str, str]:
        """Their numbers, which a cancellation needs."""
        legs = (("pickup", self.pickup), ("delivery", self.delivery))
        found = {name: reference(leg.get("job_id")) for name, leg in legs if leg}
        return {name: each for name, each in found.items() if each}

    @property
    def tracking_url(self) -> str | None:
        links = (web_address((leg or {}).get("result_tracking_link")) for leg in (self.delivery, self.pickup))
        return next((link for link in links if link), None)

    def report(self, courier_reference: str) -> Report:
        """What they say, as a report whose id follows from it."""
        status = normalised(*self.statuses)
        failed_at = "PICKUP" if self.statuses[0] == 3 else "DELIVERY"
        raw = ", ".join(
            f"{name} {_word(each)}" for name, each in zip(("pickup", "delivery"), self.statuses, strict=True)
        )
        driver = self.delivery or self.pickup or {}
        name, phone = text(driver.get("fleet_name")), text(driver.get("fleet_phone"), 32)
        body = {"unique_order_id": courier_reference, "job_status": list(self.statuses), **self.references}
        return Report(
            event_id=fingerprint(courier_reference, self.statuses, self.tracking_url, name, phone),
            courier_reference=courier_reference,
            raw_status=raw,
            status=status,
            tracking_url=self.tracking_url,
            driver_name=name,
            driver_phone=phone,
            failure_code=f"{failed_at}_FAILED" if status == "FAILED" else None,
            body=body,
        )


def normalised(pickup: int | None, delivery: int | None) -> str | None:
    """Our status; None for a combination that the table does not know."""
    return next((ours for one, two, ours in TABLE if pickup in one and delivery in two), None)


def number(value: Any) -> int | None:
    """A small whole number, also one written as a text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10 else None


def _word(status: int | None) -> str:
    return "unknown" if status is None else _WORDS.get(status, str(status))
