"""What every way a send can end means for its row: one table, and the two rules about keys and delays."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dispatchlog.engine.errors import (
    CannotCompose,
    DispatchlogError,
    FenceLost,
    GatewayError,
    IllegalMove,
    OutcomeUnknown,
    Permanent,
    Transient,
)
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.outcome import Outcome, accepted, judge, key_expired, must_not_resend
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.states import Status

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RETRY = RetryPolicy(max_attempts=3, first_delay_seconds=10, jitter=0)
INDEXING = timedelta(seconds=90)
IDEMPOTENT, LOOKUP, BLIND = GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP, GatewayKind.BLIND
DOUBT, NO_DOUBT = True, False
LEFT, SPENT = 0, 2


def row(*, attempts: int = LEFT, earlier_doubt: bool = False) -> dict[str, Any]:
    first = NOW - timedelta(hours=1) if earlier_doubt else NOW
    return {"attempts": attempts, "attempts_forgiven": 0, "first_claimed_at": first, "claimed_at": NOW}


def expected(error: type[GatewayError], kind: GatewayKind, attempts: int, earlier: bool) -> tuple[Any, ...]:
    """(status, in doubt, definite, delay, look-up) as the design says them, written down apart from the code."""
    if error is Permanent:
        return (Status.FAILED, earlier, True, 0.0, None)
    if error is Transient:
        if attempts == SPENT:
            return (Status.FAILED, earlier, True, 0.0, None)
        return (Status.PENDING, False, True, 10.0, None)
    if kind is IDEMPOTENT:
        return (
            (Status.FAILED, True, False, 0.0, None) if attempts == SPENT else (Status.PENDING, False, False, 10.0, None)
        )
    return (Status.FAILED, True, False, 0.0, 90.0 if kind is LOOKUP else None)


@pytest.mark.parametrize("earlier", [NO_DOUBT, DOUBT], ids=["no earlier doubt", "earlier doubt"])
@pytest.mark.parametrize("attempts", [LEFT, SPENT], ids=["attempts left", "last attempt"])
@pytest.mark.parametrize("kind", GatewayKind)
@pytest.mark.parametrize("error", [Transient, Permanent, OutcomeUnknown])
def test_each_error_means_one_thing(error: type[GatewayError], kind: GatewayKind, attempts: int, earlier: bool) -> None:
    verdict = judge(
        error("said so", code="X", evidence={"a": 1}),
        row(attempts=attempts, earlier_doubt=earlier),
        kind=kind,
        retry=RETRY,
        indexing_delay=INDEXING,
    )
    found = (verdict.status, verdict.in_doubt, verdict.definite, verdict.delay_seconds, verdict.look_up_in_seconds)
    assert found == expected(error, kind, attempts, earlier)
    assert verdict.counts
    assert (verdict.code, verdict.message, verdict.evidence) == ("X", "said so", {"a": 1})


def test_what_may_have_been_accepted_is_never_tried_again_where_nobody_dedupes() -> None:
    for kind in (LOOKUP, BLIND):
        assert judge(OutcomeUnknown("?"), row(), kind=kind, retry=RETRY).status is Status.FAILED


@pytest.mark.parametrize("kind", GatewayKind)
def test_an_acceptance_is_sent_and_counts_no_failure(kind: GatewayKind) -> None:
    verdict = accepted(Receipt("m-1", {"status": 201}))
    assert (verdict.outcome, verdict.status, verdict.counts) == (Outcome.ACCEPTED, Status.SENT, False)
    assert (verdict.provider_message_id, verdict.evidence) == ("m-1", {"status": 201})


@pytest.mark.parametrize("kind", GatewayKind)
def test_a_lost_fence_counts_nothing_for_nothing_has_left(kind: GatewayKind) -> None:
    verdict = judge(FenceLost("lock lost"), row(), kind=kind, retry=RETRY)
    assert (verdict.outcome, verdict.status, verdict.counts, verdict.in_doubt) == (
        Outcome.NOT_SENT,
        Status.PENDING,
        False,
        False,
    )
    assert verdict.code == "FENCE_LOST"


@pytest.mark.parametrize("earlier", [NO_DOUBT, DOUBT])
def test_a_row_that_cannot_be_composed_fails_and_keeps_an_earlier_doubt(earlier: bool) -> None:
    verdict = judge(
        CannotCompose("nobody", code="NO_RECIPIENT"), row(earlier_doubt=earlier), kind=IDEMPOTENT, retry=RETRY
    )
    assert (verdict.outcome, verdict.status, verdict.in_doubt, verdict.code) == (
        Outcome.NOT_SENT,
        Status.FAILED,
        earlier,
        "NO_RECIPIENT",
    )


@pytest.mark.parametrize("error", [IllegalMove("x"), DispatchlogError("x")])
def test_anything_but_the_three_gateway_errors_is_not_judged(error: DispatchlogError) -> None:
    with pytest.raises(TypeError, match="not one of the three"):
        judge(error, row(), kind=BLIND, retry=RETRY)


def resend_refused(*, age: timedelta, held_seconds: float = 0, kind: GatewayKind = IDEMPOTENT, **options: Any) -> bool:
    aged = {"first_claimed_at": NOW - age, "claimed_at": NOW}
    retention = options.get("key_retention", timedelta(hours=24))
    return must_not_resend(aged, kind=kind, key_retention=retention, deadline_seconds=60, held_seconds=held_seconds)


def test_a_key_is_used_again_only_while_the_provider_certainly_remembers_it() -> None:
    assert not resend_refused(age=timedelta(hours=23))
    assert not resend_refused(age=timedelta(hours=24) - timedelta(seconds=61))
    assert resend_refused(age=timedelta(hours=24) - timedelta(seconds=60))
    assert resend_refused(age=timedelta(hours=25))


def test_the_time_a_process_held_the_row_counts_for_the_keys_age() -> None:
    assert not resend_refused(age=timedelta(hours=12), held_seconds=11 * 3600)
    assert resend_refused(age=timedelta(hours=12), held_seconds=12 * 3600)


def test_a_key_without_an_earlier_doubt_is_fresh_unless_this_process_was_held_up_longer_than_the_key_lives() -> None:
    assert not resend_refused(age=timedelta(0))
    assert not resend_refused(age=timedelta(0), held_seconds=23 * 3600)
    assert resend_refused(age=timedelta(0), held_seconds=24 * 3600)


def test_a_short_retention_does_not_forbid_the_first_send() -> None:
    assert not resend_refused(age=timedelta(0), key_retention=timedelta(seconds=30))


def test_a_key_that_is_remembered_for_ever_never_expires() -> None:
    assert not resend_refused(age=timedelta(days=9999), key_retention=None)


@pytest.mark.parametrize("kind", [LOOKUP, BLIND])
def test_only_idempotent_providers_remember_keys(kind: GatewayKind) -> None:
    assert not resend_refused(age=timedelta(days=9), kind=kind)


def test_an_expired_key_is_a_doubt_for_a_person_and_a_held_up_one_goes_back() -> None:
    expired = key_expired(row(earlier_doubt=True))
    assert (expired.status, expired.in_doubt, expired.code) == (Status.FAILED, True, "KEY_EXPIRED")
    held_up = key_expired(row())
    assert (held_up.status, held_up.in_doubt, held_up.counts, held_up.code) == (Status.PENDING, False, False, "HELD_UP")


# --- the retry policy


@pytest.mark.parametrize(("failures", "seconds"), [(0, 10), (1, 10), (2, 20), (3, 40), (5, 160), (7, 600), (5000, 600)])
def test_the_back_off_doubles_up_to_its_longest(failures: int, seconds: float) -> None:
    policy = RetryPolicy(first_delay_seconds=10, factor=2.0, longest_delay_seconds=600, jitter=0)
    assert policy.delay_seconds(failures) == seconds


def test_the_jitter_stays_in_its_bounds_and_spreads() -> None:
    policy = RetryPolicy(first_delay_seconds=100, jitter=0.2)
    delays = [policy.delay_seconds(1) for _ in range(500)]
    assert all(80 <= delay <= 120 for delay in delays)
    assert max(delays) - min(delays) > 20


@pytest.mark.parametrize(("asked", "seconds"), [(None, 10), (5, 10), (0, 10), (300, 300), (7200, 7200)])
def test_a_retry_is_never_earlier_than_the_provider_asked_for(asked: float | None, seconds: float) -> None:
    assert RetryPolicy(first_delay_seconds=10, jitter=0).delay_seconds(1, retry_after_seconds=asked) == seconds


def test_the_provider_s_wish_reaches_the_verdict() -> None:
    verdict = judge(Transient("busy", retry_after_seconds=500), row(), kind=BLIND, retry=RETRY)
    assert verdict.delay_seconds == 500
