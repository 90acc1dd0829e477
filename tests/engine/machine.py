"""What every machine of stepping workers can have happen to it: kills, lost locks, rescue, and a person's deeds.

Owns these rules; what comes in, what must hold and how it ends belong to the machine of each kind of lane.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from dispatchlog.engine import ledger, operator
from dispatchlog.engine.database import connected, transaction
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.lookup import sender_ended_seconds_ago
from dispatchlog.engine.rescue import rescue
from dispatchlog.gateways.fake import FakeGateway, Outcome

from .stepping import Worker

WHO = "person:ann"
DEADLINE_SECONDS = 0.02
# Of constant range whatever there is to pick from: what time does must not change what Hypothesis draws.
PICKS = st.integers(0, 11)
NUMBERS = st.integers(0, 2)
POINTS = ["claimed", "composed", "marked", "writing", "sent", "recorded", ""]
OUTCOMES = [outcome for outcome in Outcome if outcome is not Outcome.ACCEPT]


class SteppingMachine(RuleBasedStateMachine):
    """Three workers on one lane. `kind` is that of the provider, `url` the database's."""

    kind: GatewayKind
    url: str
    lane: Lane
    workers: list[Worker]

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[UUID] = []
        self.final: dict[UUID, str] = {}

    # --- what each kind of lane has of its own

    def run(self, number: int, point: str) -> None:
        """Let a worker go on until it is at that point, or its look has ended."""
        raise NotImplementedError

    def _end_what_is_late(self) -> None:
        """What a drain does about rows that waited for too long."""
        raise NotImplementedError

    def _gateway_of(self, row: Mapping[str, Any]) -> FakeGateway:
        raise NotImplementedError

    def _picked(self, pick: int, where: str) -> list[dict[str, Any]]:
        raise NotImplementedError

    # --- the workers

    @rule(number=NUMBERS, point=st.sampled_from(POINTS))
    def kill(self, number: int, point: str) -> None:
        self.run(number, point)
        self.workers[number].die()
        self.workers[number] = Worker(self.url, self.lane)

    @rule(number=NUMBERS, point=st.sampled_from(POINTS), other=NUMBERS)
    def lose_lock(self, number: int, point: str, other: int) -> None:
        """A worker pauses, its session ends, and somebody takes it for dead; it is still there."""
        self.run(number, point)
        self.workers[number].lose_lock()
        self.rescue(other)

    @rule(number=NUMBERS)
    def rescue(self, number: int) -> None:
        time.sleep(DEADLINE_SECONDS * 1.5)
        worker = self.workers[number]
        with connected():
            rescue(self.lane, worker_id=worker.presence.worker_id, live_tokens=worker.runtime.live_tokens())
        self._end_what_is_late()

    # --- a person, who never says what is not so

    @rule(pick=PICKS)
    def retry(self, pick: int) -> None:
        for row in self._picked(pick, "status IN ('FAILED', 'PENDING')"):
            operator.retry(self.lane, [row["id"]], actor=WHO)

    @rule(pick=PICKS, held=st.booleans())
    def withdraw(self, pick: int, held: bool) -> None:
        for row in self._picked(pick, "status IN ('PENDING', 'FAILED')"):
            if held and row["status"] == "PENDING" and row["first_claimed_at"] is None:
                with transaction(WHO):
                    ledger.hold(self.lane, [row["id"]], code="HELD", reason="looked at first")
            else:
                operator.cancel(self.lane, [row["id"]], actor=WHO, reason="not wanted")

    @rule(pick=PICKS)
    def settle_a_doubt(self, pick: int) -> None:
        for row in self._picked(pick, "in_doubt"):
            self._settle(row)

    def _settle(self, row: Mapping[str, Any]) -> None:
        if self._gateway_of(row).accepted_for(row["id"]):
            operator.confirm_sent(
                self.lane, row["id"], actor=WHO, reason="they have it", claim_token=row["claim_token"]
            )
        elif sender_ended_seconds_ago(row) is not None and not any(worker.busy for worker in self.workers):
            operator.confirm_not_sent(
                self.lane, row["id"], actor=WHO, reason="they do not", claim_token=row["claim_token"]
            )
