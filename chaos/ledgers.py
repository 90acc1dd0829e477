"""Owns reading what was accepted, from the files the provider and the workers wrote. Compares nothing.

Every acceptance names the dispatch and its generation, for each lane hands its idempotency key over as the reference.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from chaos.lanes import BULK, KINDS

_KEY = re.compile(r"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})-(\d+)")
_LANE_OF_CHANNEL = {kind.channel: kind.name for kind in KINDS if kind.channel}


class NotALedgerError(ValueError):
    """A ledger's line is not one of this run's acceptances."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """One line of a ledger."""

    lane: str
    dispatch_id: str
    generation: int
    recipient: str
    sha256: str
    message_id: str
    at: str


def accepted_by_workers(directory: Path) -> Iterator[Acceptance]:
    """The bulk lane's acceptances, resends included."""
    for path in sorted(directory.glob("*.ledger")):
        with path.open() as lines:
            for line in lines:
                key, sha256, recipient = line.split()
                dispatch_id, generation = split_key(key)
                yield Acceptance(BULK.name, dispatch_id, generation, recipient, sha256, "", "")


def accepted_by_provider(path: Path) -> Iterator[Acceptance]:
    """Everything the provider ever accepted."""
    reader = ProviderLedger(path)
    yield from reader.news()


def split_key(key: str) -> tuple[str, int]:
    """The dispatch's id and the generation.

    Raises:
        NotALedgerError: it is no key of ours.
    """
    found = _KEY.fullmatch(key)
    if found is None:
        raise NotALedgerError(f"not a key: {key[:80]}")
    return found[1], int(found[2])


class ProviderLedger:
    """The provider's file while it grows: each call reads what is new since the last one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.counts: Counter[UUID] = Counter()

    def news(self) -> Iterator[Acceptance]:
        """The acceptances since the last call; a torn last line is left for the next."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield _acceptance(json.loads(line))

    def has(self, dispatch_id: UUID) -> bool:
        """Whether the provider has accepted the dispatch by now, under whichever key."""
        for acceptance in self.news():
            self.counts[UUID(acceptance.dispatch_id)] += 1
        return self.counts[dispatch_id] > 0


def _acceptance(entry: dict[str, str]) -> Acceptance:
    key = entry["key"].partition("@")[0]  # a Message-ID's right side is ours
    dispatch_id, generation = split_key(key)
    lane = _LANE_OF_CHANNEL[entry["channel"]]
    return Acceptance(
        lane, dispatch_id, generation, entry["recipient"], entry["sha256"], entry["message_id"], entry["at"]
    )
