"""Owns the fake provider's memory: an fsynced ledger of what it accepted, and its script; never answers anybody."""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict, deque
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    """One acceptance: one line of the ledger. `at` is ISO 8601, UTC."""

    channel: str
    key: str
    recipient: str
    sha256: str
    message_id: str
    at: str


@dataclass(slots=True)
class Ledger:
    """An append-only JSONL file, read again at a restart; an acceptance is on the disk before anybody is told."""

    path: Path
    entries: list[Entry] = field(default_factory=list)
    _descriptor: int = -1

    def __post_init__(self) -> None:
        if self.path.exists():
            whole = self.path.read_bytes().rpartition(b"\n")[0]  # a torn last line was never told to anybody
            self.entries = [Entry(**json.loads(line)) for line in whole.splitlines()]
        self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def first(self, channel: str, key: str) -> Entry | None:
        return next((entry for entry in self.entries if (entry.channel, entry.key) == (channel, key)), None)

    def accept(self, channel: str, *, key: str, recipient: str, body: bytes, message_id: str | None = None) -> Entry:
        """Write one acceptance down, then return it."""
        number = len(self.entries) + 1
        entry = Entry(
            channel=channel,
            key=key,
            recipient=recipient,
            sha256=hashlib.sha256(body).hexdigest(),
            message_id=message_id or f"{channel}-{number}",
            at=datetime.now(UTC).isoformat(),
        )
        os.write(self._descriptor, json.dumps(asdict(entry)).encode() + b"\n")
        os.fsync(self._descriptor)
        self.entries.append(entry)
        return entry

    def close(self) -> None:
        os.close(self._descriptor)


@dataclass(frozen=True, slots=True)
class Play:
    """What the provider does with one request of a channel.

    Attributes:
        do: accept; status (answer `status`); drop (reset the connection); hang (never answer); drip (answer one byte
            per `interval_seconds`); garbage (answer what is no protocol); truncate (half an answer, then close).
        accept: whether the request is accepted into the ledger first; only `accept` does so by default.
        delay_seconds: wait before doing it.
    """

    do: str = "accept"
    accept: bool = True
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    delay_seconds: float = 0.0
    interval_seconds: float = 0.2

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Play:
        """Raises TypeError: an unknown field."""
        return cls(**{"accept": document.get("do", "accept") == "accept", **document})


@dataclass(slots=True)
class Script:
    """Plays per channel, each used once, then the channel's standing play."""

    _queues: dict[str, deque[Play]] = field(default_factory=lambda: defaultdict(deque))
    _standing: dict[str, Play] = field(default_factory=dict)

    def add(self, order: dict[str, Any]) -> None:
        """`{"channel": .., "plays": [..], "standing": {..} | null}`; `"clear": true` forgets the channel first."""
        channel = order["channel"]
        if order.get("clear"):
            self._queues.pop(channel, None)
            self._standing.pop(channel, None)
        self._queues[channel].extend(Play.from_json(play) for play in order.get("plays", []))
        if order.get("standing"):
            self._standing[channel] = Play.from_json(order["standing"])

    def next(self, channel: str) -> Play:
        queue = self._queues[channel]
        return queue.popleft() if queue else self._standing.get(channel, Play())
