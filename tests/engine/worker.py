"""A worker process for tests that kill it: `python -m tests.engine.worker JSON`. Its provider is a file.

Prints one line of JSON with its worker number once it is ready, then works until it is ended.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dispatchlog.broker import make_broker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Permanent
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel, Receipt
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.engine.watch import Watch
from tests.engine.lane import APPLICATION_ROLE, parcel_lane

DEADLINE_SECONDS = 0.3


@dataclass(frozen=True)
class Entry:
    """One request that reached the provider; `accepted` once per key where it dedupes, else every time."""

    dispatch_id: str
    key: str
    sha256: str
    accepted: bool
    message_id: str
    at: str


class LedgerGateway:
    """A provider that outlives every worker: an fsynced file shared by all processes, which it locks for each request."""

    key_retention: timedelta | None = None

    def __init__(
        self, kind: GatewayKind, path: Path, *, deadline_seconds: float = DEADLINE_SECONDS, stop_at: str = ""
    ) -> None:
        self.name = "ledger"
        self.kind = kind
        self.deadline_seconds = deadline_seconds
        self.indexing_delay = timedelta(0)
        self._path = path
        self._stop_at = stop_at  # where this process pauses itself, once: "connected" or "accepted"

    def requests(self) -> list[Entry]:
        if not self._path.exists():
            return []
        return [Entry(**json.loads(line)) for line in self._path.read_text().splitlines()]

    def accepted(self) -> list[Entry]:
        return [entry for entry in self.requests() if entry.accepted]

    def send(self, parcel: Parcel, *, deadline: Deadline, before_write: Callable[[], None]) -> Receipt:
        self._pause("connected")
        before_write()
        with self._path.open("a") as ledger:
            fcntl.flock(ledger, fcntl.LOCK_EX)
            known = [entry for entry in self.accepted() if entry.key == parcel.idempotency_key]
            first = known[0] if known and self.kind is GatewayKind.IDEMPOTENT else None
            sha256 = hashlib.sha256(parcel.body).hexdigest()
            entry = Entry(
                dispatch_id=str(parcel.dispatch_id),
                key=parcel.idempotency_key,
                sha256=sha256,
                accepted=first is None,
                message_id=first.message_id if first else f"m-{len(self.requests()) + 1}",
                at=datetime.now(UTC).isoformat(),
            )
            ledger.write(json.dumps(asdict(entry)) + "\n")
            ledger.flush()
            os.fsync(ledger.fileno())
        self._pause("accepted")
        if first is not None and first.sha256 != sha256:
            raise Permanent("other bytes under this key", code="KEY_REUSED")
        return Receipt(entry.message_id)

    def _pause(self, point: str) -> None:
        if self._stop_at == point:
            self._stop_at = ""
            # Sent to the process, it may reach another thread first, and this one would go on for a moment.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:
        if self.kind is not GatewayKind.LOOKUP:
            return LookUp(LookUpAnswer.UNSURE)
        for entry in self.accepted():
            if entry.dispatch_id == str(parcel.dispatch_id):
                return LookUp(LookUpAnswer.FOUND, entry.message_id)
        return LookUp(LookUpAnswer.ABSENT)

    def close(self) -> None:
        """Nothing to close."""


def ledger_lane(kind: GatewayKind, path: Path, *, stop_at: str = "", **options: Any) -> Lane:
    return parcel_lane(LedgerGateway(kind, path, stop_at=stop_at), **options)


def main() -> None:
    order = json.loads(sys.argv[1])
    configure(order["database_url"], role=APPLICATION_ROLE, name="test worker", max_connections=10, by_index=True)
    presence = Presence(order["database_url"], role=APPLICATION_ROLE)
    worker_id = presence.open()
    if order.get("kind"):
        lane = ledger_lane(GatewayKind(order["kind"]), Path(order["ledger"]), stop_at=order.get("stop_at", ""))
        if order.get("asks"):
            lane = replace(lane, may_leave=lambda row: None)
        waker = Waker(make_broker(order["redis_url"]), order["redis_url"])
        Watch(Runtime(presence, waker, Breaker(order["redis_url"])), lambda: [lane], order["redis_url"]).start()
    if order.get("fork"):
        fork_a_child(presence)
    print(json.dumps({"worker_id": worker_id, "pid": os.getpid()}), flush=True)
    threading.Event().wait()


def fork_a_child(presence: Presence) -> None:
    """Leave a child behind that holds every descriptor this process had, and ends when its standard input does."""
    if os.fork() == 0:
        del presence
        sys.stdin.read()
        os._exit(0)


if __name__ == "__main__":
    main()
