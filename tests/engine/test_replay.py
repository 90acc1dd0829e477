"""A replay tries failed dispatches again step by step, each of them once, and halts at the first that fails."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import operator, replay
from dispatchlog.engine.claims import claim_due
from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import Result, record
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.engine.outcome import accepted, judge
from dispatchlog.engine.replay import STAGES, ReplayRefused
from dispatchlog.engine.wakeup import Waker, flag, redis_client
from dispatchlog.gateways.fake import FakeGateway

from .lane import change, enqueue, owner, parcel_lane, read

ROOT = Path(__file__).parents[2]
SINCE = datetime.now(UTC) - timedelta(days=1)
Answer = Receipt | DispatchlogError


@pytest.fixture
def lane(parcels_url: str) -> Lane:
    return parcel_lane(FakeGateway(GatewayKind.BLIND, name="post"))


def settle(lane: Lane, answer: Answer, *, limit: int = 1000) -> list[Row]:
    """Claim what is due and record the same answer for all of it."""
    token = uuid4()
    with transaction("worker:1"):
        rows = claim_due(lane, token=token, worker_id=1, limit=limit)
    if isinstance(answer, Receipt):
        verdicts = [accepted(answer) for _ in rows]
    else:
        verdicts = [judge(answer, row, kind=lane.gateway.kind, retry=lane.retry) for row in rows]
    with transaction("worker:1"):
        record(lane, token, [Result(row, v, 1.0) for row, v in zip(rows, verdicts, strict=True)], worker_id=1)
    return rows


def failed(lane: Lane, count: int, code: str = "POST_CLOSED") -> list[UUID]:
    ids = enqueue(lane, count)
    settle(lane, Permanent("the post office is closed", code=code))
    return ids


def start(lane: Lane, cause: str = "POST_CLOSED") -> int:
    return replay.start([lane], gateway="post", cause=cause, since=SINCE, actor="ann", reason="it opened again")


def the_replay(replay_id: int) -> dict[str, Any]:
    with connected():
        return fetch_dicts("SELECT * FROM dispatch_replays WHERE id = %s", (replay_id,))[0]


def rows_of(replay_id: int) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM dispatch_replay_rows WHERE replay_id = %s ORDER BY position", (replay_id,))


def states(replay_id: int) -> dict[str, int]:
    counted: dict[str, int] = {}
    for row in rows_of(replay_id):
        counted[row["state"]] = counted.get(row["state"], 0) + 1
    return counted


def in_state(lane: Lane, ids: Sequence[UUID], status: str) -> int:
    return sum(read(lane, dispatch_id)["status"] == status for dispatch_id in ids)


def test_one_is_released_then_five_then_the_rest_each_after_the_last_were_sent(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "STAGES", (1, 5, 8))
    ids = failed(lane, 20)
    replay_id = start(lane)
    assert in_state(lane, ids, "FAILED") == 20
    released = []
    while the_replay(replay_id)["state"] == "RUNNING":
        replay.advance(replay_id, [lane])
        waiting = in_state(lane, ids, "PENDING")
        assert replay.advance(replay_id, [lane]) is False  # nothing more while these are on their way
        assert in_state(lane, ids, "PENDING") == waiting
        released.append(waiting)
        settle(lane, Receipt("m"))
        if sum(released) == 20:
            replay.advance(replay_id, [lane])
    assert released == [1, 5, 8, 6]
    assert the_replay(replay_id)["state"] == "DONE"
    assert states(replay_id) == {"SENT": 20}


def test_the_oldest_failure_goes_first(lane: Lane) -> None:
    ids = failed(lane, 3)
    change(lane, ids[2], updated_at="now() - interval '1 hour'")
    replay_id = start(lane)
    replay.advance(replay_id, [lane])
    assert [read(lane, dispatch_id)["status"] for dispatch_id in ids] == ["FAILED", "FAILED", "PENDING"]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Permanent("closed again", code="POST_CLOSED"), "FAILED"),
        (Transient("busy", code="POST_BUSY"), "PENDING"),
        (OutcomeUnknown("the line broke", code="POST_LOST"), "FAILED"),
    ],
)
def test_it_halts_at_the_first_try_that_fails(lane: Lane, answer: DispatchlogError, status: str) -> None:
    ids = failed(lane, 8)
    replay_id = start(lane)
    replay.advance(replay_id, [lane])
    settle(lane, answer)
    replay.advance(replay_id, [lane])
    assert the_replay(replay_id)["state"] == "HALTED"
    assert the_replay(replay_id)["halted_by"] == rows_of(replay_id)[0]["dispatch_id"]
    assert rows_of(replay_id)[0]["code"] == answer.code
    assert read(lane, rows_of(replay_id)[0]["dispatch_id"])["status"] == status
    assert replay.advance(replay_id, [lane]) is False
    assert states(replay_id) == {"FAILED": 1, "WAITING": 7}
    assert in_state(lane, ids, "FAILED") == (8 if status == "FAILED" else 7)


def test_after_a_failure_it_goes_on_with_a_single_one_again(lane: Lane) -> None:
    failed(lane, 12)
    replay_id = start(lane)
    replay.advance(replay_id, [lane])
    settle(lane, Receipt("m"))
    replay.advance(replay_id, [lane])  # five
    settle(lane, Permanent("closed again", code="POST_CLOSED"))
    replay.advance(replay_id, [lane])
    assert the_replay(replay_id)["state"] == "HALTED"
    replay.resume(replay_id, [lane], actor="ben", reason="they found the key")
    replay.advance(replay_id, [lane])
    assert states(replay_id) == {"SENT": 1, "FAILED": 5, "RELEASED": 1, "WAITING": 5}
    settle(lane, Receipt("m"))
    replay.advance(replay_id, [lane])
    assert states(replay_id)["RELEASED"] == 5


def test_what_failed_while_it_was_halted_does_not_halt_it_again(lane: Lane) -> None:
    failed(lane, 8)
    replay_id = start(lane)
    replay.advance(replay_id, [lane])
    settle(lane, Receipt("m"))
    replay.advance(replay_id, [lane])
    settle(lane, Permanent("closed again", code="POST_CLOSED"), limit=1)
    replay.advance(replay_id, [lane])
    settle(lane, Permanent("closed again", code="POST_CLOSED"))  # the other four
    replay.resume(replay_id, [lane], actor="ann", reason="it opened")
    replay.advance(replay_id, [lane])
    assert the_replay(replay_id)["state"] == "RUNNING"
    assert states(replay_id) == {"SENT": 1, "FAILED": 5, "RELEASED": 1, "WAITING": 1}


def test_a_person_stops_it_and_goes_on_where_it_stopped(lane: Lane) -> None:
    failed(lane, 8)
    replay_id = start(lane)
    replay.advance(replay_id, [lane])
    replay.stop(replay_id, actor="ann")
    settle(lane, Receipt("m"))
    replay.advance(replay_id, [lane])
    assert states(replay_id) == {"SENT": 1, "WAITING": 7}
    with pytest.raises(ReplayRefused, match="stopped now"):
        replay.stop(replay_id, actor="ann")
    replay.resume(replay_id, [lane], actor="ben", reason="lunch is over")
    replay.advance(replay_id, [lane])
    assert states(replay_id) == {"SENT": 1, "RELEASED": 5, "WAITING": 2}


def test_what_moved_meanwhile_is_left_out_and_said(lane: Lane) -> None:
    ids = failed(lane, 5)
    replay_id = start(lane)
    operator.cancel(lane, [ids[0]], actor="ann", reason="not wanted")
    operator.retry(lane, [ids[1]], actor="ann")
    settle(lane, Permanent("another cause", code="NO_STAMP"))
    operator.retry(lane, [ids[2]], actor="ann")
    change(lane, ids[2], due_at="now() + interval '1 hour'")
    due = read(lane, ids[2])["due_at"]
    replay.advance(replay_id, [lane])
    left_out = {row["dispatch_id"]: row["note"] for row in rows_of(replay_id) if row["state"] == "SKIPPED"}
    assert left_out == {
        ids[0]: "it was cancelled meanwhile",
        ids[1]: "it was changed, or failed again, meanwhile",
        ids[2]: "it was retried meanwhile",
    }
    assert read(lane, ids[2])["due_at"] == due
    assert states(replay_id) == {"SKIPPED": 3, "RELEASED": 1, "WAITING": 1}


def test_a_step_whose_row_was_cancelled_proves_nothing(lane: Lane) -> None:
    failed(lane, 8)
    replay_id = start(lane)
    replay.advance(replay_id, [lane])
    first = rows_of(replay_id)[0]["dispatch_id"]
    operator.cancel(lane, [first], actor="ann", reason="not wanted")
    replay.advance(replay_id, [lane])
    assert states(replay_id) == {"SKIPPED": 1, "RELEASED": 1, "WAITING": 6}


def test_a_dispatch_of_no_use_any_more_is_left_out(lane: Lane) -> None:
    ids = failed(lane, 2)
    change(lane, ids[0], expires_at="now() - interval '1 minute'")
    replay_id = start(lane)
    replay.advance(replay_id, [lane])
    assert rows_of(replay_id)[0]["code"] == "EXPIRED"
    assert states(replay_id) == {"SKIPPED": 1, "RELEASED": 1}


def test_each_is_retried_once_however_many_advance_it_at_once(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "STAGES", (1, 2, 3))
    ids = failed(lane, 12)
    replay_id = start(lane)
    with ThreadPoolExecutor(4) as several:
        while the_replay(replay_id)["state"] == "RUNNING":
            list(several.map(lambda _: replay.advance(replay_id, [lane]), range(8)))
            settle(lane, Receipt("m"))
    with connected():
        retried = fetch_dicts(
            "SELECT dispatch_id, count(*) AS n FROM operator_actions WHERE action = 'retry' GROUP BY 1"
        )
    assert {row["dispatch_id"]: row["n"] for row in retried} == dict.fromkeys(ids, 1)


def test_a_process_killed_in_mid_step_leaves_neither_retry_nor_mark(
    lane: Lane, parcels_url: str, connections: Callable[[], Any]
) -> None:
    ids = failed(lane, 2)
    replay_id = start(lane)
    in_its_way = connections()
    with in_its_way.cursor() as cursor:
        cursor.execute("SELECT FROM dispatch_replay_rows FOR UPDATE")
    child = subprocess.Popen([sys.executable, "-c", REPLAYER, parcels_url, str(replay_id)], cwd=ROOT)
    try:
        # It has retried the row and is about to mark it.
        wait_until(lambda: sessions(parcels_url, "wait_event_type = 'Lock'") == 1)
    finally:
        child.kill()
        child.wait()
    in_its_way.rollback()
    wait_until(lambda: sessions(parcels_url, "true") == 0)
    assert in_state(lane, ids, "FAILED") == 2
    assert states(replay_id) == {"WAITING": 2}
    replay.advance_all([lane])
    assert states(replay_id) == {"RELEASED": 1, "WAITING": 1}


REPLAYER = """
import sys
from dispatchlog.engine.database import configure
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.replay import advance
from dispatchlog.gateways.fake import FakeGateway
from tests.engine.lane import APPLICATION_ROLE, parcel_lane
configure(sys.argv[1], role=APPLICATION_ROLE, name="replayer")
advance(int(sys.argv[2]), [parcel_lane(FakeGateway(GatewayKind.BLIND, name="post"))])
"""


def sessions(url: str, condition: str) -> int:
    with owner(url) as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'replayer'"
            f" AND datname = current_database() AND {condition}"
        )
        return int(cursor.fetchone()[0])


def wait_until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_only_this_cause_and_no_doubt_is_on_the_list(lane: Lane) -> None:
    failed(lane, 2, code="NO_STAMP")
    wanted = failed(lane, 3)
    old = failed(lane, 1)
    change(lane, old[0], updated_at="now() - interval '3 days'")
    enqueue(lane)
    settle(lane, OutcomeUnknown("the line broke", code="POST_CLOSED"))
    replay_id = start(lane)
    assert {row["dispatch_id"] for row in rows_of(replay_id)} == set(wanted)
    assert the_replay(replay_id)["total"] == 3


def test_an_incident_has_one_replay_at_a_time(lane: Lane) -> None:
    failed(lane, 2)
    replay_id = start(lane)
    with pytest.raises(ReplayRefused) as refused:
        start(lane)
    assert refused.value.code == "REPLAY_OPEN"
    replay.end(replay_id, actor="ann", reason="wrong provider")
    assert start(lane) > replay_id
    with pytest.raises(ReplayRefused):
        replay.resume(replay_id, [lane], actor="ann", reason="after all")


def test_nothing_is_begun_where_nothing_failed(lane: Lane) -> None:
    with pytest.raises(ReplayRefused) as refused:
        start(lane)
    assert refused.value.code == "NOTHING_TO_REPLAY"
    with connected():
        assert fetch_dicts("SELECT * FROM dispatch_replays") == []


def test_starting_resuming_and_giving_up_need_a_reason_and_are_kept(lane: Lane) -> None:
    failed(lane, 1)
    with pytest.raises(ReasonRequired):
        replay.start([lane], gateway="post", cause="POST_CLOSED", since=SINCE, actor="ann", reason=" ")
    replay_id = start(lane)
    replay.stop(replay_id, actor="ann")
    with pytest.raises(ReasonRequired):
        replay.resume(replay_id, [lane], actor="ann", reason="")
    with pytest.raises(ReasonRequired):
        replay.end(replay_id, actor="ann", reason="")
    replay.resume(replay_id, [lane], actor="ann", reason="go")
    replay.end(replay_id, actor="ann", reason="enough")
    with connected():
        kept = fetch_dicts("SELECT action, reason, detail FROM operator_actions ORDER BY id")
    assert [row["action"] for row in kept] == ["replay_start", "replay_stop", "replay_resume", "replay_end"]
    assert all(row["detail"]["replay"] == replay_id for row in kept)


def test_whoever_goes_on_signs_what_is_released_then(lane: Lane) -> None:
    failed(lane, 2)
    replay_id = start(lane)
    replay.stop(replay_id, actor="ann")
    replay.resume(replay_id, [lane], actor="ben", reason="go")
    replay.advance(replay_id, [lane])
    with connected():
        (kept,) = fetch_dicts("SELECT actor, reason FROM operator_actions WHERE action = 'retry'")
    assert kept == {"actor": "ben", "reason": f"replay {replay_id}: it opened again"}


def test_releasing_wakes_the_lane(lane: Lane, waker: Waker) -> None:
    failed(lane, 1)
    replay_id = start(lane)
    replay.advance(replay_id, [lane], waker=waker)
    assert redis_client(waker.redis_url).exists(flag(lane.name))


def test_a_lane_that_is_gone_is_left_out(lane: Lane) -> None:
    failed(lane, 1)
    replay_id = start(lane)
    replay.advance(replay_id, [])
    assert states(replay_id) == {"SKIPPED": 1}


def test_the_application_cannot_rewrite_what_was_on_the_list(lane: Lane) -> None:
    failed(lane, 1)
    start(lane)
    with pytest.raises(Exception, match="permission denied"), transaction("ann"):
        execute("UPDATE dispatch_replay_rows SET dispatch_id = gen_random_uuid()")


def test_the_stages_are_one_five_and_batches() -> None:
    assert STAGES[:2] == (1, 5)


def test_it_stops_when_whoever_it_goes_on_for_may_act_no_more(lane: Lane) -> None:
    ids = failed(lane, 8)
    replay_id = start(lane)
    replay.advance(replay_id, [lane], objection=lambda _: "")
    settle(lane, Receipt("m"))
    replay.advance(replay_id, [lane], objection={"ann": "her account was closed"}.__getitem__)
    assert the_replay(replay_id)["state"] == "STOPPED"
    assert states(replay_id) == {"SENT": 1, "WAITING": 7}
    assert in_state(lane, ids, "FAILED") == 7
    with connected():
        kept = fetch_dicts("SELECT actor, reason FROM operator_actions WHERE action = 'replay_stop'")
    assert kept == [{"actor": "dispatchlog", "reason": "her account was closed"}]
    replay.resume(replay_id, [lane], actor="bob", reason="I take it over")
    assert replay.advance(replay_id, [lane], objection={"bob": ""}.__getitem__)
    assert in_state(lane, ids, "PENDING") == 5
