"""Many rows for two endpoints, three workers of the real send path on a real PostgreSQL, in any order Hypothesis finds.

Whatever happens to whom: each row has one effect at the most, the rows of a key take effect in the order of their
insertion, a route has one run on its way at a time, and when the faults end everything settles.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, rule, run_state_machine_as_test

from dispatchlog.engine import claims, delivery, ledger, operator
from dispatchlog.engine.database import connected, database, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.lanes import Route
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.gateways.fake import FakeGateway, Outcome

from .lane import owner
from .machine import DEADLINE_SECONDS, NUMBERS, OUTCOMES, PICKS, POINTS, WHO, SteppingMachine
from .post import INSTALL, Post
from .stepping import LateGateway, Worker, crash_point

ROUTES = st.sampled_from(["north", "south"])


class WatchfulGateway(LateGateway):
    """Also sees who sends on, of the same key or in line, after something of the same run did not leave."""

    def __init__(self, kind: GatewayKind, *, name: str) -> None:
        super().__init__(kind, name=name, deadline_seconds=DEADLINE_SECONDS)
        self.out_of_line: list[UUID] = []

    def send(self, parcel: Any, **how: Any) -> Receipt:
        worker: Any = threading.current_thread().worker  # type: ignore[attr-defined]
        key = parcel.body.split()[0]
        if worker.stuck & {(self.name, key), (self.name, "")}:
            self.out_of_line.append(parcel.dispatch_id)
        try:
            return super().send(parcel, **how)
        except Exception:
            in_line = worker.routes[self.name.removeprefix("post:")].in_line
            worker.stuck.add((self.name, "" if in_line else key))
            raise


class Machine(SteppingMachine):
    """One run: rows put in, workers stepping, and everything that can happen to either."""

    def __init__(self) -> None:
        super().__init__()
        self.post = Post()
        self.post.gateways = {name: WatchfulGateway(self.kind, name=f"post:{name}") for name in ("north", "south")}
        retry = RetryPolicy(max_attempts=2, first_delay_seconds=0, jitter=0)
        self.post.in_force = {
            name: Route(name, gateway, retry=retry, batch=3) for name, gateway in self.post.gateways.items()
        }
        self.post.lane = self.lane = replace(self.post.lane, routes=self._routes)
        self.workers = [Worker(self.url, self.lane) for _ in range(3)]

    def _routes(self) -> Mapping[str, Route]:
        """As a worker reads them, once for each look; what was in force then is what its claims are judged by."""
        routes = dict(self.post.in_force)
        worker: Any = getattr(threading.current_thread(), "worker", None)
        if worker is not None:
            worker.routes, worker.stuck = routes, set()
        return routes

    # --- what comes in

    @initialize()
    def begin_with_some(self) -> None:
        for route in ("north", "south"):
            self.enqueue(route, ["a", "b", "a"], young=True)

    @rule(route=ROUTES, keys=st.lists(st.sampled_from("ab"), min_size=1, max_size=3), young=st.booleans())
    def enqueue(self, route: str, keys: list[str], young: bool) -> None:
        ids = self.post.put(route, *keys)
        self.ids += ids
        if not young:
            self._change_all(ids[-1:], "stale_at = now() + interval '10 ms'")

    @rule(route=ROUTES, outcomes=st.lists(st.sampled_from(OUTCOMES), min_size=1, max_size=2))
    def the_next_sends_go_wrong(self, route: str, outcomes: list[Outcome]) -> None:
        self.post.gateways[route].script(*outcomes)

    @rule(route=ROUTES, outcome=st.sampled_from(OUTCOMES), number=NUMBERS)
    def one_of_a_run_goes_wrong(self, route: str, outcome: Outcome, number: int) -> None:
        self.time_passes()
        self.enqueue(route, ["c", "c", "b"], young=True)
        self.post.gateways[route].script(outcome)
        self.run(number, "")

    @rule(route=ROUTES, in_line=st.booleans())
    def set_in_line(self, route: str, in_line: bool) -> None:
        self.post.set(route, in_line=in_line)

    @rule(pick=PICKS)
    def one_waits(self, pick: int) -> None:
        """Its next attempt is a while away."""
        for row in self._picked(pick, "status = 'PENDING'"):
            self._change_all([row["id"]], "due_at = now() + interval '1 hour'")

    @rule()
    def time_passes(self) -> None:
        self._change_all(self.ids, "due_at = now() - interval '1 s'", where="status = 'PENDING'")

    # --- the workers

    @rule(number=NUMBERS, point=st.sampled_from(POINTS))
    def run(self, number: int, point: str) -> None:
        """Let a worker go on until it is at that point, or its look has ended."""
        worker = self.workers[number]
        self._step(worker)
        while worker.busy and worker.at != point:
            self._step(worker)

    def _step(self, worker: Worker) -> None:
        worker.step()
        if worker.at == "claimed":
            self._nobody_was_overtaken(worker)

    def _end_what_is_late(self) -> None:
        with transaction("worker:0"):
            ledger.fail_stale(self.lane)

    def _gateway_of(self, row: Mapping[str, Any]) -> FakeGateway:
        return self.post.gateways[row["route"]]

    # --- what must hold

    @invariant()
    def the_log_and_the_endpoints_agree(self) -> None:
        accepted = defaultdict(list)
        for gateway in self.post.gateways.values():
            for entry in gateway.accepted:
                accepted[entry.dispatch_id].append(entry)
        for row in self._rows("true"):
            entries = accepted[row["id"]]
            told = f"{row['seq']} is {row['status']}, in doubt {row['in_doubt']}, accepted {len(entries)} times"
            assert len(entries) <= 1, told
            assert all(entry.body == row["body_text"].encode() for entry in entries), told
            if row["status"] == "SENT":
                assert entries, told
            if row["status"] == "CANCELLED" or (row["status"] == "FAILED" and not row["in_doubt"]):
                assert not entries, told
            known = self.final.get(row["id"])
            assert known in (None, row["status"]), f"{told}; it was {known}"
            if row["status"] in ("SENT", "CANCELLED"):
                self.final[row["id"]] = row["status"]

    @invariant()
    def each_keys_rows_took_effect_in_order(self) -> None:
        rows = {row["id"]: row for row in self._rows("true")}
        for gateway in self.post.gateways.values():
            last: dict[str, int] = defaultdict(int)
            for entry in gateway.accepted:
                row = rows[entry.dispatch_id]
                assert row["seq"] > last[row["ordering_key"]], f"{row['seq']} of {row['ordering_key']} came late"
                last[row["ordering_key"]] = row["seq"]
            assert isinstance(gateway, WatchfulGateway)
            assert not gateway.out_of_line

    @invariant()
    def each_route_has_one_run_on_its_way(self) -> None:
        with connected():
            runs = fetch_all(
                "SELECT route, count(DISTINCT claim_token) FROM letters WHERE status = 'QUEUED' GROUP BY 1"
            )
        assert all(count == 1 for _, count in runs), runs

    def _nobody_was_overtaken(self, worker: Any) -> None:
        with connected():
            overtaken = fetch_dicts(
                "SELECT t.route, o.ordering_key = t.ordering_key AS same_key, t.seq, o.seq AS older, o.status"
                " FROM letters t JOIN letters o ON o.route = t.route AND o.seq < t.seq"
                " AND (o.status IN ('PENDING', 'FAILED') OR (o.status = 'QUEUED' AND o.claim_token <> t.claim_token))"
                " WHERE t.status = 'QUEUED' AND t.claimed_by = %s AND o.id = ANY (%s)",
                (worker.presence.worker_id, self.ids),
            )
        bad = [pair for pair in overtaken if pair["same_key"] or worker.routes[pair["route"]].in_line]
        assert not bad, bad

    # --- the end of the faults

    def teardown(self) -> None:
        try:
            for worker in self.workers:
                worker.die()
            self.workers = [Worker(self.url, self.lane)]
            self._heal_and_settle(self.workers[0])
        finally:
            for worker in self.workers:
                worker.die()

    def _heal_and_settle(self, worker: Worker) -> None:
        for gateway in self.post.gateways.values():
            gateway._script.clear()
        for _ in range(40):
            time.sleep(DEADLINE_SECONDS * 1.5)
            with connected():
                rescue(self.lane, worker_id=worker.presence.worker_id, live_tokens=frozenset())
            for row in self._rows("status = 'FAILED'"):
                if row["in_doubt"]:
                    self._settle(row)
                else:
                    operator.retry(self.lane, [row["id"]], actor=WHO)
            self.time_passes()
            self._step(worker)
            while worker.busy:
                self._step(worker)
            if not self._rows("status NOT IN ('SENT', 'CANCELLED')"):
                break
        self.the_log_and_the_endpoints_agree()
        self.each_keys_rows_took_effect_in_order()
        unsettled = [(row["seq"], row["status"]) for row in self._rows("status NOT IN ('SENT', 'CANCELLED')")]
        assert not unsettled

    # --- looking and ageing

    def _rows(self, where: str) -> list[dict[str, Any]]:
        with connected():
            return fetch_dicts(f"SELECT * FROM letters WHERE id = ANY (%s) AND ({where}) ORDER BY seq", (self.ids,))

    def _picked(self, pick: int, where: str) -> list[dict[str, Any]]:
        rows = self._rows(where)
        return [rows[pick % len(rows)]] if rows else []

    def _change_all(self, ids: list[UUID], assignment: str, *, where: str = "true") -> None:
        with transaction("test"):
            fetch_all(f"UPDATE letters SET {assignment} WHERE id = ANY (%s) AND {where} RETURNING id", (ids,))


@pytest.fixture
def stepping(parcels_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[GatewayKind], None]]:
    """Runs the machine for one kind of endpoint."""
    with owner(parcels_url) as cursor:
        cursor.execute(INSTALL)
    monkeypatch.setattr(delivery, "crash_point", crash_point)
    # So that these few rows are found in both ways: the nearest one by one, what is behind them key by key.
    monkeypatch.setattr(claims, "_near", lambda limit: 2)

    def run(kind: GatewayKind) -> None:
        machine = type(f"{kind}Machine", (Machine,), {"kind": kind, "url": parcels_url})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=6,
                stateful_step_count=35,
                deadline=None,
                derandomize=True,
                database=None,
                suppress_health_check=list(HealthCheck),
                phases=(Phase.explicit, Phase.generate),
            ),
        )

    yield run
    if not database.is_closed():
        database.close()


@pytest.mark.parametrize("kind", [GatewayKind.IDEMPOTENT, GatewayKind.BLIND])
def test_whatever_happens_each_endpoint_gets_each_keys_rows_once_and_in_order(
    stepping: Callable[[GatewayKind], None], kind: GatewayKind
) -> None:
    stepping(kind)
