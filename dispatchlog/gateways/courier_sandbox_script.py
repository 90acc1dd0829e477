"""Owns what the sandbox courier does wrong, and how its jobs go: plays per request, a scenario per job; does neither."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dispatchlog.gateways.sandbox_plays import Play, Plays, known

Operation = Literal["book", "ask", "cancel", "login", "quote", "bill", "history"]
Ending = Literal["arrives", "delivers", "fails", "fails_at_pickup", "waits"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """How one job goes.

    Attributes:
        ends: arrives (stays at the door, where our own code confirms), delivers (and says so itself), fails (at the door),
            fails_at_pickup, waits (no driver takes it).
        deliver_after_seconds: at the door, before it says delivered; only for `delivers`, in simulated seconds.
        declines: how many drivers decline first.
        refuse_cancel: every cancellation is refused as if it were picked up.
        lost: stages whose webhook never leaves.
        copies: how often each webhook is sent.
        swapped: each second webhook leaves before the first.
        webhook_delay_seconds: before a webhook leaves.
    """

    ends: Ending = "arrives"
    deliver_after_seconds: float = 120.0
    declines: int = 0
    refuse_cancel: bool = False
    lost: tuple[str, ...] = ()
    copies: int = 1
    swapped: bool = False
    webhook_delay_seconds: float = 0.0

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Scenario:
        """Raises ValueError: an unknown field or ending."""
        scenario = known(cls, {**document, "lost": tuple(document.get("lost", ()))})
        if scenario.ends not in get_args(Ending):
            raise ValueError(f"a job ends by one of {', '.join(get_args(Ending))}")
        return scenario


class Script:
    """Plays per operation, each used once, then the operation's standing play; scenarios by order number. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plays = Plays(get_args(Operation))
        self._scenarios: dict[str, Scenario] = {}
        self._usual = Scenario()

    def load(self, document: Mapping[str, Any]) -> None:
        """`{"plays": {"book": [..]}, "standing": {"ask": {..}}, "orders": {"RX-1": {..}}, "usual": {..}}`.

        What is named replaces what was scripted of it before; the rest stays.

        Raises:
            ValueError: an unknown field; nothing was changed.
        """
        unknown = set(document) - {"plays", "standing", "orders", "usual"}
        if unknown:
            raise ValueError(f"a script knows only plays, standing, orders and usual, not {', '.join(sorted(unknown))}")
        plays = self._plays.read(document)
        orders = {number: Scenario.from_json(each) for number, each in document.get("orders", {}).items()}
        usual = Scenario.from_json(document["usual"]) if "usual" in document else None
        with self._lock:
            self._plays.take(plays)
            self._scenarios.update(orders)
            self._usual = usual or self._usual

    def next(self, operation: str) -> Play:
        return self._plays.next(operation)

    def scenario(self, order_number: str) -> Scenario:
        """How this order's job goes; the second job of RX-1 is named RX-1#2, and goes as usual unless that is scripted."""
        with self._lock:
            return self._scenarios.get(order_number, self._usual)
