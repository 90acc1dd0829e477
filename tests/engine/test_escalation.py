"""A doubt is escalated with a note, for one try, and the mark ends with the doubt."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import escalation, operator
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.errors import OutcomeUnknown, Permanent
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.gateways.fake import FakeGateway

from .lane import enqueue, parcel_lane, read
from .test_replay import settle


@pytest.fixture
def lane(parcels_url: str) -> Lane:
    return parcel_lane(FakeGateway(GatewayKind.BLIND))


def doubt(lane: Lane) -> dict[str, Any]:
    (dispatch_id,) = enqueue(lane)
    settle(lane, OutcomeUnknown("the line broke"))
    return read(lane, dispatch_id)


def escalate(lane: Lane, row: dict[str, Any], note: str = "the log is gone") -> operator.ActionResult:
    return escalation.escalate(lane, row["id"], actor="ann", note=note, claim_token=row["claim_token"])


def open_notes() -> dict[UUID, str]:
    with connected():
        rows = fetch_dicts("SELECT dispatch_id, note FROM dispatch_escalations WHERE closed_at IS NULL")
    return {row["dispatch_id"]: row["note"] for row in rows}


def actions() -> list[tuple[str, str]]:
    with connected():
        rows = fetch_dicts("SELECT action, reason FROM operator_actions ORDER BY id")
    return [(row["action"], row["reason"]) for row in rows]


def test_a_doubt_is_escalated_with_a_note_and_a_further_one_replaces_it(lane: Lane) -> None:
    row = doubt(lane)
    assert escalate(lane, row).changed
    assert escalate(lane, row, "asked the provider").changed
    assert open_notes() == {row["id"]: "asked the provider"}
    assert actions() == [("escalate", "the log is gone"), ("escalate", "asked the provider")]
    assert read(lane, row["id"]) == row


def test_it_is_taken_back_with_a_reason_and_may_be_escalated_again(lane: Lane) -> None:
    row = doubt(lane)
    escalate(lane, row)
    back = {"actor": "ben", "claim_token": row["claim_token"]}
    with pytest.raises(ReasonRequired):
        escalation.withdraw(lane, row["id"], reason=" ", **back)
    assert escalation.withdraw(lane, row["id"], reason="found the log", **back).changed
    assert open_notes() == {}
    assert escalation.withdraw(lane, row["id"], reason="again", **back).code == "NOT_ESCALATED"
    escalate(lane, row)
    assert list(open_notes()) == [row["id"]]


def test_what_is_not_in_doubt_is_not_escalated(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane)
    settle(lane, Permanent("no"))
    result = escalate(lane, read(lane, dispatch_id))
    assert (result.changed, result.code, result.status) == (False, "ILLEGAL_MOVE", "FAILED")
    assert escalate(lane, {"id": uuid4(), "claim_token": uuid4()}).code == "DISPATCH_NOT_FOUND"
    assert open_notes() == {}
    assert actions() == []


def test_a_note_about_an_older_try_is_refused(lane: Lane) -> None:
    row = doubt(lane)
    result = escalate(lane, {**row, "claim_token": uuid4()})
    assert (result.changed, result.code) == (False, "STALE_VIEW")


def test_a_note_is_required(lane: Lane) -> None:
    with pytest.raises(ReasonRequired):
        escalate(lane, doubt(lane), "  ")


def test_the_mark_ends_with_the_doubt(lane: Lane) -> None:
    settled, still, again = doubt(lane), doubt(lane), doubt(lane)
    for row in (settled, still, again):
        escalate(lane, row)
    operator.confirm_sent(lane, settled["id"], actor="ann", reason="they rang")
    operator.confirm_not_sent(lane, again["id"], actor="ann", reason="they rang")
    settle(lane, OutcomeUnknown("the line broke again"))
    assert read(lane, again["id"])["in_doubt"]
    assert escalation.close_settled([lane]) == 2
    assert list(open_notes()) == [still["id"]]
