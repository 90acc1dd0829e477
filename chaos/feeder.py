"""Owns what is put in: a thread that enqueues the mix while the backlog is bounded. It never looks at what becomes of it.

A batch whose COMMIT was not answered is put in again under the same ids, until it is acknowledged: what was acknowledged
must be there at the end.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

from chaos.lanes import ENDPOINTS, HL7, KINDS, Kind, hl7_message
from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, database, fetch_one, transaction
from dispatchlog.engine.delivery import DATABASE_ERRORS
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.tables import new_id
from dispatchlog.engine.wakeup import Waker

BATCH = 500
EXPIRING_SHARE = 0.02
URGENT_SHARE = 0.01
DELAYED_SHARE = 0.05
# Of each endpoint; few, so that most messages have some of theirs before them.
PATIENTS = 20


class Feeder:
    """One thread; `acknowledged` counts the rows per lane whose commit was answered, `waiting` those PENDING."""

    def __init__(self, lanes: dict[str, Lane], waker: Waker, *, seed: int, per_second: float) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.waiting: dict[str, int] = {}
        self.commits_repeated = 0
        self._lanes = lanes
        self._waker = waker
        self._per_second = per_second
        self._random = random.Random(seed)  # noqa: S311  the traffic must be repeatable, not secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feeder", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Come back when the batch in hand is acknowledged."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while not self._stop.is_set():
            ahead = sum(self.acknowledged.values()) - (time.monotonic() - began) * self._per_second
            if ahead > 0 or not self._has_room():
                self._stop.wait(0.02)
                continue
            self._put_in({kind: self._rows(kind) for kind in KINDS})

    def _has_room(self) -> bool:
        try:
            with connected():
                self.waiting = {kind.name: self._waiting(kind) for kind in KINDS}
                return all(self.waiting[kind.name] < kind.most_open for kind in KINDS)
        except DATABASE_ERRORS:
            self._after_error()
            return False

    @staticmethod
    def _waiting(kind: Kind) -> int:
        return int(fetch_one(f"SELECT count(*) FROM {kind.table} WHERE status = 'PENDING'")[0])

    def _rows(self, kind: Kind) -> list[dict[str, Any]]:
        if kind is HL7:
            return [self._hl7_row() for _ in range(BATCH * kind.share // 1000)]
        rows = [self._row() for _ in range(BATCH * kind.share // 1000)]
        return sorted(rows, key=sorted)  # alike ones together: fewer statements

    def _row(self) -> dict[str, Any]:
        row_id, now = new_id(), datetime.now(UTC)
        row: dict[str, Any] = {
            "id": row_id,
            "recipient": f"{self._random.getrandbits(48):012x}@example.org",
            "note": f"{self._random.getrandbits(256):064x}",
        }
        draw = self._random.random()
        if draw < EXPIRING_SHARE:
            row["expires_at"] = now + timedelta(seconds=self._random.uniform(0.5, 10))
        elif draw < EXPIRING_SHARE + URGENT_SHARE:
            row["priority"] = 1
        elif draw < EXPIRING_SHARE + URGENT_SHARE + DELAYED_SHARE:
            row["due_at"] = now + timedelta(seconds=self._random.uniform(0.2, 4))
        return row

    def _hl7_row(self) -> dict[str, Any]:
        row_id, route = new_id(), self._random.choice(ENDPOINTS)
        patient = f"{route}-{self._random.randrange(PATIENTS)}"
        return {
            "id": row_id,
            "route": route,
            "ordering_key": patient,
            "recipient": patient,
            "note": hl7_message(f"{row_id}-1", patient, f"{self._random.getrandbits(256):064x}"),
        }

    def _put_in(self, batch: dict[Kind, list[dict[str, Any]]]) -> None:
        while True:
            try:
                with transaction("feeder"):
                    for kind, rows in batch.items():
                        ledger.enqueue(self._lanes[kind.name], rows)
                        self._waker.after_commit(self._lanes[kind.name])
            except DATABASE_ERRORS:
                self.commits_repeated += 1
                self._after_error()
                continue
            for kind, rows in batch.items():
                self.acknowledged[kind.name] += len(rows)
            return

    def _after_error(self) -> None:
        if not database.is_closed():
            database.close()
        time.sleep(0.1)
