"""A lane or a gateway that a person paused: nothing of it is claimed, others go on, and it drains once resumed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import psycopg2
import pytest

from dispatchlog.engine import holds
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.holds import GATEWAY, LANE, HoldsInForce, Target, UnknownTarget, parse_target, targets
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker, flag, redis_client
from dispatchlog.gateways.fake import FakeGateway

from .lane import application, change, enqueue, owner, parcel_lane, read, statuses
from .processes import until, worker

LANE_TARGET = Target(LANE, "parcel")
GATEWAY_TARGET = Target(GATEWAY, "fake")
either = pytest.mark.parametrize("target", [LANE_TARGET, GATEWAY_TARGET], ids=str)


@pytest.fixture
def lane(parcels_url: str, runtime: Runtime) -> Lane:
    runtime.holds = HoldsInForce(fresh_seconds=0.0)
    return parcel_lane(FakeGateway())


@pytest.fixture
def other(parcels_url: str) -> Lane:
    """A lane with a table and a gateway of its own."""
    with owner(parcels_url) as cursor:
        cursor.execute(
            "CREATE TABLE letters (LIKE dispatch_template INCLUDING ALL, body_text text);"
            "SELECT dispatchlog_install_lane('letters', 'letter');"
        )
    gateway = FakeGateway()
    gateway.name = "other"
    other = parcel_lane(gateway, name="letter", title="Letters")
    other.__dict__["table"] = "letters"
    return other


@either
def test_nothing_of_it_is_claimed_until_it_goes_on(lane: Lane, runtime: Runtime, waker: Waker, target: Target) -> None:
    enqueue(lane, 3)
    holds.hold(target, actor="ada@example.org", reason="the provider moves house")
    assert drain(lane, runtime).claimed == 0
    assert statuses(lane) == ["PENDING"] * 3
    holds.release(target, actor="bo@example.org", reason="it has moved", lanes=[lane], waker=waker)
    assert drain(lane, runtime).sent == 3
    assert statuses(lane) == ["SENT"] * 3


@either
def test_lanes_of_another_gateway_go_on(lane: Lane, other: Lane, runtime: Runtime, target: Target) -> None:
    enqueue(lane)
    (letter,) = _enqueue_letter(other)
    holds.hold(target, actor="ada@example.org", reason="why not")
    drain(lane, runtime)
    drain(other, runtime)
    assert statuses(lane) == ["PENDING"]
    assert read(other, letter)["status"] == "SENT"


def _enqueue_letter(other: Lane) -> list:  # type: ignore[type-arg]
    from uuid import uuid4

    from dispatchlog.engine.database import execute, transaction

    letter = uuid4()
    with transaction("test"):
        execute("INSERT INTO letters (id, body_text) VALUES (%s, 'a letter')", (letter,))
    return [letter]


def test_a_held_gateway_holds_every_lane_that_sends_through_it(lane: Lane, other: Lane, runtime: Runtime) -> None:
    other.gateway.name = "fake"
    enqueue(lane)
    (letter,) = _enqueue_letter(other)
    holds.hold(GATEWAY_TARGET, actor="ada@example.org", reason="why not")
    drain(lane, runtime)
    drain(other, runtime)
    assert statuses(lane) == ["PENDING"]
    assert read(other, letter)["status"] == "PENDING"


def test_what_is_claimed_already_is_finished(lane: Lane, runtime: Runtime) -> None:
    enqueue(lane)
    sending, go_on = threading.Event(), threading.Event()
    send = lane.gateway.send

    def slowly(parcel, *, deadline, before_write):  # type: ignore[no-untyped-def]
        sending.set()
        assert go_on.wait(10)
        return send(parcel, deadline=deadline, before_write=before_write)

    lane.gateway.send = slowly  # type: ignore[method-assign]
    draining = threading.Thread(target=drain, args=(lane, runtime))
    draining.start()
    assert sending.wait(10)
    holds.hold(LANE_TARGET, actor="ada@example.org", reason="why not")
    go_on.set()
    draining.join(10)
    assert statuses(lane) == ["SENT"]


def test_what_expires_meanwhile_is_closed_as_ever(lane: Lane, runtime: Runtime) -> None:
    (dispatch_id,) = enqueue(lane)
    holds.hold(LANE_TARGET, actor="ada@example.org", reason="why not")
    change(lane, dispatch_id, expires_at="now() - interval '1 s'")
    drain(lane, runtime)
    assert (read(lane, dispatch_id)["status"], read(lane, dispatch_id)["last_error_code"]) == ("CANCELLED", "EXPIRED")


def test_resuming_wakes_the_lanes(lane: Lane, runtime: Runtime, waker: Waker) -> None:
    holds.hold(GATEWAY_TARGET, actor="ada@example.org", reason="why not")
    assert not redis_client(waker.redis_url).exists(flag("parcel"))
    holds.release(GATEWAY_TARGET, actor="ada@example.org", reason="done", lanes=[lane], waker=waker)
    assert redis_client(waker.redis_url).exists(flag("parcel"))


def test_who_paused_and_resumed_it_and_why_is_kept(lane: Lane) -> None:
    holds.hold(LANE_TARGET, actor="ada@example.org", reason="moving house")
    holds.release(LANE_TARGET, actor="bo@example.org", reason="moved", lanes=[lane], waker=None)
    (past,) = holds.past_holds()
    assert (past.held_by, past.reason, past.released_by, past.release_reason) == (
        "ada@example.org",
        "moving house",
        "bo@example.org",
        "moved",
    )
    with connected():
        logged = fetch_dicts("SELECT actor, action, lane, reason FROM operator_actions ORDER BY id")
    assert [tuple(row.values()) for row in logged] == [
        ("ada@example.org", "pause", "parcel", "moving house"),
        ("bo@example.org", "resume", "parcel", "moved"),
    ]


def test_a_second_pause_changes_nothing_and_says_whose_the_first_is(lane: Lane) -> None:
    first = holds.hold(LANE_TARGET, actor="ada@example.org", reason="moving house")
    second = holds.hold(LANE_TARGET, actor="bo@example.org", reason="me too")
    assert (first.changed, second.changed) == (True, False)
    assert second.hold == first.hold
    assert len(holds.open_holds()) == 1


def test_resuming_what_is_not_paused_changes_nothing(lane: Lane, waker: Waker) -> None:
    result = holds.release(LANE_TARGET, actor="bo@example.org", reason="done", lanes=[lane], waker=waker)
    assert not result.changed
    assert not redis_client(waker.redis_url).exists(flag("parcel"))


@pytest.mark.parametrize("reason", ["", "  "])
def test_without_a_reason_nothing_is_paused(lane: Lane, reason: str) -> None:
    with pytest.raises(ReasonRequired):
        holds.hold(LANE_TARGET, actor="ada@example.org", reason=reason)
    with pytest.raises(ReasonRequired):
        holds.release(LANE_TARGET, actor="ada@example.org", reason=reason, lanes=[lane], waker=None)
    assert holds.open_holds() == []


def test_a_target_is_a_lane_or_a_gateway_that_there_is(lane: Lane) -> None:
    assert parse_target("parcel", [lane]) == LANE_TARGET
    assert parse_target("gateway:fake", [lane]) == GATEWAY_TARGET
    assert targets([lane]) == [LANE_TARGET, GATEWAY_TARGET]
    for text in ("fake", "gateway:parcel", "gateway:", ""):
        with pytest.raises(UnknownTarget, match="parcel, gateway:fake"):
            parse_target(text, [lane])


def test_the_table_is_read_once_a_second_however_often_it_is_asked(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(holds, "boottime", lambda: now[0])
    in_force = HoldsInForce()
    assert not in_force.keeps(lane)
    holds.hold(LANE_TARGET, actor="ada@example.org", reason="why not")
    now[0] += 0.99
    assert not in_force.keeps(lane)
    now[0] += 0.02
    assert in_force.keeps(lane)


def test_a_lane_hold_leaves_the_questions_to_the_provider_alone(lane: Lane, runtime: Runtime) -> None:
    holds.hold(LANE_TARGET, actor="ada@example.org", reason="why not")
    assert runtime.holds.keeps(lane)
    assert not runtime.holds.keeps_gateway(lane)
    holds.hold(GATEWAY_TARGET, actor="ada@example.org", reason="why not")
    assert runtime.holds.keeps_gateway(lane)


def test_a_running_worker_stops_claiming_and_begins_again(
    parcels_url: str, redis_url: str, waker: Waker, tmp_path: Path
) -> None:
    from .worker import ledger_lane

    ledger = tmp_path / "ledger"
    lane = ledger_lane(GatewayKind.IDEMPOTENT, ledger)
    target = Target(GATEWAY, "ledger")
    with worker(database_url=parcels_url, redis_url=redis_url, kind="IDEMPOTENT", ledger=str(ledger)):
        enqueue(lane)
        until(lambda: statuses(lane) == ["SENT"], what="the first leaves")
        held = holds.hold(target, actor="ada@example.org", reason="why not").hold
        assert held is not None
        until(lambda: _seconds_since_hold(parcels_url, held.id) > 2, what="two seconds have passed for the database")
        enqueue(lane, 5)
        waker.wake(lane)
        until(lambda: _seconds_since_hold(parcels_url, held.id) > 4, what="it had time to claim")
        assert statuses(lane) == ["SENT"] + ["PENDING"] * 5
        holds.release(target, actor="ada@example.org", reason="done", lanes=[lane], waker=waker)
        until(lambda: statuses(lane) == ["SENT"] * 6, what="the rest leaves")
    assert len([line for line in ledger.read_text().splitlines() if json.loads(line)["accepted"]]) == 6


def _seconds_since_hold(url: str, hold_id: int) -> float:
    with application(url) as cursor:
        cursor.execute(
            "SELECT extract(epoch FROM clock_timestamp() - held_at)::float8 FROM dispatch_holds WHERE id = %s",
            (hold_id,),
        )
        return float(cursor.fetchone()[0])


def test_a_hold_can_be_neither_deleted_nor_rewritten(parcels_url: str, lane: Lane) -> None:
    holds.hold(LANE_TARGET, actor="ada@example.org", reason="why not")
    for sql in ("DELETE FROM dispatch_holds", "UPDATE dispatch_holds SET reason = 'x'", "TRUNCATE dispatch_holds"):
        with application(parcels_url) as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(sql)
