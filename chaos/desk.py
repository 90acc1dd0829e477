"""Owns the person at the desk: a thread that cancels, retries, asks and settles doubts truthfully; writes no status itself.

It confirms "sent" only where the provider's ledger has the dispatch, and "not sent" only where the ledger has not, the
sender has ended and nothing of it can still be on its way.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from chaos.lanes import KINDS, Kind
from chaos.ledgers import ProviderLedger
from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, database, fetch_all, fetch_dicts
from dispatchlog.engine.delivery import DATABASE_ERRORS
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.lookup import look_up, sender_ended_seconds_ago

WHO = "person:chaos"
ROUND_SECONDS = 0.3
# A doubt is old enough to be settled by the ledger: deadline, latency and indexing are over many times.
SURE_AFTER = timedelta(seconds=6)
# Whether the person also asks about young doubts, as the button of the page lets everybody do.
ASKS_AT_ONCE = True


class Desk:
    """One thread while the run lasts; `done` counts what it did."""

    def __init__(self, lanes: dict[str, Lane], ledger: ProviderLedger, *, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._lanes = lanes
        self._ledger = ledger
        self._random = random.Random(seed)  # noqa: S311  must be repeatable, not secret
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="desk", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(ROUND_SECONDS):
            for kind in KINDS:
                try:
                    with connected():
                        self._round(kind, self._lanes[kind.name])
                except (*DATABASE_ERRORS, DispatchlogError):
                    self.done["interrupted"] += 1
                    if not database.is_closed():
                        database.close()
                    time.sleep(0.1)

    def _round(self, kind: Kind, lane: Lane) -> None:
        if self._random.random() < 0.5:
            self._cancel_one(lane)
        self._tidy_failed(lane)
        for row in doubts(lane, limit=50):
            # One in four is left alone, and so are the young ones: doubts are meant to be seen.
            if row["id"].int % 4 and self._random.random() < 0.5:
                self._settle(kind, lane, row)

    def _cancel_one(self, lane: Lane) -> None:
        waiting = fetch_all(f"SELECT id FROM {lane.table} WHERE status = 'PENDING' ORDER BY due_at DESC LIMIT 20")
        if waiting:
            chosen: UUID = self._random.choice(waiting)[0]
            self._count("cancel", operator.cancel(lane, [chosen], actor=WHO, reason="not wanted any more"))

    def _tidy_failed(self, lane: Lane) -> None:
        failed = fetch_all(
            f"SELECT id FROM {lane.table} WHERE status = 'FAILED' AND NOT in_doubt ORDER BY updated_at DESC LIMIT 20"
        )
        for (dispatch_id,) in failed:
            draw = self._random.random()
            if draw < 0.5:
                self._count("retry", operator.retry(lane, [dispatch_id], actor=WHO))
            elif draw < 0.6:
                self._count("give up", operator.cancel(lane, [dispatch_id], actor=WHO, reason="given up"))

    def _settle(self, kind: Kind, lane: Lane, row: Row) -> None:
        if kind.kind is GatewayKind.IDEMPOTENT:
            if not is_expired(row):
                self.resend(lane, row)
            return
        can_be_asked = kind.kind is GatewayKind.LOOKUP and row["lookup_at"] is not None
        if datetime.now(UTC) - row["updated_at"] < SURE_AFTER and not (can_be_asked and ASKS_AT_ONCE):
            return
        if can_be_asked:
            self._ask(lane, row)
        elif self._ledger.has(row["id"]):
            result = operator.confirm_sent(lane, row["id"], actor=WHO, reason="it is in the provider's ledger")
            self._count("confirm sent", [result])
        elif sender_ended_seconds_ago(row) is not None and not self._ledger.has(row["id"]):
            result = operator.confirm_not_sent(lane, row["id"], actor=WHO, reason="it is not in the provider's ledger")
            self._count("confirm not sent", [result])

    def ask(self, lane: Lane, row: Row) -> None:
        """Ask the provider, as the page's button does, about a doubt old enough for its answer."""
        if datetime.now(UTC) - row["updated_at"] >= SURE_AFTER:
            self._ask(lane, row)

    def _ask(self, lane: Lane, row: Row) -> None:
        self.done[f"asked: {look_up(lane, row, actor=WHO).value.lower()}"] += 1

    def resend(self, lane: Lane, row: Row) -> None:
        """Retry a doubt of an IDEMPOTENT lane under its old key."""
        self._count("resend", operator.retry(lane, [row["id"]], actor=WHO))

    def _count(self, what: str, results: list[operator.ActionResult]) -> None:
        self.done[what] += sum(result.changed for result in results)


def is_expired(row: Row) -> bool:
    """Whether a retry would only put the row back in doubt: it is of no use any more, so it is not sent."""
    return row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC)


def doubts(lane: Lane, *, limit: int) -> list[Row]:
    """Rows in doubt, those to be asked about next first."""
    return [*fetch_dicts(f"SELECT * FROM {lane.table} WHERE in_doubt ORDER BY lookup_at LIMIT {int(limit)}")]
