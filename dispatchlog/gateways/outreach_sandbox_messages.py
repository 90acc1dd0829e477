"""Owns the sandbox's messages: what was accepted, how each stands, who told a provider to stop, and who wrote last.

In memory only: a sandbox begins empty. Knows no provider's words; those tell it how a message goes on.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dispatchlog.gateways.outreach_sandbox_script import Scenario, Script
from dispatchlog.gateways.sandbox_posting import Post, Posting

WINDOW_SECONDS = 24 * 3600.0
_MOST_KEPT = 50_000
STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS = frozenset({"START", "YES", "UNSTOP"})


@dataclass(slots=True)
class Message:
    """One text, to a patient or from one (`inbound`); `reference` is what came along of ours."""

    number: int
    provider: str
    channel: str
    message_id: str
    to: str
    sender: str
    text: str
    reference: str = ""
    subject: str = ""
    sha256: str = ""
    status_url: str = ""
    inbound: bool = False
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    sent_at: datetime | None = None
    status: str = "accepted"
    code: int | None = None
    statuses: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        found = {name: getattr(self, name) for name in self.__slots__ if name not in ("at", "sent_at", "statuses")}
        return {**found, "at": self.at.isoformat(), "statuses": [*self.statuses]}

    def becomes(self, status: str, code: int | None = None) -> None:
        self.status, self.code = status, code
        self.statuses.append(status)
        if self.sent_at is None and status not in ("queued", "accepted"):
            self.sent_at = datetime.now(UTC)


# A message's webhook about one status.
Tell = Callable[[Message, str, int | None], Post | None]
Answering = Callable[[Message, str], None]


class Traffic:
    """Thread-safe.

    Args:
        happened: called with each message that is accepted, that moves on, or that comes in.
    """

    def __init__(self, script: Script, *, happened: Callable[[Message], None] | None = None) -> None:
        self.script = script
        self.posting = Posting()
        self.answering: dict[str, Answering] = {}
        self._happened = happened
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._messages: list[Message] = []
        self._stopped: set[tuple[str, str]] = set()
        self._wrote: dict[tuple[str, str], float] = {}

    def keep(self, **facts: Any) -> Message:
        """A new message; the oldest are forgotten when there are too many."""
        with self._lock:
            message = Message(number=next(self._numbers), **facts)
            self._messages.append(message)
            del self._messages[:-_MOST_KEPT]
        self._tell(message)
        return message

    def goes(self, message: Message, steps: Sequence[tuple[str, int | None]], tell: Tell) -> None:
        """Let it take these statuses, each told by a webhook, and its patient answer when it has arrived."""
        scenario = self.script.scenario(message.to)
        for place, (status, code) in enumerate(steps):
            self._plan(message, status, code, (place + 1) * scenario.step_seconds)
        for place, (status, code) in enumerate(_order(steps, swapped=scenario.swapped)):
            post = None if status in scenario.lost else tell(message, status, code)
            for _ in range(scenario.copies if post else 0):
                self.posting.put(post or Post(""), after_seconds=(place + 1) * scenario.step_seconds)
        rule = self.script.reply(message.to, message.text)
        if rule is not None and message.provider in self.answering and not _fails(steps):
            answer = Post("", first=lambda: self.answering[message.provider](message, rule.answer))
            self.posting.put(answer, after_seconds=len(steps) * scenario.step_seconds + rule.after_seconds)

    def _plan(self, message: Message, status: str, code: int | None, after_seconds: float) -> None:
        def moved() -> None:
            message.becomes(status, code)
            self._tell(message)

        self.posting.put(Post("", first=moved), after_seconds=after_seconds)

    def wrote(self, message: Message) -> str:
        """A patient's own message: it opens the window for free text. STOP, START, HELP or "", as Twilio calls it."""
        word = message.text.strip().upper()
        with self._lock:
            self._wrote[message.channel, message.sender] = time.monotonic()
            if word in STOP_WORDS:
                self._stopped.add((message.channel, message.sender))
                return "STOP"
            if word in START_WORDS and (message.channel, message.sender) in self._stopped:
                self._stopped.discard((message.channel, message.sender))
                return "START"
        return "HELP" if word in ("HELP", "INFO") else ""

    def is_stopped(self, channel: str, address: str) -> bool:
        with self._lock:
            return (channel, address) in self._stopped or self.script.scenario(address).stopped

    def window_is_open(self, address: str) -> bool:
        with self._lock:
            wrote = self._wrote.get(("whatsapp", address))
        return wrote is not None and time.monotonic() - wrote < WINDOW_SECONDS

    def messages(self, provider: str = "") -> list[Message]:
        """All that are kept, oldest first."""
        with self._lock:
            return [each for each in self._messages if provider in ("", each.provider)]

    def _tell(self, message: Message) -> None:
        if self._happened is not None:
            self._happened(message)

    def close(self) -> None:
        self.posting.close()


def _order(steps: Sequence[tuple[str, int | None]], *, swapped: bool) -> list[tuple[str, int | None]]:
    if not swapped:
        return [*steps]
    return [step for place in range(0, len(steps), 2) for step in reversed(steps[place : place + 2])]


def _fails(steps: Sequence[tuple[str, int | None]]) -> bool:
    return any(code is not None for _, code in steps)


def scenario_of(traffic: Traffic, message: Message) -> Scenario:
    return traffic.script.scenario(message.to)
