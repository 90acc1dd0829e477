"""Look-ups: an answer counts only when the provider can be expected to know."""

from __future__ import annotations

from datetime import timedelta

from dispatchlog.engine.database import execute, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.lookup import look_up
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
        execute("UPDATE parcels SET lookup_at = now() WHERE id = %s", (dispatch_id,))
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
