"""A lane divided into routes: runs in order by each, held only by what must leave first, each at its own pace."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import claims, holds, ledger, operator
from dispatchlog.engine.database import connected, transaction
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.outcome import accepted
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.gateways.fake import FakeGateway, Outcome

from .lane import change, make_due, moves, owner, read
from .post import INSTALL, Post
from .processes import until


@pytest.fixture
def post(parcels_url: str) -> Post:
    with owner(parcels_url) as cursor:
        cursor.execute(INSTALL)
    return Post()


def test_each_routes_rows_leave_in_the_order_of_their_insertion(runtime: Runtime, post: Post) -> None:
    post.set("north", batch=3)
    north, south = [], []
    for number in range(7):
        north += post.put("north", "ada" if number % 3 else "ben")
        south += post.put("south", "eve")
    drained = drain(post.lane, runtime)
    assert (drained.claimed, drained.sent) == (14, 14)
    assert (post.left("north"), post.left("south")) == (north, south)
    assert read(post.lane, north[0])["provider"] == "post:north"


def test_a_row_in_back_off_holds_only_the_later_ones_of_its_key(runtime: Runtime, post: Post) -> None:
    ids = post.put("north", "ada", "ben", "ada", "ben")
    post.gateways["north"].script(Outcome.TRANSIENT)
    drain(post.lane, runtime)
    assert post.status(*ids) == ["PENDING", "SENT", "PENDING", "SENT"]
    assert read(post.lane, ids[2])["attempts"] == 0
    drain(post.lane, runtime)
    assert post.status(ids[2]) == ["PENDING"]
    make_due(post.lane, ids[0])
    drain(post.lane, runtime)
    assert post.left("north") == [ids[1], ids[3], ids[0], ids[2]]


def test_a_failed_row_holds_its_key_until_a_person_acts(runtime: Runtime, post: Post) -> None:
    ids = post.put("north", "ada", "ada", "ben")
    post.gateways["north"].script(Outcome.PERMANENT)
    drain(post.lane, runtime)
    drain(post.lane, runtime)
    assert post.status(*ids) == ["FAILED", "PENDING", "SENT"]
    operator.retry(post.lane, [ids[0]], actor="ops")
    drain(post.lane, runtime)
    assert post.left("north") == [ids[2], ids[0], ids[1]]


def test_a_cancelled_row_holds_nobody(runtime: Runtime, post: Post) -> None:
    ids = post.put("north", "ada", "ada")
    post.gateways["north"].script(Outcome.PERMANENT)
    drain(post.lane, runtime)
    operator.cancel(post.lane, [ids[0]], actor="ops", reason="withdrawn")
    drain(post.lane, runtime)
    assert post.left("north") == [ids[1]]


def test_in_line_whatever_has_not_left_holds_the_whole_route(runtime: Runtime, post: Post) -> None:
    post.set("north", in_line=True)
    ids = post.put("north", "ada", "ben", "cleo")
    post.gateways["north"].script(Outcome.ACCEPT, Outcome.TRANSIENT)
    drain(post.lane, runtime)
    drain(post.lane, runtime)
    assert post.status(*ids) == ["SENT", "PENDING", "PENDING"]
    assert post.gateways["north"].sends == 2
    make_due(post.lane, ids[1])
    drain(post.lane, runtime)
    assert post.left("north") == ids


def test_by_one_route_one_run_is_on_its_way_at_a_time(runtime: Runtime, post: Post) -> None:
    post.put("north", *"abcdef")
    post.set("north", batch=2)
    north = post.lane.through(post.in_force["north"])

    def claim() -> Sequence[Any]:
        with transaction("test"):
            return claims.claim_due(north, token=uuid4(), worker_id=runtime.presence.worker_id, limit=2)

    assert [row["body_text"][0] for row in claim()] == ["a", "b"]
    assert claim() == []
    with connected():
        assert claims.due_routes(post.lane) == []


def test_a_claim_for_a_route_does_not_wait_for_another_ones(runtime: Runtime, post: Post, connections: Any) -> None:
    post.put("north", "ada")
    other = connections()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('letter:north', 7240120))")
    drained = drain(post.lane, runtime)
    assert drained.claimed == 0
    other.rollback()
    assert drain(post.lane, runtime).sent == 1


def test_a_row_that_killed_its_workers_goes_alone_and_nobody_overtakes_it(runtime: Runtime, post: Post) -> None:
    ids = post.put("north", "ada", "ada", "ben")
    change(post.lane, ids[0], rescues="2")
    north = post.lane.through(post.in_force["north"])
    taken: list[list[UUID]] = []
    for _ in range(3):
        token = uuid4()
        with transaction("test"):
            rows = claims.claim_due(north, token=token, worker_id=runtime.presence.worker_id, limit=10)
        taken.append([row["id"] for row in rows])
        with transaction("test"):
            ledger.record(
                north,
                token,
                [ledger.Result(row, accepted(Receipt("x"))) for row in rows],
                worker_id=runtime.presence.worker_id,
            )
    assert taken == [[ids[2]], [ids[0]], [ids[1]]]


def test_what_a_dead_worker_held_goes_back_and_holds_the_route_no_longer(runtime: Runtime, post: Post) -> None:
    ids = post.put("north", "ada", "ada")
    north = post.lane.through(post.in_force["north"])
    with transaction("test"):
        claims.claim_due(north, token=uuid4(), worker_id=2_000_000_000, limit=10)
    assert drain(post.lane, runtime).claimed == 0
    with connected():
        assert rescue(post.lane, worker_id=runtime.presence.worker_id, live_tokens=[]) == 2
    drain(post.lane, runtime)
    assert post.left("north") == ids


def test_a_marked_row_of_a_blind_endpoint_is_in_doubt_after_its_worker_died(runtime: Runtime, post: Post) -> None:
    blind = FakeGateway(GatewayKind.BLIND, name="post:north", deadline_seconds=0.05)
    post.set("north", gateway=blind)
    (dispatch_id,) = post.put("north", "ada")
    north = post.lane.through(post.in_force["north"])
    with transaction("test"):
        (row,) = claims.claim_due(north, token=uuid4(), worker_id=2_000_000_000, limit=10)
        assert ledger.mark_sending(north, row, worker_id=2_000_000_000)
    change(post.lane, dispatch_id, sending_at="now() - interval '1 min'")
    until(lambda: rescued(post, runtime) == 1, what="the doubt")
    assert (read(post.lane, dispatch_id)["status"], read(post.lane, dispatch_id)["in_doubt"]) == ("FAILED", True)


def rescued(post: Post, runtime: Runtime) -> int:
    with connected():
        return rescue(post.lane, worker_id=runtime.presence.worker_id, live_tokens=[])


@pytest.mark.usefixtures("a_second")
def test_each_route_has_its_own_pace_and_the_slow_one_waits_for_its_turn(runtime: Runtime, post: Post) -> None:
    post.set("north", rate_per_second=4.0)
    north = post.put("north", *"abcdefgh")
    south = post.put("south", *"abcdefgh")
    began = boottime()
    drain(post.lane, runtime)
    until(lambda: len(post.left("north")) > 1 or not drain(post.lane, runtime), what="its turn")
    assert post.left("south") == south
    sent = len(post.left("north"))
    # One at once, then one every quarter of a second until the drain's second is over.
    assert sent <= 1 + 4 * (boottime() - began)
    assert post.left("north") == north[:sent]


def test_an_open_breaker_keeps_one_route_and_no_other(runtime: Runtime, post: Post) -> None:
    runtime.breaker.report("post:north", good=0, bad=30)
    ids = [*post.put("north", "ada"), *post.put("south", "ada")]
    drain(post.lane, runtime)
    assert post.status(*ids) == ["PENDING", "SENT"]


def test_a_closed_or_unknown_route_keeps_its_rows_waiting(runtime: Runtime, post: Post) -> None:
    post.set("north", closed="it is switched off")
    ids = [*post.put("north", "ada"), *post.put("west", "ada"), *post.put("south", "ada")]
    drain(post.lane, runtime)
    assert post.status(*ids) == ["PENDING", "PENDING", "SENT"]
    assert read(post.lane, ids[0])["claims"] == 0


def test_a_person_can_pause_one_endpoint(runtime: Runtime, post: Post, waker: Waker) -> None:
    target = holds.parse_target("gateway:post:north", [post.lane])
    holds.hold(target, actor="ops", reason="they rebuild")
    ids = [*post.put("north", "ada"), *post.put("south", "ada")]
    drain(post.lane, runtime)
    assert post.status(*ids) == ["PENDING", "SENT"]
    assert holds.release(target, actor="ops", reason="done", lanes=[post.lane], waker=waker).changed


def test_a_row_that_waited_too_long_fails_and_a_persons_retry_lifts_the_limit(runtime: Runtime, post: Post) -> None:
    (old,) = post.put("north", "ada", stale_at=datetime.now(UTC) - timedelta(seconds=1))
    (young,) = post.put("north", "ben", stale_at=datetime.now(UTC) + timedelta(hours=1))
    drain(post.lane, runtime)
    row = read(post.lane, old)
    assert (row["status"], row["last_error_code"], row["attempts"]) == ("FAILED", "TOO_OLD", 0)
    assert post.left("north") == [young]
    operator.retry(post.lane, [old], actor="ops")
    drain(post.lane, runtime)
    assert post.left("north") == [young, old]
    assert moves(old)[-3:] == [("FAILED", "PENDING"), ("PENDING", "QUEUED"), ("QUEUED", "SENT")]


def test_asking_again_forgives_what_failed_and_goes_at_once(runtime: Runtime, post: Post) -> None:
    (dispatch_id,) = post.put("north", "ada")
    post.gateways["north"].script(Outcome.TRANSIENT, Outcome.TRANSIENT)
    drain(post.lane, runtime)
    (result,) = operator.retry(post.lane, [dispatch_id], actor="ops")
    assert result.changed
    row = read(post.lane, dispatch_id)
    assert (row["attempts"], row["attempts_forgiven"]) == (1, 1)
    drain(post.lane, runtime)
    row = read(post.lane, dispatch_id)
    assert (row["attempts"], row["attempts_forgiven"], row["status"]) == (2, 1, "PENDING")


def test_two_drains_at_once_still_send_each_route_in_order(runtime: Runtime, post: Post) -> None:
    post.set("north", batch=4)
    north = post.put("north", *("abcdefghij" * 10))
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(drain, post.lane, runtime) for _ in range(2)]:
            future.result(timeout=120)
    until(lambda: drain(post.lane, runtime).claimed == 0, what="nothing left")
    assert post.left("north") == north
