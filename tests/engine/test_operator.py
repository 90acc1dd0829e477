"""What a person may do in each state: it changes exactly what it says, or says by a stable code why not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import operator
from dispatchlog.engine.claims import claim_due
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.errors import DispatchlogError, DispatchNotFound, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.ledger import Result, cancel_waiting, record
from dispatchlog.engine.operator import ActionResult, ReasonRequired
from dispatchlog.engine.outcome import accepted, judge
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway

from .lane import change, column, enqueue, history, moves, parcel_lane, read

IDEMPOTENT, LOOKUP, BLIND = GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP, GatewayKind.BLIND
Act = Callable[[Lane, UUID], ActionResult]

ACTIONS: dict[str, Act] = {
    "retry": lambda lane, i: operator.retry(lane, [i], actor="ann")[0],
    "cancel": lambda lane, i: operator.cancel(lane, [i], actor="ann", reason="why")[0],
    "confirm_sent": lambda lane, i: operator.confirm_sent(lane, i, actor="ann", reason="why"),
    "confirm_not_sent": lambda lane, i: operator.confirm_not_sent(lane, i, actor="ann", reason="why"),
    "correct_recipient": lambda lane, i: operator.correct_recipient(lane, i, "B@Example.org", actor="ann"),
}


def make_lane(kind: GatewayKind = BLIND) -> Lane:
    return parcel_lane(FakeGateway(kind), recipient_column="subject_id")


def put(lane: Lane, state: str) -> UUID:
    """A row that came to `state` as rows do."""
    (dispatch_id,) = enqueue(lane)
    if state in ("PENDING", "CANCELLED"):
        if state == "CANCELLED":
            with transaction("test"):
                cancel_waiting(lane, id=dispatch_id)
        else:
            change(lane, dispatch_id, due_at="now() + interval '1 h'")
        return dispatch_id
    with transaction("test"):
        (row,) = claim_due(lane, token=uuid4(), worker_id=1, limit=1)
    if state != "QUEUED":
        unknown = judge(OutcomeUnknown("lost"), row, kind=lane.gateway.kind, retry=lane.retry)
        verdict = {
            "SENT": accepted(Receipt("m")),
            "FAILED": judge(Permanent("no"), row, kind=lane.gateway.kind, retry=lane.retry),
            "IN DOUBT": unknown,
            "PENDING WITH DOUBT": unknown,
        }[state]
        with transaction("test"):
            record(lane, row["claim_token"], [Result(row, verdict, 1.0)], worker_id=1)
    return dispatch_id


EXPECTED: dict[tuple[str, str], tuple[str, str]] = {
    # (action, state): (the status afterwards, the code when nothing changed)
    ("retry", "PENDING"): ("PENDING", ""),
    ("retry", "QUEUED"): ("QUEUED", "ILLEGAL_MOVE"),
    ("retry", "SENT"): ("SENT", "ILLEGAL_MOVE"),
    ("retry", "FAILED"): ("PENDING", ""),
    ("retry", "IN DOUBT"): ("FAILED", "IN_DOUBT"),
    ("retry", "CANCELLED"): ("CANCELLED", "ILLEGAL_MOVE"),
    ("cancel", "PENDING"): ("CANCELLED", ""),
    ("cancel", "QUEUED"): ("QUEUED", "ILLEGAL_MOVE"),
    ("cancel", "SENT"): ("SENT", "ILLEGAL_MOVE"),
    ("cancel", "FAILED"): ("CANCELLED", ""),
    ("cancel", "IN DOUBT"): ("FAILED", "IN_DOUBT"),
    ("cancel", "CANCELLED"): ("CANCELLED", "ILLEGAL_MOVE"),
    ("confirm_sent", "PENDING"): ("PENDING", "ILLEGAL_MOVE"),
    ("confirm_sent", "QUEUED"): ("QUEUED", "ILLEGAL_MOVE"),
    ("confirm_sent", "SENT"): ("SENT", "ILLEGAL_MOVE"),
    ("confirm_sent", "FAILED"): ("FAILED", "ILLEGAL_MOVE"),
    ("confirm_sent", "IN DOUBT"): ("SENT", ""),
    ("confirm_sent", "CANCELLED"): ("CANCELLED", "ILLEGAL_MOVE"),
    ("confirm_not_sent", "PENDING"): ("PENDING", "ILLEGAL_MOVE"),
    ("confirm_not_sent", "QUEUED"): ("QUEUED", "ILLEGAL_MOVE"),
    ("confirm_not_sent", "SENT"): ("SENT", "ILLEGAL_MOVE"),
    ("confirm_not_sent", "FAILED"): ("FAILED", "ILLEGAL_MOVE"),
    ("confirm_not_sent", "IN DOUBT"): ("PENDING", ""),
    ("confirm_not_sent", "CANCELLED"): ("CANCELLED", "ILLEGAL_MOVE"),
    ("correct_recipient", "PENDING"): ("PENDING", ""),
    ("correct_recipient", "QUEUED"): ("QUEUED", "ILLEGAL_MOVE"),
    ("correct_recipient", "SENT"): ("SENT", "ILLEGAL_MOVE"),
    ("correct_recipient", "FAILED"): ("FAILED", ""),
    ("correct_recipient", "IN DOUBT"): ("FAILED", "IN_DOUBT"),
    ("correct_recipient", "CANCELLED"): ("CANCELLED", "ILLEGAL_MOVE"),
}


def actions_of(dispatch_id: UUID) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM operator_actions WHERE dispatch_id = %s ORDER BY id", (dispatch_id,))


@pytest.mark.parametrize(("action", "state"), EXPECTED)
def test_each_action_in_each_state_changes_the_row_or_says_why_not(parcels_url: str, action: str, state: str) -> None:
    lane = make_lane()
    dispatch_id = put(lane, state)
    before = read(lane, dispatch_id)
    result = ACTIONS[action](lane, dispatch_id)
    status, code = EXPECTED[action, state]
    after = read(lane, dispatch_id)
    assert (result.dispatch_id, result.status, result.code) == (dispatch_id, status, code)
    assert result.changed == (code == "")
    assert after["status"] == status
    assert bool(result.message) == bool(code)
    if code:
        assert after == before
        assert actions_of(dispatch_id) == []
    else:
        (logged,) = actions_of(dispatch_id)
        assert (logged["actor"], logged["action"], logged["lane"]) == ("ann", action, "parcel")
        assert logged["database_user"]


@pytest.mark.parametrize("action", ["retry", "cancel", "confirm_sent", "confirm_not_sent", "correct_recipient"])
def test_an_action_on_a_dispatch_that_is_not_there_says_so(parcels_url: str, action: str) -> None:
    result = ACTIONS[action](make_lane(), uuid4())
    assert (result.changed, result.code) == (False, "DISPATCH_NOT_FOUND")


@pytest.mark.parametrize("reason", ["", "  \n"])
@pytest.mark.parametrize(
    "call",
    [
        lambda lane, i, why: operator.cancel(lane, [i], actor="ann", reason=why),
        lambda lane, i, why: operator.confirm_sent(lane, i, actor="ann", reason=why),
        lambda lane, i, why: operator.confirm_not_sent(lane, i, actor="ann", reason=why),
    ],
    ids=["cancel", "confirm_sent", "confirm_not_sent"],
)
def test_what_cannot_be_undone_needs_a_reason_in_words(
    parcels_url: str, call: Callable[[Lane, UUID, str], object], reason: str
) -> None:
    lane = make_lane()
    dispatch_id = put(lane, "FAILED")
    with pytest.raises(ReasonRequired):
        call(lane, dispatch_id, reason)
    assert read(lane, dispatch_id)["status"] == "FAILED"


def test_the_actor_and_the_reason_stay_with_the_move_and_with_the_action(parcels_url: str) -> None:
    lane = make_lane()
    dispatch_id = put(lane, "FAILED")
    operator.cancel(lane, [dispatch_id], actor="ann", reason="the patient moved")
    assert (history(dispatch_id)[-1]["actor"], history(dispatch_id)[-1]["reason"]) == ("ann", "the patient moved")
    assert column(actions_of(dispatch_id), "reason") == ["the patient moved"]


def test_one_request_for_many_rows_answers_for_each(parcels_url: str) -> None:
    lane = make_lane()
    failed, sent, doubtful, missing = put(lane, "FAILED"), put(lane, "SENT"), put(lane, "IN DOUBT"), uuid4()
    results = operator.retry(lane, [sent, failed, missing, doubtful], actor="ann")
    assert [(r.dispatch_id, r.changed, r.code) for r in results] == [
        (sent, False, "ILLEGAL_MOVE"),
        (failed, True, ""),
        (missing, False, "DISPATCH_NOT_FOUND"),
        (doubtful, False, "IN_DOUBT"),
    ]


# --- retrying


def test_a_retry_after_a_definite_no_begins_anew_under_a_new_key(parcels_url: str) -> None:
    lane = make_lane()
    dispatch_id = put(lane, "FAILED")
    change(lane, dispatch_id, rescues="4")
    operator.retry(lane, [dispatch_id], actor="ann")
    row = read(lane, dispatch_id)
    assert (row["rescues"], row["generation"], row["first_claimed_at"]) == (0, 2, None)
    assert row["idempotency_key"] == f"{dispatch_id}-2"


def test_a_retry_gives_all_tries_again_and_forgets_none_in_the_count(parcels_url: str) -> None:
    gateway = FakeGateway(BLIND)
    lane = parcel_lane(gateway, retry=RetryPolicy(max_attempts=2, first_delay_seconds=0, jitter=0))
    (dispatch_id,) = enqueue(lane)
    counted = []
    for _ in range(2):
        for _ in range(2):
            assert read(lane, dispatch_id)["status"] == "PENDING"
            with transaction("test"):
                (row,) = claim_due(lane, token=uuid4(), worker_id=1, limit=1)
                verdict = judge(Transient("busy"), row, kind=BLIND, retry=lane.retry)
                record(lane, row["claim_token"], [Result(row, verdict, 1.0)], worker_id=1)
        counted.append((read(lane, dispatch_id)["status"], read(lane, dispatch_id)["attempts"]))
        operator.retry(lane, [dispatch_id], actor="ann")
    assert counted == [("FAILED", 2), ("FAILED", 4)]


@pytest.mark.parametrize("state", ["FAILED", "IN DOUBT"])
def test_what_is_of_no_use_any_more_is_not_retried(parcels_url: str, state: str) -> None:
    lane = make_lane(IDEMPOTENT)
    dispatch_id = put(lane, "FAILED") if state == "FAILED" else put_exhausted(lane)
    change(lane, dispatch_id, expires_at="now() - interval '1 s'")
    result = operator.retry(lane, [dispatch_id], actor="ann")[0]
    assert (result.changed, result.code, read(lane, dispatch_id)["status"]) == (False, "EXPIRED", "FAILED")


def put_exhausted(lane: Lane) -> UUID:
    """IDEMPOTENT, attempts spent, the last outcome unknown."""
    (dispatch_id,) = enqueue(lane)
    change(lane, dispatch_id, attempts="2")
    with transaction("test"):
        (row,) = claim_due(lane, token=uuid4(), worker_id=1, limit=1)
        verdict = judge(OutcomeUnknown("lost"), row, kind=IDEMPOTENT, retry=lane.retry)
        record(lane, row["claim_token"], [Result(row, verdict, 1.0)], worker_id=1)
    assert read(lane, dispatch_id)["in_doubt"]
    return dispatch_id


def test_a_doubt_is_retried_only_under_the_old_key_while_the_provider_knows_it(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(IDEMPOTENT, key_retention=timedelta(hours=24)))
    dispatch_id = put_exhausted(lane)
    first_claimed_at = read(lane, dispatch_id)["first_claimed_at"]
    assert operator.retry(lane, [dispatch_id], actor="ann")[0].changed
    row = read(lane, dispatch_id)
    assert (row["status"], row["generation"], row["first_claimed_at"]) == ("PENDING", 1, first_claimed_at)


def test_a_doubt_whose_key_the_provider_has_forgotten_is_not_retried(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway(IDEMPOTENT, key_retention=timedelta(hours=24)))
    dispatch_id = put_exhausted(lane)
    change(lane, dispatch_id, first_claimed_at="now() - interval '25 h'")
    assert operator.retry(lane, [dispatch_id], actor="ann")[0].code == "IN_DOUBT"


@pytest.mark.parametrize("kind", GatewayKind)
def test_a_doubt_is_never_cancelled_for_that_would_hide_it(parcels_url: str, kind: GatewayKind) -> None:
    lane = make_lane(kind)
    dispatch_id = put_exhausted(lane) if kind is IDEMPOTENT else put(lane, "IN DOUBT")
    assert operator.cancel(lane, [dispatch_id], actor="ann", reason="why")[0].code == "IN_DOUBT"


@pytest.mark.parametrize("action", ["cancel", "correct_recipient"])
def test_a_waiting_row_that_may_have_left_is_neither_cancelled_nor_readdressed(parcels_url: str, action: str) -> None:
    lane = make_lane(IDEMPOTENT)
    dispatch_id = put(lane, "PENDING WITH DOUBT")
    assert read(lane, dispatch_id)["status"] == "PENDING"
    result = ACTIONS[action](lane, dispatch_id)
    assert (result.changed, result.code, read(lane, dispatch_id)["status"]) == (False, "IN_DOUBT", "PENDING")
    with transaction("test"):
        assert cancel_waiting(lane, id=dispatch_id) == 0


def test_a_retry_of_a_waiting_row_makes_it_due_now_and_once(parcels_url: str) -> None:
    lane = make_lane()
    dispatch_id = put(lane, "PENDING")
    assert operator.retry(lane, [dispatch_id], actor="ann")[0].changed
    again = operator.retry(lane, [dispatch_id], actor="ann")[0]
    assert (again.changed, again.code) == (False, "ALREADY_DUE")
    with transaction("test"):
        assert column(claim_due(lane, token=uuid4(), worker_id=1, limit=9), "id") == [dispatch_id]


@pytest.mark.parametrize("action", ["retry", "cancel", "confirm_sent", "confirm_not_sent"])
def test_a_double_click_changes_once(parcels_url: str, action: str) -> None:
    lane = make_lane()
    for _ in range(5):
        dispatch_id = put(lane, "IN DOUBT" if action.startswith("confirm") else "FAILED")
        before = len(moves(dispatch_id))
        with ThreadPoolExecutor(4) as pool:
            results = list(pool.map(lambda _: ACTIONS[action](lane, dispatch_id), range(4)))  # noqa: B023
        assert sum(result.changed for result in results) == 1
        assert len(moves(dispatch_id)) == before + 1
        assert len(actions_of(dispatch_id)) == 1
        if read(lane, dispatch_id)["status"] == "PENDING":
            change(lane, dispatch_id, due_at="now() + interval '1 h'")  # out of the next one's way


# --- settling doubts


def test_confirmed_as_sent_is_sent_on_a_persons_word_and_the_try_stays_as_it_was(parcels_url: str) -> None:
    seen: list[Any] = []
    lane = parcel_lane(FakeGateway(BLIND), after_sent=seen.extend)
    dispatch_id = put(lane, "IN DOUBT")
    tried = attempts_of(dispatch_id)
    operator.confirm_sent(lane, dispatch_id, actor="ann", reason="their list has it")
    row = read(lane, dispatch_id)
    assert (row["status"], row["in_doubt"], row["last_error"]) == ("SENT", False, None)
    assert row["sent_at"] is not None
    assert column(seen, "id") == [dispatch_id]
    assert attempts_of(dispatch_id) == tried
    with connected():
        told = fetch_all(
            "SELECT to_status, in_doubt, actor, reason FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id",
            (dispatch_id,),
        )
    assert told[-2][:2] == ("FAILED", True)
    assert told[-1] == ("SENT", False, "ann", "their list has it")


def attempts_of(dispatch_id: UUID) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM dispatch_attempts WHERE dispatch_id = %s", (dispatch_id,))


@pytest.mark.parametrize("settle", [operator.confirm_sent, operator.confirm_not_sent])
def test_evidence_about_an_earlier_try_settles_no_later_doubt(parcels_url: str, settle: Any) -> None:
    lane = make_lane()
    dispatch_id = put(lane, "IN DOUBT")
    shown = read(lane, dispatch_id)["claim_token"]
    change(lane, dispatch_id, claim_token=f"'{uuid4()}'")  # as after another claim
    result = settle(lane, dispatch_id, actor="ann", reason="it was there", claim_token=shown)
    assert (result.changed, result.code) == (False, "STALE_VIEW")
    current = read(lane, dispatch_id)["claim_token"]
    assert settle(lane, dispatch_id, actor="ann", reason="it was there", claim_token=current).changed


def test_confirmed_as_not_sent_goes_again_under_a_new_key(parcels_url: str, runtime: Runtime) -> None:
    lane = make_lane()
    dispatch_id = put(lane, "IN DOUBT")
    operator.confirm_not_sent(lane, dispatch_id, actor="ann", reason="their list does not have it")
    row = read(lane, dispatch_id)
    assert (row["generation"], row["first_claimed_at"], row["attempts"], row["attempts_forgiven"]) == (2, None, 1, 1)
    drain(lane, runtime)
    gateway = lane.gateway
    assert isinstance(gateway, FakeGateway)
    assert [acceptance.key for acceptance in gateway.accepted] == [f"{dispatch_id}-2"]


# --- the recipient


def test_a_corrected_recipient_is_found_and_gets_a_new_key(parcels_url: str) -> None:
    lane = make_lane()
    dispatch_id = put(lane, "FAILED")
    for _ in range(2):
        operator.correct_recipient(lane, dispatch_id, "B@Example.org", actor="ann", reason="a typo")
    row = read(lane, dispatch_id)
    assert (row["subject_id"], row["search_keys"], row["generation"]) == ("B@Example.org", ["b@example.org"], 3)
    with connected():
        assert fetch_all("SELECT key FROM dispatch_search WHERE dispatch_id = %s", (dispatch_id,)) == [
            ("b@example.org",)
        ]


def test_correcting_a_row_that_was_never_claimed_does_not_release_it_from_waiting_for_its_sweep(
    parcels_url: str,
) -> None:
    lane = parcel_lane(FakeGateway(BLIND), recipient_column="subject_id", waits_for_sweep=True)
    (dispatch_id,) = enqueue(lane)
    assert operator.correct_recipient(lane, dispatch_id, "b@example.org", actor="ann").changed
    with transaction("test"):
        assert claim_due(lane, token=uuid4(), worker_id=1, limit=1) == []


def test_a_lane_without_a_recipient_has_none_to_correct(parcels_url: str) -> None:
    lane = parcel_lane(FakeGateway())
    (dispatch_id,) = enqueue(lane)
    with pytest.raises(DispatchlogError) as refused:
        operator.correct_recipient(lane, dispatch_id, "b@example.org", actor="ann")
    assert refused.value.code == "NOT_EDITABLE"


def test_find_gives_the_row_or_says_that_there_is_none(parcels_url: str) -> None:
    lane = make_lane()
    (dispatch_id,) = enqueue(lane)
    assert operator.find(lane, dispatch_id)["id"] == dispatch_id
    with pytest.raises(DispatchNotFound):
        operator.find(lane, uuid4())


def test_what_a_person_looked_at_is_kept_too(parcels_url: str) -> None:
    operator.log_action("ann", "reveal", detail={"fields": ["recipient"]}, reason="asked by phone")
    with connected():
        ((actor, action, detail),) = fetch_all("SELECT actor, action, detail FROM operator_actions")
    assert (actor, action, detail) == ("ann", "reveal", {"fields": ["recipient"]})
