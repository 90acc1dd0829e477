"""Owns how messages to the sandbox's patients go, and what patients answer; does neither."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from dispatchlog.gateways.sandbox_plays import Play, Plays, known

Operation = Literal["twilio.send", "twilio.list", "twilio.fetch", "sendgrid.send", "whatsapp.send"]
Ending = Literal[
    "waits",  # nothing more is heard
    "sent",  # SendGrid: processed
    "delivered",
    "read",  # SMS has no such thing: delivered; SendGrid: open
    "clicked",  # SendGrid only; elsewhere as read
    "failed",  # Twilio: undelivered; SendGrid: bounce
    "dropped",  # SendGrid: on its own list of those not to be written to; elsewhere as failed
    "spamreport",  # SendGrid; elsewhere as read
    "unsubscribed",  # SendGrid; elsewhere as read
]


@dataclass(frozen=True, slots=True)
class Scenario:
    """How messages to one address go.

    Attributes:
        ends: how far they come.
        code: the error code of a failure.
        step_seconds: from one status to the next.
        lost: statuses whose webhook never leaves.
        copies: how often each webhook is sent.
        swapped: each second webhook leaves before the first.
        machine_open: SendGrid's open was a machine's.
        stopped: the patient told the provider to stop long ago.
    """

    ends: Ending = "delivered"
    code: int = 30003
    step_seconds: float = 1.0
    lost: tuple[str, ...] = ()
    copies: int = 1
    swapped: bool = False
    machine_open: bool = False
    stopped: bool = False

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Scenario:
        """Raises ValueError: an unknown field or ending."""
        scenario = known(cls, {**document, "lost": tuple(document.get("lost", ()))})
        if scenario.ends not in get_args(Ending):
            raise ValueError(f"a message ends by one of {', '.join(get_args(Ending))}")
        return scenario


@dataclass(frozen=True, slots=True)
class Rule:
    """What a patient answers, "" for nothing: to a message at the number `to` ("*": any) that asks for `asks` ("": whatever
    it says)."""

    answer: str
    to: str = "*"
    asks: str = ""
    after_seconds: float = 5.0

    def fits(self, to: str, text: str) -> bool:
        return self.to in ("*", to) and self.asks.casefold() in text.casefold()


class Script:
    """Plays per operation, each used once, then the operation's standing play; scenarios by address. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plays = Plays(get_args(Operation))
        self._scenarios: dict[str, Scenario] = {}
        self._usual = Scenario()
        self._rules: Sequence[Rule] = ()

    def load(self, document: Mapping[str, Any]) -> None:
        """`{"plays": {"twilio.send": [..]}, "standing": {..}, "numbers": {"+1..": {..}}, "usual": {..}, "replies": [..]}`.

        What is named replaces what was scripted of it before; the rest stays. An address may stand for a number.

        Raises:
            ValueError: an unknown field; nothing was changed.
        """
        fields = ("plays", "standing", "numbers", "usual", "replies")
        if unknown := set(document) - set(fields):
            raise ValueError(f"a script knows only {', '.join(fields)}, not {', '.join(sorted(unknown))}")
        plays = self._plays.read(document)
        numbers = {number: Scenario.from_json(each) for number, each in document.get("numbers", {}).items()}
        usual = Scenario.from_json(document["usual"]) if "usual" in document else None
        rules = [known(Rule, each) for each in document["replies"]] if "replies" in document else None
        with self._lock:
            self._plays.take(plays)
            self._scenarios.update(numbers)
            self._usual = usual or self._usual
            self._rules = self._rules if rules is None else rules

    def next(self, operation: str) -> Play:
        return self._plays.next(operation)

    def scenario(self, address: str) -> Scenario:
        with self._lock:
            return self._scenarios.get(address, self._usual)

    def reply(self, to: str, text: str) -> Rule | None:
        """What the patient answers to this, by the first rule that fits; None: nothing."""
        with self._lock:
            rule = next((rule for rule in self._rules if rule.fits(to, text)), None)
        return rule if rule is not None and rule.answer else None
