"""What delivery says in the log of each batch and each dispatch in it. Owns the events; never a body, a recipient or a
provider's words, which may quote them: those are on the dispatch's page.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog

from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import Result
from dispatchlog.engine.outcome import Outcome
from dispatchlog.engine.states import Status

log = structlog.get_logger(__name__)


class DeliveryLog:
    """One batch's lines: at level info where the lane tells of each dispatch, else at debug, and then usually none."""

    def __init__(self, lane: Lane) -> None:
        self._level = logging.INFO if lane.tells_each else logging.DEBUG
        self._on = bool(log.is_enabled_for(self._level))
        self._where = {"lane": lane.name, "gateway": lane.gateway.name}
        self._counts: dict[str, int] = {}

    @contextmanager
    def batch(self, rows: Sequence[Row]) -> Iterator[None]:
        """Around the delivery of these rows; its end is told however it ends."""
        began = boottime()
        self._say("BATCH_BEGUN", count=len(rows))
        try:
            yield
        finally:
            seconds = round(boottime() - began, 3)
            left = len(rows) - sum(self._counts.values())
            self._say("BATCH_ENDED", count=len(rows), **self._counts, given_back=left, seconds=seconds)

    def begun(self, row: Row) -> None:
        """A row's turn has come."""
        if self._on:
            self._say("DISPATCH_BEGUN", **_of(row), attempt=row["attempts"] + 1)

    def recorded(self, results: Sequence[Result], moved: Collection[UUID]) -> None:
        """What became of the rows, once the ledger has it."""
        if not self._on:
            return
        for result in results:
            if result.row["id"] in moved:
                self._tell(result)

    def _tell(self, result: Result) -> None:
        verdict = result.verdict
        milliseconds = None if result.latency_ms is None else round(result.latency_ms, 1)
        known = {**_of(result.row), "milliseconds": milliseconds}
        if verdict.outcome is Outcome.ACCEPTED:
            self._count("sent")
            self._say("DISPATCH_SENT", **known)
            return
        known |= {"code": verdict.code, "outcome": str(verdict.outcome)}
        known["attempts"] = result.row["attempts"] + verdict.counts
        if verdict.status is Status.PENDING:
            self._count("again")
            self._say("DISPATCH_AGAIN", **known, next_attempt_in_seconds=round(verdict.delay_seconds, 3))
        else:
            self._count("failed")
            self._say("DISPATCH_FAILED", **known, in_doubt=verdict.in_doubt)

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1

    def _say(self, event: str, **fields: Any) -> None:
        if self._on:
            log.log(self._level, event, **self._where, **fields)


def _of(row: Row) -> dict[str, Any]:
    """Which dispatch it is."""
    named = {"dispatch_id": str(row["id"])}
    return named | {"trace_id": row["trace_id"]} if row["trace_id"] else named
