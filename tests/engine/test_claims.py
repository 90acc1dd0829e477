"""A claim takes due rows and nobody else's: in order, within its limit, one at a time per key, always by index."""

from __future__ import annotations

import json
import re
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import peewee
import pytest

from dispatchlog.engine import claims, ledger
from dispatchlog.engine.claims import claim_due, seconds_until_due
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.errors import Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import Result
from dispatchlog.engine.outcome import accepted, has_earlier_doubt, judge
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway, Outcome
from tests.lateness import within

from .lane import change, column, enqueue, history, make_due, owner, parcel_lane, read, statuses
from .processes import PATIENCE_SECONDS

FAILED_INDEX = "CREATE INDEX ON parcels (ordering_key, seq) WHERE status = 'FAILED' AND ordering_key IS NOT NULL"


@pytest.fixture
def lane(parcels_url: str) -> Lane:
    return parcel_lane(FakeGateway())


@pytest.fixture
def ordered(parcels_url: str) -> Lane:
    return parcel_lane(FakeGateway(), ordered=True)


def claim(lane: Lane, limit: int = 100, *, token: UUID | None = None, after_key: str = "") -> list[dict[str, Any]]:
    with transaction("test"):
        rows = claim_due(lane, token=token or uuid4(), worker_id=1, limit=limit, after_key=after_key)
    return [dict(row) for row in rows]


def finish(lane: Lane, row: Row, error: Any = None) -> None:
    """Record what became of a claimed row: accepted, or what the gateway raised."""
    verdict = accepted(Receipt("m")) if error is None else judge(error, row, kind=lane.gateway.kind, retry=lane.retry)
    with transaction("test"):
        assert ledger.record(lane, row["claim_token"], [Result(row, verdict, 1.0)], worker_id=1) == {row["id"]}


def ids(rows: list[dict[str, Any]]) -> list[UUID]:
    return column(rows, "id")


def test_a_claim_marks_its_rows_with_token_worker_and_time(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane)
    token = uuid4()
    (row,) = claim(lane, token=token)
    stored = read(lane, dispatch_id)
    assert row == stored
    assert (stored["status"], stored["claim_token"], stored["claimed_by"]) == ("QUEUED", token, 1)
    assert stored["claimed_at"] == stored["first_claimed_at"] is not None
    assert (stored["claims"], stored["sending_at"], stored["attempts"]) == (1, None, 0)


@pytest.mark.parametrize("rounds", [25])
def test_two_connections_never_claim_the_same_row(lane: Lane, rounds: int) -> None:
    racers, rows = 4, 12
    barrier = threading.Barrier(racers, timeout=PATIENCE_SECONDS)

    def race(_: int) -> list[list[UUID]]:
        taken = []
        with connected():
            for _round in range(rounds):
                if barrier.wait() == 0:
                    enqueue(lane, rows)
                barrier.wait()
                taken.append(ids(claim(lane, 5)))
                barrier.wait()
                claim(lane)  # what the limit left over, so that every round begins with nothing due
        return taken

    with ThreadPoolExecutor(racers) as pool:
        results = list(pool.map(race, range(racers)))
    for taken in zip(*results, strict=True):
        together = [dispatch_id for batch in taken for dispatch_id in batch]
        assert len(together) == len(set(together))
        assert all(len(batch) <= 5 for batch in taken)
        assert len(together) == rows
    with connected():
        assert fetch_one(
            "SELECT count(*), count(DISTINCT dispatch_id) FROM dispatch_transitions WHERE to_status = 'QUEUED'"
        )[:2] == (rows * rounds, rows * rounds)


def test_a_claim_does_not_wait_for_rows_that_another_one_is_taking(lane: Lane, connections: Callable[[], Any]) -> None:
    first, second = enqueue(lane, 2)
    other = connections()
    other.cursor().execute("SELECT FROM parcels WHERE id = %s FOR UPDATE", (first,))
    assert ids(claim(lane)) == [second]


@pytest.mark.parametrize("limit", [1, 3, 10])
def test_the_limit_is_never_exceeded(lane: Lane, limit: int) -> None:
    enqueue(lane, 7)
    assert len(claim(lane, limit)) == min(limit, 7)


def test_the_earliest_due_rows_are_claimed_first(lane: Lane) -> None:
    now = datetime.now(UTC)
    later, earliest, middle = (enqueue(lane, due_at=now - timedelta(minutes=m))[0] for m in (1, 3, 2))
    assert [ids(claim(lane, 1)) for _ in range(3)] == [[earliest], [middle], [later]]


def test_a_row_is_not_claimed_before_it_is_due(lane: Lane) -> None:
    enqueue(lane, due_at=datetime.now(UTC) + timedelta(hours=1))
    assert claim(lane) == []
    assert seconds_due(lane) == pytest.approx(3600, abs=5)


def seconds_due(lane: Lane) -> float | None:
    with connected():
        return seconds_until_due(lane)


def test_seconds_until_due_says_none_when_nothing_waits_and_at_most_zero_when_something_is_due(lane: Lane) -> None:
    assert seconds_due(lane) is None
    enqueue(lane)
    assert seconds_due(lane) <= 0  # type: ignore[operator]


def test_urgent_rows_go_before_older_ones(lane: Lane) -> None:
    (old,) = enqueue(lane, due_at=datetime.now(UTC) - timedelta(hours=1))
    (urgent,) = enqueue(lane, priority=1)
    assert ids(claim(lane, 1)) == [urgent]
    assert ids(claim(lane, 1)) == [old]


def test_a_row_past_its_use_is_never_claimed(lane: Lane) -> None:
    enqueue(lane, expires_at=datetime.now(UTC) - timedelta(seconds=1))
    (useful,) = enqueue(lane, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert ids(claim(lane)) == [useful]


def test_a_suspect_is_claimed_alone_and_only_after_the_others(lane: Lane) -> None:
    suspects = enqueue(lane, 2, due_at=datetime.now(UTC) - timedelta(hours=1))
    for suspect in suspects:
        change(lane, suspect, rescues="2")
    innocent = enqueue(lane, 3)
    assert set(ids(claim(lane))) == set(innocent)
    assert len(claim(lane)) == 1
    assert len(claim(lane)) == 1
    assert claim(lane) == []


def test_a_suspect_with_an_ordering_key_is_claimed_alone_too(ordered: Lane) -> None:
    (suspect,) = enqueue(ordered, ordering_key="a")
    change(ordered, suspect, rescues="2")
    innocent = [enqueue(ordered, ordering_key=key)[0] for key in ("b", "c")]
    assert set(ids(claim(ordered))) == set(innocent)
    assert ids(claim(ordered)) == [suspect]


# --- a lane that waits for its sweep


def occurrence(lane: Lane, at: str) -> None:
    with transaction("test"):
        execute(
            f"INSERT INTO schedule_occurrences (job, occurs_at, started_by) VALUES (%s, {at}, 'test')",
            (lane.sweep_job,),
        )


def test_a_first_attempt_waits_for_an_occurrence_of_its_lane_at_or_after_its_due_instant(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(), waits_for_sweep=True)
    (dispatch_id,) = enqueue(lane, due_at=datetime(2026, 1, 1, 12, tzinfo=UTC))
    assert claim(lane) == []
    assert seconds_due(lane) is None
    occurrence(lane, "'2026-01-01 11:59+00'")
    occurrence(parcel_lane(FakeGateway(), name="another"), "now()")
    assert claim(lane) == []
    occurrence(lane, "'2026-01-01 12:00+00'")
    assert ids(claim(lane)) == [dispatch_id]


def test_a_later_attempt_does_not_wait_for_the_sweep(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(), waits_for_sweep=True)
    (dispatch_id,) = enqueue(lane)
    occurrence(lane, "clock_timestamp()")
    (row,) = claim(lane)
    finish(lane, row, Transient("down"))
    assert claim(lane) == []
    change(lane, dispatch_id, due_at="clock_timestamp() - interval '1 ms'")
    time.sleep(0.002)
    assert ids(claim(lane)) == [dispatch_id]


# --- ordering keys


def test_rows_of_one_key_are_claimed_one_at_a_time_and_oldest_first(ordered: Lane) -> None:
    now = datetime.now(UTC)
    queue = [enqueue(ordered, ordering_key="k", due_at=now - timedelta(minutes=m))[0] for m in (1, 2, 3)]
    for expected in queue:
        (row,) = claim(ordered)
        assert row["id"] == expected
        assert claim(ordered) == []
        finish(ordered, row)
    assert statuses(ordered) == ["SENT"] * 3


def test_one_batch_takes_the_heads_of_many_keys(ordered: Lane) -> None:
    heads = {enqueue(ordered, ordering_key=f"k{n}")[0] for n in range(10)}
    for n in range(10):
        enqueue(ordered, ordering_key=f"k{n}")
    assert set(ids(claim(ordered))) == heads


def test_a_head_in_back_off_holds_its_key_and_no_other(ordered: Lane) -> None:
    (head,) = enqueue(ordered, ordering_key="k")
    enqueue(ordered, ordering_key="k")
    (row,) = claim(ordered)
    finish(ordered, row, Transient("down"))
    (other,) = enqueue(ordered, ordering_key="l")
    assert ids(claim(ordered)) == [other]
    make_due(ordered, head)
    assert ids(claim(ordered)) == [head]


def test_a_head_that_is_not_due_yet_holds_its_key(ordered: Lane) -> None:
    enqueue(ordered, ordering_key="k", due_at=datetime.now(UTC) + timedelta(hours=1))
    enqueue(ordered, ordering_key="k")
    assert claim(ordered) == []


def test_a_failed_head_lets_the_next_one_pass_unless_the_lane_says_otherwise(ordered: Lane) -> None:
    enqueue(ordered, ordering_key="k")
    (second,) = enqueue(ordered, ordering_key="k")
    (row,) = claim(ordered)
    finish(ordered, row, Permanent("no"))
    assert ids(claim(ordered)) == [second]


def test_in_a_lane_where_failed_blocks_a_failed_head_holds_its_key_until_it_is_settled(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(), ordered=True, failed_blocks=True)
    (head,) = enqueue(lane, ordering_key="k")
    (second,) = enqueue(lane, ordering_key="k")
    (row,) = claim(lane)
    finish(lane, row, Permanent("no"))
    (other,) = enqueue(lane, ordering_key="l")
    assert ids(claim(lane)) == [other]
    change(lane, head, status="'CANCELLED'")
    assert ids(claim(lane)) == [second]


def test_a_failed_row_does_not_hold_the_ones_before_it(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(), ordered=True, failed_blocks=True)
    (first,) = enqueue(lane, ordering_key="k")
    (second,) = enqueue(lane, ordering_key="k")
    change(lane, second, status="'FAILED'")
    assert ids(claim(lane)) == [first]


def test_a_cancelled_head_unblocks_its_key(ordered: Lane) -> None:
    (head,) = enqueue(ordered, ordering_key="k", due_at=datetime.now(UTC) + timedelta(hours=1))
    (second,) = enqueue(ordered, ordering_key="k")
    with transaction("test"):
        assert ledger.cancel_waiting(ordered, id=head) == 1
    assert ids(claim(ordered)) == [second]


def test_rows_without_a_key_are_not_held_in_an_ordered_lane(ordered: Lane) -> None:
    free = enqueue(ordered, 3)
    (head,) = enqueue(ordered, ordering_key="k")
    enqueue(ordered, ordering_key="k")
    assert set(ids(claim(ordered))) == {*free, head}


def test_an_older_row_that_comes_back_waits_for_the_one_on_its_way_and_stalls_no_other_key(ordered: Lane) -> None:
    (head,) = enqueue(ordered, ordering_key="k")
    (second,) = enqueue(ordered, ordering_key="k")
    (row,) = claim(ordered)
    finish(ordered, row, Permanent("no"))
    (on_its_way,) = claim(ordered)
    assert on_its_way["id"] == second
    change(ordered, head, status="'PENDING'", due_at="now()")  # as an operator's retry does
    (other,) = enqueue(ordered, ordering_key="z")
    assert ids(claim(ordered)) == [other]
    finish(ordered, on_its_way)
    assert ids(claim(ordered)) == [head]


def test_the_database_lets_no_key_be_held_twice(ordered: Lane) -> None:
    enqueue(ordered, ordering_key="k")
    (second,) = enqueue(ordered, ordering_key="k")
    claim(ordered)
    with pytest.raises(peewee.IntegrityError):
        change(
            ordered,
            second,
            status="'QUEUED'",
            claim_token="gen_random_uuid()",
            claimed_by="2",
            claimed_at="now()",
        )


def test_a_claim_that_meets_another_one_at_a_key_is_rolled_back_whole(
    ordered: Lane, connections: Callable[[], Any]
) -> None:
    """The guard of the order, met on purpose: the other claim took an older row of the key behind this one's back."""
    (first,) = enqueue(ordered, ordering_key="k")
    (second,) = enqueue(ordered, ordering_key="k")
    other = connections()
    taking = other.cursor()
    taking.execute(
        "UPDATE parcels SET status = 'QUEUED', claim_token = gen_random_uuid(), claimed_by = 2, claimed_at = now()"
        " WHERE id = %s",
        (second,),
    )
    with ThreadPoolExecutor(1) as pool:
        claiming = pool.submit(claim, ordered)
        try:
            wait_until_blocked(connections)
        finally:
            other.commit()
        with pytest.raises(peewee.IntegrityError):
            claiming.result(timeout=PATIENCE_SECONDS)
    assert read(ordered, first)["status"] == "PENDING"


def wait_until_blocked(connections: Callable[[], Any]) -> None:
    watcher = connections()
    watcher.autocommit = True
    with watcher.cursor() as cursor:
        for _ in range(6000):
            # A wait for another transaction's end has no database of its own.
            cursor.execute(
                "SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
                " WHERE NOT l.granted AND a.datname = current_database()"
            )
            if cursor.rowcount:
                return
            time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def test_keys_are_served_in_turn_when_a_claim_begins_after_the_last_one(ordered: Lane) -> None:
    for key in "abcd":
        enqueue(ordered, ordering_key=key)
    assert column(claim(ordered, 2, after_key="b"), "ordering_key") in (["c", "d"], ["d", "c"])
    assert set(column(claim(ordered, 2, after_key="d"), "ordering_key")) == {"a", "b"}


def test_no_key_starves_behind_keys_that_always_have_something_due(runtime: Runtime, parcels_url: str) -> None:
    gateway = FakeGateway()
    lane = parcel_lane(gateway, ordered=True, batch=2)
    for _ in range(4):
        for key in "abcd":
            enqueue(lane, ordering_key=key)
    drain(lane, runtime)
    keys = [read(lane, acceptance.dispatch_id)["ordering_key"] for acceptance in gateway.accepted]
    assert [sorted(keys[n : n + 4]) for n in range(0, 16, 4)] == [list("abcd")] * 4


def test_enqueuers_of_one_key_take_turns_and_others_do_not_wait(ordered: Lane, connections: Callable[[], Any]) -> None:
    with ThreadPoolExecutor(2) as pool:
        with transaction("first"):
            (first,) = ledger.enqueue(ordered, [{"ordering_key": "k"}])
            second = pool.submit(enqueue, ordered, ordering_key="k")
            pool.submit(enqueue, ordered, ordering_key="another").result(timeout=PATIENCE_SECONDS)
            wait_until_blocked(connections)
            assert not second.done()
        (after,) = second.result(timeout=PATIENCE_SECONDS)
    assert read(ordered, first)["seq"] < read(ordered, after)["seq"]


@pytest.mark.parametrize("kind", [GatewayKind.IDEMPOTENT, GatewayKind.BLIND])
def test_under_a_race_every_key_leaves_in_the_order_of_its_insertion(
    parcels_url: str, runtime: Runtime, kind: GatewayKind
) -> None:
    gateway = FakeGateway(kind)
    lane = parcel_lane(
        gateway, ordered=True, batch=4, slots=6, retry=RetryPolicy(max_attempts=99, first_delay_seconds=0, jitter=0)
    )
    gateway.script(*[Outcome.REFUSE_CONNECTION, *[Outcome.ACCEPT] * 14] * 8)
    inserted: dict[str, list[UUID]] = defaultdict(list)
    for number in range(96):
        key = f"k{number % 12}"
        inserted[key] += enqueue(lane, ordering_key=key)
    ends = time.monotonic() + PATIENCE_SECONDS
    with ThreadPoolExecutor(6) as pool:
        while set(statuses(lane)) != {"SENT"} and time.monotonic() < ends:
            for drained in [pool.submit(drain, lane, runtime) for _ in range(6)]:
                drained.result()
    left: dict[str, list[UUID]] = defaultdict(list)
    for acceptance in gateway.accepted:
        left[read(lane, acceptance.dispatch_id)["ordering_key"]].append(acceptance.dispatch_id)
    assert left == inserted
    for key_ids in inserted.values():
        steps = sorted((step for i in key_ids for step in history(i)), key=lambda step: step["id"])
        open_claims = 0
        for step in steps:
            open_claims += (step["to_status"] == "QUEUED") - (step["from_status"] == "QUEUED")
            assert open_claims <= 1


# --- plans


def _plain(lane: Lane, **kind: Any) -> str:
    return claims._plain_sql(lane.table, ordered=lane.ordered, routed=False, **kind)


def plan_of(sql: str, params: dict[str, Any]) -> str:
    with transaction("test"):
        return "\n".join(row[0] for row in fetch_all(f"EXPLAIN {sql}", params))


PARAMS = {"token": uuid4(), "worker_id": 1, "sweep_job": "sweep:parcel", "limit": 100, "after": ""}


@pytest.mark.parametrize(
    ("options", "build"),
    [
        ({}, lambda lane: _plain(lane, urgent=False, suspects=False)),
        ({}, lambda lane: _plain(lane, urgent=True, suspects=False)),
        ({}, lambda lane: _plain(lane, urgent=False, suspects=True)),
        *(
            ({"waits_for_sweep": True}, partial(_plain, urgent=False, suspects=False, released=released))
            for released in (claims._SWEPT, claims._TRIED_BEFORE)
        ),
        ({"ordered": True}, lambda lane: claims._ordered_sql(lane, suspects=False)),
        ({"ordered": True}, lambda lane: claims._ordered_sql(lane, suspects=True)),
        ({"ordered": True, "failed_blocks": True}, lambda lane: claims._ordered_sql(lane, suspects=False)),
    ],
    ids=["plain", "urgent", "suspects", "swept", "tried before", "ordered", "ordered suspects", "failed blocks"],
)
def test_right_after_a_burst_claims_are_planned_by_index_without_statistics(
    parcels_url: str, options: dict[str, Any], build: Callable[[Lane], str]
) -> None:
    lane = parcel_lane(FakeGateway(), **options)
    with owner(parcels_url) as cursor:
        cursor.execute("ALTER TABLE parcels SET (autovacuum_enabled = off)")
        if lane.failed_blocks:
            cursor.execute(FAILED_INDEX)
        cursor.execute(
            "INSERT INTO parcels (id, due_at, ordering_key, body_text)"
            " SELECT gen_random_uuid(), now() - i * interval '1 ms', CASE WHEN %s THEN 'k' || i %% 500 END, 'a'"
            " FROM generate_series(1, 20000) i",
            (lane.ordered,),
        )
    if lane.waits_for_sweep:
        occurrence(lane, "now()")
    plan = plan_of(build(lane), PARAMS)
    assert "Seq Scan" not in plan, plan
    assert "Sort" not in plan, plan
    with within(2):  # a plan that reads every due row for each key took a minute
        assert len(claim(lane)) == 100


def test_what_was_tried_before_is_not_picked_out_of_all_that_wait_for_their_sweep(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(), waits_for_sweep=True)
    with owner(parcels_url) as cursor:
        cursor.execute("ALTER TABLE parcels SET (autovacuum_enabled = off)")
        cursor.execute(
            "INSERT INTO parcels (id, due_at, body_text)"
            " SELECT gen_random_uuid(), now() - i * interval '1 ms', 'a' FROM generate_series(1, 20000) i"
        )
    (tried,) = enqueue(lane)
    change(lane, tried, generation=2)
    with connected():
        ((index,),) = fetch_all(
            "SELECT indexname FROM pg_indexes WHERE tablename = 'parcels' AND indexdef LIKE '%%generation > 1%%'"
        )
    for kind in ({"urgent": False}, {"urgent": True}, {"urgent": False, "suspects": True}):
        plan = plan_of(_plain(lane, **{"suspects": False, **kind}, released=claims._TRIED_BEFORE), PARAMS)
        assert index in plan or "priority > 0" in plan, plan
    swept = plan_of(_plain(lane, urgent=False, suspects=False, released=claims._SWEPT), PARAMS)
    assert re.search(r"Index Cond: .*due_at <= now\(\).*due_at <= \(InitPlan", swept), swept
    assert seconds_due(lane) is not None
    assert ids(claim(lane)) == [tried]


def test_the_workers_other_statements_are_planned_by_index_too(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway())
    with owner(parcels_url) as cursor:
        cursor.execute("ALTER TABLE parcels SET (autovacuum_enabled = off)")
        cursor.execute(
            "INSERT INTO parcels (id, due_at) SELECT gen_random_uuid(), now() FROM generate_series(1, 20000) i"
        )
    for sql in (
        "SELECT DISTINCT claimed_by FROM parcels WHERE status = 'QUEUED'",
        "SELECT id FROM parcels WHERE status = 'QUEUED' AND claimed_by = 1",
        "SELECT id FROM parcels WHERE in_doubt AND lookup_at <= now() ORDER BY lookup_at LIMIT 10",
        (
            "SELECT id FROM parcels WHERE status = 'PENDING' AND expires_at IS NOT NULL AND expires_at <= now()"
            " ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED"
        ),
    ):
        assert "Seq Scan" not in plan_of(sql, {}), sql
    token = uuid4()
    rows = claim(lane, 100, token=token)
    arrays = ledger._arrays([Result(row, accepted(Receipt("m"))) for row in rows])
    params = {**json_free(arrays), "lane": "parcel", "token": token, "worker_id": 1, "gateway": "fake"}
    plan = plan_of(ledger._record_sql("parcels"), params)
    assert "Seq Scan" not in plan, plan
    assert "parcels_pkey" in plan, plan


def json_free(arrays: dict[str, Any]) -> dict[str, Any]:
    json.dumps(arrays["evidence"])
    return arrays


def test_a_claim_whose_transaction_began_earlier_still_sees_the_try_before_it(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(GatewayKind.IDEMPOTENT))
    (dispatch_id,) = enqueue(lane)
    begun, go_on = threading.Event(), threading.Event()
    claimed: list[Row] = []

    def late() -> None:
        with transaction("worker:2"):  # now() is settled here, and then the process is paused
            begun.set()
            go_on.wait(PATIENCE_SECONDS)
            claimed.extend(claim_due(lane, token=uuid4(), worker_id=2, limit=1))

    thread = threading.Thread(target=late)
    thread.start()
    assert begun.wait(PATIENCE_SECONDS)
    with transaction("worker:1"):
        assert claim_due(lane, token=uuid4(), worker_id=1, limit=1)
    with connected():
        assert rescue(lane, worker_id=3, live_tokens=()) == 1  # worker 1 is dead: it may have sent the row
    go_on.set()
    thread.join()

    assert [row["id"] for row in claimed] == [dispatch_id]
    assert has_earlier_doubt(claimed[0])
    assert read(lane, dispatch_id)["first_claimed_at"] < claimed[0]["claimed_at"]
