"""A lane divided into routes whose rows go as they become due, and that is asked once more before each leaves."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine import claims, ledger
from dispatchlog.engine.database import connected, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Refusal, Row
from dispatchlog.engine.lookup import look_up_due
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway, Outcome

from .lane import attempts, change, history, make_due, owner, read
from .post import INSTALL, Post
from .processes import until, worker
from .worker import ledger_lane

LATER = datetime(2100, 1, 1, 8, tzinfo=UTC)


class Asked:
    """What is said of a row before it leaves: nothing, unless told otherwise."""

    def __init__(self) -> None:
        self.refusal: Refusal | None = None
        self.rows: list[Row] = []

    def __call__(self, row: Row) -> Refusal | None:
        self.rows.append(row)
        return self.refusal


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def post(parcels_url: str, asked: Asked) -> Post:
    with owner(parcels_url) as cursor:
        cursor.execute(INSTALL)
    made = Post()
    made.lane = replace(made.lane, in_turn=False, failed_blocks=False, goes_stale=False, may_leave=asked)
    return made


def claim(post: Post, runtime: Runtime, *, limit: int) -> Sequence[Row]:
    north = post.lane.through(post.in_force["north"])
    with transaction("test"):
        return claims.claim_due(north, token=uuid4(), worker_id=runtime.presence.worker_id, limit=limit)


# --- as they become due


def test_several_claims_of_one_route_are_on_their_way_at_once(runtime: Runtime, post: Post) -> None:
    ids = post.put("north", *"abcd")
    taken = [row["id"] for _ in range(2) for row in claim(post, runtime, limit=2)]
    assert sorted(taken) == sorted(ids)
    (more,) = post.put("north", "e")
    with connected():
        assert claims.due_routes(post.lane) == ["north"]
    assert [row["id"] for row in claim(post, runtime, limit=2)] == [more]


def test_what_became_due_first_leaves_first_and_what_waits_or_failed_holds_nobody(runtime: Runtime, post: Post) -> None:
    now = datetime.now(UTC)
    ids = [
        *post.put("north", "ada", due_at=now - timedelta(minutes=1)),
        *post.put("north", "ada", due_at=now - timedelta(minutes=3)),
        *post.put("north", "ada", due_at=now - timedelta(minutes=2)),
        *post.put("north", "ada", due_at=LATER),
    ]
    post.gateways["north"].script(Outcome.TRANSIENT, Outcome.PERMANENT)
    drain(post.lane, runtime)
    assert post.left("north") == [ids[0]]
    assert post.status(*ids) == ["SENT", "PENDING", "FAILED", "PENDING"]
    make_due(post.lane, ids[1])
    drain(post.lane, runtime)
    assert post.left("north") == [ids[0], ids[1]]


def test_an_urgent_row_leaves_before_older_ones(runtime: Runtime, post: Post) -> None:
    first, second = post.put("north", "a", "b", due_at=datetime.now(UTC) - timedelta(minutes=1))
    (urgent,) = post.put("north", "c", priority=1)
    drain(post.lane, runtime)
    assert post.left("north")[0] == urgent
    assert sorted(post.left("north")) == sorted([first, second, urgent])


def test_drains_at_once_send_each_row_once(runtime: Runtime, post: Post) -> None:
    post.set("north", batch=3)
    ids = [*post.put("north", *"abcdefghijklmnopqrst"), *post.put("south", *"abcdefghij")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: drain(post.lane, runtime), range(4)))
    until(lambda: set(post.status(*ids)) == {"SENT"} or not drain(post.lane, runtime), what="the rest")
    assert sorted([*post.left("north"), *post.left("south")]) == sorted(ids)


# --- asked before each leaves


def test_a_refusal_until_an_instant_puts_a_row_off_and_counts_no_attempt(
    runtime: Runtime, post: Post, asked: Asked
) -> None:
    (dispatch_id,) = post.put("north", "ada")
    asked.refusal = Refusal("QUIET_HOURS", "it is night there", LATER)
    drain(post.lane, runtime)
    row = read(post.lane, dispatch_id)
    assert (row["status"], row["due_at"], row["attempts"]) == ("PENDING", LATER, 0)
    assert (row["last_error_code"], row["last_error"]) == ("QUIET_HOURS", "it is night there")
    assert (row["first_claimed_at"], row["sending_at"], attempts(dispatch_id)) == (None, None, [])
    assert history(dispatch_id)[-1]["reason"] == "it is night there"
    assert post.gateways["north"].sends == 0
    asked.refusal = None
    make_due(post.lane, dispatch_id)
    drain(post.lane, runtime)
    assert post.left("north") == [dispatch_id]


def test_a_refusal_for_good_cancels_the_row_and_no_other(runtime: Runtime, post: Post, asked: Asked) -> None:
    ids = post.put("north", "ada")
    asked.refusal = Refusal("STOPPED", "they asked for nothing more")
    drain(post.lane, runtime)
    asked.refusal = None
    ids += post.put("north", "ben")
    drain(post.lane, runtime)
    assert post.status(*ids) == ["CANCELLED", "SENT"]
    refused = read(post.lane, ids[0])
    assert (refused["last_error_code"], refused["attempts"], attempts(ids[0])) == ("STOPPED", 0, [])
    assert post.left("north") == [ids[1]]


def test_what_may_have_left_before_is_in_doubt_when_it_is_refused(runtime: Runtime, post: Post, asked: Asked) -> None:
    (dispatch_id,) = post.put("north", "ada")
    post.gateways["north"].script(Outcome.UNKNOWN_AFTER_ACCEPT)
    drain(post.lane, runtime)
    assert post.status(dispatch_id) == ["PENDING"]  # it knows its key, so it may be sent again
    make_due(post.lane, dispatch_id)
    asked.refusal = Refusal("STOPPED", "they asked for nothing more")
    drain(post.lane, runtime)
    row = read(post.lane, dispatch_id)
    assert (row["status"], row["last_error_code"], row["in_doubt"]) == ("FAILED", "STOPPED", True)
    assert post.gateways["north"].sends == 1


def test_a_claim_that_was_lost_is_not_refused_over_its_new_holder(runtime: Runtime, post: Post) -> None:
    (dispatch_id,) = post.put("north", "ada")
    (row,) = claim(post, runtime, limit=1)
    with transaction("test"):
        assert not ledger.refuse(post.lane, {**row, "claim_token": uuid4()}, Refusal("STOPPED", "no"))
    assert post.status(dispatch_id) == ["QUEUED"]


@pytest.mark.parametrize("at", ["claimed", "composed"])
def test_a_row_killed_before_it_was_asked_about_goes_back_without_a_doubt(
    parcels_url: str, redis_url: str, runtime: Runtime, tmp_path: Path, at: str
) -> None:
    path = tmp_path / "ledger"
    lane = ledger_lane(GatewayKind.IDEMPOTENT, path, may_leave=lambda row: None)
    with transaction("test"):
        (dispatch_id,) = ledger.enqueue(lane, [{"body_text": "one"}])
    order: dict[str, Any] = {"database_url": parcels_url, "redis_url": redis_url, "ledger": str(path), "asks": True}
    with worker(ready=False, crash_at=at, kind="IDEMPOTENT", **order) as killed:
        killed.process.wait(timeout=60)
        assert killed.process.returncode == -9
        until(lambda: _rescued(lane, runtime) or read(lane, dispatch_id)["status"] == "PENDING", what="its rescue")
    row = read(lane, dispatch_id)
    assert (row["status"], row["first_claimed_at"], row["in_doubt"], row["rescues"]) == ("PENDING", None, False, 1)
    drain(lane, runtime)
    assert read(lane, dispatch_id)["status"] == "SENT"
    assert len(lane.gateway.requests()) == 1  # type: ignore[attr-defined]


def _rescued(lane: Any, runtime: Runtime) -> int:
    with connected():
        return rescue(lane, worker_id=runtime.presence.worker_id, live_tokens=[])


# --- look-ups


def test_a_doubt_is_asked_about_at_the_provider_of_its_route(runtime: Runtime, post: Post) -> None:
    asks = FakeGateway(GatewayKind.LOOKUP, name="post:north")
    blind = FakeGateway(GatewayKind.BLIND, name="post:south")
    for name, gateway in (("north", asks), ("south", blind)):
        gateway.script(Outcome.UNKNOWN_AFTER_ACCEPT)
        post.set(name, gateway=gateway)
    ids = [*post.put("north", "ada"), *post.put("south", "ada")]
    drain(post.lane, runtime)
    assert post.status(*ids) == ["FAILED", "FAILED"]
    change(post.lane, ids[0], lookup_at="now()")
    assert look_up_due(post.lane, worker_id=runtime.presence.worker_id) == 1
    assert post.status(*ids) == ["SENT", "FAILED"]
    assert (asks.look_ups, blind.look_ups) == (1, 0)
    assert read(post.lane, ids[0])["provider"] == "post:north"
