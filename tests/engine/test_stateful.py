"""Many rows, three workers of the real send path on a real PostgreSQL, in any order that Hypothesis finds.

A worker is a thread that runs `deliver_batch` and stops at every crash point until the machine lets it go on, kills it
there, or takes its lock away meanwhile. Whatever the order, what the provider accepted and what the log says agree; and
when the faults end, everything settles.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from dispatchlog.engine import delivery, ledger
from dispatchlog.engine.database import connected, database, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lookup import look_up
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.states import MOVES
from dispatchlog.gateways.fake import FakeGateway, Outcome

from .lane import parcel_lane
from .machine import DEADLINE_SECONDS, NUMBERS, OUTCOMES, PICKS, POINTS, WHO, SteppingMachine
from .stepping import LateGateway, Worker, crash_point


class Machine(SteppingMachine):
    """One run: rows put in, workers stepping, and everything that can happen to either."""

    def __init__(self) -> None:
        super().__init__()
        self.gateway = LateGateway(self.kind, deadline_seconds=DEADLINE_SECONDS)
        retry = RetryPolicy(max_attempts=2, first_delay_seconds=0, jitter=0)
        self.lane = parcel_lane(self.gateway, ordered=True, batch=3, retry=retry)
        self.workers = [Worker(self.url, self.lane) for _ in range(3)]

    # --- what comes in

    @initialize()
    def begin_with_some(self) -> None:
        for ordering_key in (None, "a"):
            self.enqueue(count=2, ordering_key=ordering_key, priority=0, useless=False)

    @rule(
        count=st.integers(1, 3),
        ordering_key=st.sampled_from([None, "a", "b"]),
        priority=st.integers(0, 1),
        useless=st.booleans(),
    )
    def enqueue(self, count: int, ordering_key: str | None, priority: int, useless: bool) -> None:
        rows = [
            {"body_text": f"parcel {len(self.ids) + number}", "ordering_key": ordering_key, "priority": priority}
            for number in range(count)
        ]
        with transaction("test"):
            self.ids += ledger.enqueue(self.lane, rows)
        if useless:
            self._change(self.ids[-1], "expires_at = now() + interval '10 ms'")

    @rule(outcome=st.sampled_from(OUTCOMES))
    def the_next_send_goes_wrong(self, outcome: Outcome) -> None:
        self.gateway.script(outcome)

    # --- the workers

    @rule(number=NUMBERS, point=st.sampled_from(POINTS))
    def run(self, number: int, point: str) -> None:
        """Let a worker go on until it is at that point, or its batch has ended."""
        worker = self.workers[number]
        begins = not worker.busy
        worker.step()
        if begins and worker.at == "claimed":
            self._only_heads_were_claimed(worker)
        while worker.busy and worker.at != point:
            worker.step()

    def _end_what_is_late(self) -> None:
        with transaction("worker:0"):
            ledger.expire_due(self.lane)

    def _gateway_of(self, row: Mapping[str, Any]) -> FakeGateway:
        return self.gateway

    # --- the provider, asked or speaking by itself

    @rule(pick=PICKS)
    def ask_the_provider(self, pick: int) -> None:
        for row in self._picked(pick, "in_doubt"):
            look_up(self.lane, row, actor=WHO)

    @rule(pick=PICKS, times=st.integers(1, 2))
    def a_webhook_says_accepted(self, pick: int, times: int) -> None:
        accepted = sorted({entry.dispatch_id for entry in self.gateway.accepted})
        for row in self._picked(pick, "id = ANY (%s::uuid[])", (accepted,)):
            for _ in range(times):
                with transaction("webhook:fake"):
                    ledger.prove(self.lane, row, provider_message_id="w", evidence={"event": "delivered"})

    # --- what must hold

    @invariant()
    def the_log_and_the_provider_agree(self) -> None:
        accepted: dict[UUID, list[Any]] = {}
        for entry in self.gateway.accepted:
            accepted.setdefault(entry.dispatch_id, []).append(entry)
        for row in self._rows("true"):
            entries = accepted.get(row["id"], [])
            told = f"{row['id']} is {row['status']}, in doubt {row['in_doubt']}, accepted {len(entries)} times"
            assert len(entries) <= 1, told
            if row["status"] == "SENT":
                assert entries, told
            if row["status"] == "CANCELLED" or (row["status"] == "FAILED" and not row["in_doubt"]):
                assert not entries, told
            if row["status"] == "PENDING" and self.kind is not GatewayKind.IDEMPOTENT:
                assert not entries, told
            for entry in entries:
                assert (entry.body, entry.recipient) == (row["body_text"].encode(), "someone@example.org"), told
            known = self.final.get(row["id"])
            assert known in (None, row["status"]), f"{told}; it was {known}"
            if row["status"] in ("SENT", "CANCELLED"):
                self.final[row["id"]] = row["status"]

    @invariant()
    def every_move_is_in_the_history_and_legal(self) -> None:
        with connected():
            steps = fetch_dicts(
                "SELECT t.*, d.status, d.in_doubt AS doubt_now FROM dispatch_transitions t JOIN parcels d"
                " ON d.id = t.dispatch_id WHERE d.id = ANY (%s) ORDER BY t.dispatch_id, t.id",
                (self.ids,),
            )
        last: dict[UUID, Any] = {}
        for step in steps:
            before = last.get(step["dispatch_id"])
            if before is None:
                assert (step["from_status"], step["to_status"]) == (None, "PENDING")
            elif step["from_status"] == step["to_status"]:
                assert step["to_status"] == "FAILED"
                assert before["in_doubt"] is not step["in_doubt"]
            else:
                assert (step["from_status"], step["to_status"]) in MOVES
                assert step["from_status"] == before["to_status"]
            last[step["dispatch_id"]] = step
        assert set(last) == set(self.ids)
        for step in last.values():
            assert (step["to_status"], step["in_doubt"]) == (step["status"], step["doubt_now"])

    def _only_heads_were_claimed(self, worker: Worker) -> None:
        with connected():
            overtaken = fetch_all(
                "SELECT t.id FROM parcels t WHERE t.status = 'QUEUED' AND t.claimed_by = %s AND t.ordering_key IS NOT NULL"
                " AND EXISTS (SELECT FROM parcels o WHERE o.ordering_key = t.ordering_key AND o.seq < t.seq"
                " AND o.status IN ('PENDING', 'QUEUED') AND o.id = ANY (%s))",
                (worker.presence.worker_id, self.ids),
            )
        assert not overtaken, "a row was claimed before an older one of its key"

    # --- the end of the faults

    def teardown(self) -> None:
        try:
            for worker in self.workers:
                worker.die()
            self.workers = []
            self._heal_and_settle()
        finally:
            for worker in self.workers:
                worker.die()

    def _heal_and_settle(self) -> None:
        self.gateway._script.clear()
        worker = Worker(self.url, self.lane)
        self.workers = [worker]
        for _ in range(40):
            time.sleep(DEADLINE_SECONDS * 1.5)
            with connected():
                rescue(self.lane, worker_id=worker.presence.worker_id, live_tokens=frozenset())
            self._end_what_is_late()
            self._change_all("status = 'PENDING'", "due_at = now() - interval '1 s'")
            worker.step()
            while worker.busy:
                worker.step()
            for row in self._rows("in_doubt"):
                if self.kind is GatewayKind.LOOKUP:
                    look_up(self.lane, row, actor=WHO)
                else:
                    self._settle(row)
            if not self._rows("status IN ('PENDING', 'QUEUED') OR in_doubt"):
                break
        self.the_log_and_the_provider_agree()
        self.every_move_is_in_the_history_and_legal()
        unsettled = [
            (str(row["id"]), row["status"]) for row in self._rows("status IN ('PENDING', 'QUEUED') OR in_doubt")
        ]
        assert not unsettled

    # --- looking and ageing

    def _rows(self, where: str, parameters: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        if not self.ids:
            return []
        with connected():
            return fetch_dicts(
                f"SELECT * FROM parcels WHERE id = ANY (%s) AND ({where}) ORDER BY seq", (self.ids, *parameters)
            )

    def _picked(self, pick: int, where: str, parameters: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        rows = self._rows(where, parameters)
        return [rows[pick % len(rows)]] if rows else []

    def _change(self, dispatch_id: UUID, assignment: str) -> None:
        with transaction("test"):
            fetch_all(f"UPDATE parcels SET {assignment} WHERE id = %s RETURNING id", (dispatch_id,))

    def _change_all(self, where: str, assignment: str) -> None:
        with transaction("test"):
            fetch_all(f"UPDATE parcels SET {assignment} WHERE id = ANY (%s) AND {where} RETURNING id", (self.ids,))


@pytest.fixture
def stepping(parcels_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[GatewayKind], None]]:
    """Runs the machine for one kind of gateway."""
    monkeypatch.setattr(delivery, "crash_point", crash_point)

    def run(kind: GatewayKind) -> None:
        machine = type(f"{kind}Machine", (Machine,), {"kind": kind, "url": parcels_url})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=30,
                stateful_step_count=40,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.explicit, Phase.generate, Phase.shrink),
            ),
        )

    yield run
    if not database.is_closed():
        database.close()


@pytest.mark.parametrize("kind", GatewayKind)
def test_whatever_happens_in_whatever_order_the_log_agrees_with_the_provider(
    stepping: Callable[[GatewayKind], None], kind: GatewayKind
) -> None:
    stepping(kind)
