"""Owns what the sandbox courier does wrong, and how its jobs go: plays per request, a scenario per job; does neither."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, TypeVar, get_args

Operation = Literal["book", "ask", "cancel", "login", "quote", "bill", "history"]
Way = Literal[
    "answer",  # as the courier would
    "status",  # this HTTP status, body and headers
    "envelope",  # HTTP 200, and in Kwik's envelope this status
    "reset",  # the connection is reset
    "close",  # the connection is closed
    "mute",  # never, until the client has had enough
    "half",  # half of the answer, then the connection is closed
    "drip",  # one byte each `interval_seconds`
    "garbage",  # what is no HTTP
]
Ending = Literal["arrives", "delivers", "fails", "fails_at_pickup", "waits"]
T = TypeVar("T", "Play", "Scenario")


@dataclass(frozen=True, slots=True)
class Play:
    """What happens to one request.

    Attributes:
        do: how it is answered.
        accept: whether it has its effect first; by default only where it is answered as the courier would.
        delay_seconds: wait before answering, after the effect.
    """

    do: Way = "answer"
    accept: bool = True
    status: int = 500
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay_seconds: float = 0.0
    interval_seconds: float = 0.2

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Play:
        """Raises ValueError: an unknown field or way."""
        play = _known(cls, {"accept": document.get("do", "answer") == "answer", **document})
        if play.do not in get_args(Way):
            raise ValueError(f"a play does one of {', '.join(get_args(Way))}")
        return play


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
        scenario = _known(cls, {**document, "lost": tuple(document.get("lost", ()))})
        if scenario.ends not in get_args(Ending):
            raise ValueError(f"a job ends by one of {', '.join(get_args(Ending))}")
        return scenario


def _known(kind: type[T], document: Mapping[str, Any]) -> T:
    try:
        return kind(**document)
    except TypeError as error:
        raise ValueError(f"known are only {', '.join(each.name for each in fields(kind))}") from error


class Script:
    """Plays per operation, each used once, then the operation's standing play; scenarios by order number. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._line: dict[str, deque[Play]] = defaultdict(deque)
        self._standing: dict[str, Play] = {}
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
        for operation in {**document.get("plays", {}), **document.get("standing", {})}:
            if operation not in get_args(Operation):
                raise ValueError(f"an operation is one of {', '.join(get_args(Operation))}")
        line = {name: deque(map(Play.from_json, plays)) for name, plays in document.get("plays", {}).items()}
        standing = {name: Play.from_json(play) for name, play in document.get("standing", {}).items()}
        orders = {number: Scenario.from_json(each) for number, each in document.get("orders", {}).items()}
        usual = Scenario.from_json(document["usual"]) if "usual" in document else None
        with self._lock:
            self._line.update(line)
            self._standing.update(standing)
            self._scenarios.update(orders)
            self._usual = usual or self._usual

    def next(self, operation: Operation) -> Play:
        with self._lock:
            line = self._line[operation]
            return line.popleft() if line else self._standing.get(operation, Play())

    def scenario(self, order_number: str) -> Scenario:
        """How this order's job goes; the second job of RX-1 is named RX-1#2, and goes as usual unless that is scripted."""
        with self._lock:
            return self._scenarios.get(order_number, self._usual)
