"""Look-ups: an answer counts only when the provider can be expected to know."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from dispatchlog.engine.database import connected, execute, fetch_all, transaction
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer, Parcel
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


class LikenessGateway(FakeGateway):
    """Recognises what it has by its words alone."""

    def look_up(self, parcel: Parcel, *, since: datetime, deadline: Deadline) -> LookUp:
        return replace(super().look_up(parcel, since=since, deadline=deadline), by_likeness=True)


def test_what_another_row_has_is_not_taken_for_ours_where_it_only_looks_alike(runtime: Runtime) -> None:
    gateway = LikenessGateway(GatewayKind.LOOKUP)
    gateway.script(Outcome.UNKNOWN_BEFORE_ACCEPT, Outcome.UNKNOWN_BEFORE_ACCEPT)
    gateway.script_look_ups(LookUpAnswer.FOUND, LookUpAnswer.FOUND)  # the same one
    lane = parcel_lane(gateway)
    first, second = enqueue(lane, 2)
    drain(lane, runtime)
    assert look_up(lane, read(lane, first), actor="support") is LookUpAnswer.FOUND
    assert look_up(lane, read(lane, second), actor="support") is LookUpAnswer.UNSURE
    row = read(lane, second)
    assert (row["status"], row["in_doubt"], row["provider_message_id"]) == ("FAILED", True, None)


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
