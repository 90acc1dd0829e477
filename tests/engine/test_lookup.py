"""Look-ups: an answer counts only when the provider can be expected to know."""

from __future__ import annotations

from datetime import timedelta

from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.lookup import look_up
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway, Outcome
from tests.engine.lane import enqueue, parcel_lane, read


def test_absent_before_the_indexing_delay_is_over_proves_nothing(runtime: Runtime) -> None:
    gateway = FakeGateway(GatewayKind.LOOKUP, indexing_delay=timedelta(minutes=5))
    gateway.script(Outcome.UNKNOWN_BEFORE_ACCEPT)
    lane = parcel_lane(gateway)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    assert read(lane, dispatch_id)["in_doubt"]

    assert look_up(lane, read(lane, dispatch_id), actor="support") is LookUpAnswer.UNSURE
    row = read(lane, dispatch_id)
    assert (row["status"], row["in_doubt"]) == ("FAILED", True)

    with transaction("test"):
        execute("UPDATE dispatch_attempts SET finished_at = finished_at - interval '5 min'")
    assert look_up(lane, read(lane, dispatch_id), actor="support") is LookUpAnswer.ABSENT
    assert read(lane, dispatch_id)["status"] == "PENDING"


def test_found_counts_at_any_time(runtime: Runtime) -> None:
    gateway = FakeGateway(GatewayKind.LOOKUP, indexing_delay=timedelta(minutes=5))
    gateway.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    gateway.script_look_ups(LookUpAnswer.FOUND)
    lane = parcel_lane(gateway)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    assert look_up(lane, read(lane, dispatch_id), actor="support") is LookUpAnswer.FOUND
    assert read(lane, dispatch_id)["status"] == "SENT"


def test_what_the_sender_saw_is_kept_beside_what_the_provider_answered(runtime: Runtime) -> None:
    gateway = FakeGateway(GatewayKind.LOOKUP)
    gateway.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    gateway.script_look_ups(LookUpAnswer.FOUND)
    lane = parcel_lane(gateway)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    seen = read(lane, dispatch_id)
    look_up(lane, seen, actor="support")
    with connected():
        ((outcome, message, evidence),) = fetch_all(
            "SELECT outcome, message, evidence FROM dispatch_attempts WHERE dispatch_id = %s", (dispatch_id,)
        )
    assert (outcome, message) == ("ACCEPTED", None)
    assert evidence["before_the_proof"] == {"code": seen["last_error_code"], "message": seen["last_error"]}


def test_a_doubt_settled_without_a_change_of_status_is_a_move_of_its_own(runtime: Runtime) -> None:
    gateway = FakeGateway(GatewayKind.LOOKUP)
    gateway.script(Outcome.UNKNOWN_BEFORE_ACCEPT)
    lane = parcel_lane(gateway, retry=RetryPolicy(max_attempts=1))
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    look_up(lane, read(lane, dispatch_id), actor="support")
    with connected():
        told = fetch_all(
            "SELECT from_status, to_status, in_doubt FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id",
            (dispatch_id,),
        )
    assert told[-2:] == [("QUEUED", "FAILED", True), ("FAILED", "FAILED", False)]
