"""One drain: what is due is claimed, composed, stored, sent and recorded; whatever goes wrong, every row has one truth."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import psycopg2.errors
import pytest
import redis

from dispatchlog.engine import ledger, operator
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import connected, database, execute, fetch_all, transaction
from dispatchlog.engine.delivery import deliver_batch, drain
from dispatchlog.engine.errors import CannotCompose, OutcomeUnknown
from dispatchlog.engine.gateway import GatewayKind, Receipt
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.retry import RetryPolicy
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.gateways.fake import FakeGateway, Outcome, Play
from tests.servers import Servers

from .lane import (
    attempts,
    change,
    column,
    compose,
    enqueue,
    history,
    make_due,
    moves,
    owner,
    parcel_lane,
    payloads,
    read,
    statuses,
)
from .processes import PATIENCE_SECONDS

IDEMPOTENT, LOOKUP, BLIND = GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP, GatewayKind.BLIND
kinds = pytest.mark.parametrize("kind", GatewayKind)


def lane_of(kind: GatewayKind, **options: Any) -> tuple[Lane, FakeGateway]:
    gateway = FakeGateway(kind)
    return parcel_lane(gateway, **options), gateway


# --- how one attempt ends


@kinds
def test_an_accepted_dispatch_is_sent_with_its_receipt_and_one_attempt(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind)
    (dispatch_id,) = enqueue(lane, trace_id="t-1")
    drained = drain(lane, runtime)
    assert (drained.claimed, drained.sent) == (1, 1)
    row = read(lane, dispatch_id)
    assert (row["status"], row["provider"], row["provider_message_id"]) == ("SENT", "fake", "fake-1")
    assert row["sent_at"] is not None
    assert (row["attempts"], row["last_error"], row["in_doubt"]) == (0, None, False)
    (attempt,) = attempts(dispatch_id)
    assert (attempt["outcome"], attempt["number"], attempt["worker_id"]) == ("ACCEPTED", 1, runtime.presence.worker_id)
    assert (attempt["provider_message_id"], attempt["evidence"]) == ("fake-1", {"status": 201})
    assert attempt["claim_token"] == row["claim_token"]
    assert attempt["sending_at"] <= attempt["finished_at"]
    assert moves(dispatch_id) == [(None, "PENDING"), ("PENDING", "QUEUED"), ("QUEUED", "SENT")]
    assert history(dispatch_id)[-1]["actor"] == f"worker:{runtime.presence.worker_id}"
    (acceptance,) = gateway.accepted
    assert acceptance.key == f"{dispatch_id}-1"


@kinds
@pytest.mark.parametrize("play", [Outcome.TRANSIENT, Outcome.REFUSE_CONNECTION])
def test_a_transient_failure_goes_back_for_later_and_counts(runtime: Runtime, kind: GatewayKind, play: Outcome) -> None:
    lane, gateway = lane_of(kind)
    gateway.script(Play(play, code="BUSY"))
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["attempts"], row["last_error_code"]) == ("PENDING", 1, "BUSY")
    assert row["last_error"]
    assert timedelta(seconds=50) < row["due_at"] - datetime.now(UTC) <= timedelta(seconds=61)
    assert row["first_claimed_at"] is None  # a definite no leaves no doubt behind
    assert history(dispatch_id)[-1]["reason"] == row["last_error"]
    assert gateway.sends == 1


@kinds
def test_the_last_transient_failure_is_a_failure(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind)
    gateway.script(*[Outcome.TRANSIENT] * 3)
    (dispatch_id,) = enqueue(lane)
    for _ in range(3):
        make_due(lane, dispatch_id)
        drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["attempts"], row["in_doubt"]) == ("FAILED", 3, False)
    assert column(attempts(dispatch_id), "number") == [1, 2, 3]


@kinds
def test_a_permanent_failure_fails_at_once_and_without_doubt(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind)
    gateway.script(Play(Outcome.PERMANENT, code="SMTP_550"))
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["attempts"], row["last_error_code"], row["in_doubt"]) == ("FAILED", 1, "SMTP_550", False)
    assert attempts(dispatch_id)[0]["outcome"] == "PERMANENT"


@pytest.mark.parametrize("play", [Outcome.UNKNOWN_BEFORE_ACCEPT, Outcome.UNKNOWN_AFTER_ACCEPT])
def test_an_unknown_outcome_is_resent_where_the_provider_dedupes(runtime: Runtime, play: Outcome) -> None:
    lane, gateway = lane_of(IDEMPOTENT)
    gateway.script(play)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    assert read(lane, dispatch_id)["status"] == "PENDING"
    assert read(lane, dispatch_id)["first_claimed_at"] is not None  # the key's age goes on
    make_due(lane, dispatch_id)
    drain(lane, runtime)
    assert read(lane, dispatch_id)["status"] == "SENT"
    assert len(gateway.accepted) == 1
    assert column(attempts(dispatch_id), "outcome") == ["UNKNOWN", "ACCEPTED"]


@pytest.mark.parametrize("kind", [LOOKUP, BLIND])
@pytest.mark.parametrize("play", [Outcome.UNKNOWN_BEFORE_ACCEPT, Outcome.UNKNOWN_AFTER_ACCEPT])
def test_an_unknown_outcome_is_in_doubt_elsewhere_and_never_resent(
    runtime: Runtime, kind: GatewayKind, play: Outcome
) -> None:
    lane, gateway = lane_of(kind)
    gateway.script(play)
    (dispatch_id,) = enqueue(lane)
    for _ in range(3):
        drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["in_doubt"], row["last_error_code"]) == ("FAILED", True, "CONNECTION_LOST")
    assert (row["lookup_at"] is not None) == (kind is LOOKUP)
    assert gateway.sends == 1


def test_a_key_that_the_provider_has_forgotten_is_not_used_again(runtime: Runtime) -> None:
    gateway = FakeGateway(IDEMPOTENT, key_retention=timedelta(hours=24))
    lane = parcel_lane(gateway)
    gateway.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    change(lane, dispatch_id, due_at="now()", first_claimed_at="now() - interval '24 h'")
    drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["in_doubt"], row["last_error_code"]) == ("FAILED", True, "KEY_EXPIRED")
    assert gateway.sends == 1


def test_a_gateway_that_fails_unexpectedly_leaves_a_doubt_and_its_neighbours_go(runtime: Runtime) -> None:
    class Defective(FakeGateway):
        def send(self, parcel: Any, **rest: Any) -> Receipt:
            if parcel.body == b"parcel 1":
                raise KeyError("a defect")
            return super().send(parcel, **rest)

    lane = parcel_lane(Defective(BLIND))
    ids = enqueue(lane, 3)
    drain(lane, runtime)
    assert statuses(lane) == ["SENT", "FAILED", "SENT"]
    row = read(lane, ids[1])
    assert (row["in_doubt"], row["last_error_code"]) == (True, "GATEWAY_DEFECT")


def test_a_providers_odd_words_are_stored_as_far_as_they_can_be(runtime: Runtime) -> None:
    class Odd(FakeGateway):
        def send(self, parcel: Any, **rest: Any) -> Receipt:
            if parcel.body == b"parcel 1":
                raise OutcomeUnknown("a\x00b\r\nc \ud800", code="C" * 99, evidence={"body": "\x00 \ud800 \U0001f600"})
            return Receipt("m\x00" * 400, {"body": "\x00"})

    lane = parcel_lane(Odd(BLIND))
    first, second = enqueue(lane, 2)
    drain(lane, runtime)
    assert len(read(lane, first)["provider_message_id"]) == 255
    row = read(lane, second)
    assert (row["status"], row["last_error"], len(row["last_error_code"])) == ("FAILED", "a b c ?", 64)
    assert attempts(second)[0]["evidence"] == {"body": "\ufffd ? \U0001f600"}


# --- composing


def compose_or_not(row: Row) -> Letter:
    if row["body_text"] == "parcel 1":
        raise CannotCompose("nobody lives there", code="NO_RECIPIENT")
    if row["body_text"] == "parcel 2":
        raise KeyError("a defect in composing")
    return compose(row)


@kinds
def test_a_row_that_cannot_be_composed_fails_alone_with_its_code(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind, compose=compose_or_not)
    ids = enqueue(lane, 4)
    drain(lane, runtime)
    assert statuses(lane) == ["SENT", "FAILED", "FAILED", "SENT"]
    assert [read(lane, i)["last_error_code"] for i in ids[1:3]] == ["NO_RECIPIENT", "COMPOSE_ERROR"]
    assert column(attempts(ids[1]), "outcome") == ["NOT_SENT"]
    assert gateway.sends == 2


def test_composing_without_the_database_fails_no_row(runtime: Runtime) -> None:
    def compose_offline(row: Row) -> Letter:
        raise peewee.OperationalError("the database is away")

    lane, gateway = lane_of(BLIND, compose=compose_offline)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    assert (read(lane, dispatch_id)["status"], attempts(dispatch_id)) == ("PENDING", [])
    assert gateway.sends == 0


def test_the_bytes_are_committed_before_the_first_send(runtime: Runtime, parcels_url: str) -> None:
    seen: list[tuple[Any, ...]] = []

    class Watching(FakeGateway):
        def send(self, parcel: Any, **rest: Any) -> Receipt:
            with owner(parcels_url) as cursor:
                cursor.execute("SELECT dispatch_id, body, sha256, recipient, headers FROM dispatch_payloads")
                seen.extend(cursor.fetchall())
            return super().send(parcel, **rest)

    lane = parcel_lane(Watching(IDEMPOTENT))
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    ((stored_id, body, sha256, recipient, headers),) = seen
    assert (UUID(str(stored_id)), bytes(body), recipient) == (dispatch_id, b"parcel 0", "someone@example.org")
    assert bytes(sha256) == hashlib.sha256(b"parcel 0").digest()
    assert headers == {"x-parcel": "yes"}


def numbered() -> Callable[[Row], Letter]:
    """Composes different bytes each time it is asked."""
    count = iter(range(100))
    return lambda row: Letter("someone@example.org", f"version {next(count)}".encode())


@pytest.mark.parametrize("kind", GatewayKind)
def test_a_resend_sends_the_stored_bytes_even_if_composing_has_changed(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind, compose=numbered())
    gateway.script(Outcome.TRANSIENT, Outcome.TRANSIENT)
    (dispatch_id,) = enqueue(lane)
    for _ in range(3):
        make_due(lane, dispatch_id)
        drain(lane, runtime)
    (acceptance,) = gateway.accepted
    assert (acceptance.body, acceptance.key) == (b"version 0", f"{dispatch_id}-1")
    assert [bytes(payload["body"]) for payload in payloads(dispatch_id)] == [b"version 0"]


def test_a_resend_needs_no_composing(runtime: Runtime) -> None:
    """What was sent once can be sent again even if its order was cancelled since: its outcome must become known."""

    def compose_once(row: Row) -> Letter:
        if row["claims"] > 1:
            raise CannotCompose("its order is gone")
        return compose(row)

    lane, gateway = lane_of(IDEMPOTENT, compose=compose_once)
    gateway.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    (dispatch_id,) = enqueue(lane)
    for _ in range(2):
        make_due(lane, dispatch_id)
        drain(lane, runtime)
    assert read(lane, dispatch_id)["status"] == "SENT"


def test_only_an_operators_retry_after_a_definite_no_composes_afresh_under_a_new_key(runtime: Runtime) -> None:
    lane, gateway = lane_of(IDEMPOTENT, compose=numbered())
    gateway.script(Outcome.PERMANENT)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    operator.retry(lane, [dispatch_id], actor="ann")
    drain(lane, runtime)
    (acceptance,) = gateway.accepted
    assert (acceptance.body, acceptance.key) == (b"version 1", f"{dispatch_id}-2")
    assert [bytes(payload["body"]) for payload in payloads(dispatch_id)] == [b"version 0", b"version 1"]


def test_a_lane_whose_rows_hold_their_bodies_stores_them_no_second_time(runtime: Runtime) -> None:
    lane, gateway = lane_of(IDEMPOTENT, body_on_row=True)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    assert gateway.accepted[0].body == b"parcel 0"
    assert payloads(dispatch_id) == []


# --- what follows from a sending


NOTES = "CREATE TABLE notes (dispatch_id uuid PRIMARY KEY); GRANT ALL ON notes TO dispatchlog_app"


@pytest.fixture
def notes(parcels_url: str) -> Callable[[Sequence[Row]], None]:
    """An `after_sent` that writes one note for each row; nobody can note `parcel 1`."""
    with owner(parcels_url) as cursor:
        cursor.execute(NOTES)

    def note(rows: Sequence[Row]) -> None:
        for row in rows:
            execute("INSERT INTO notes VALUES (%s)", (row["id"],))
        if any(row["body_text"] == "parcel 1" for row in rows):
            raise KeyError("cannot be noted")

    return note


def noted() -> set[UUID]:
    with connected():
        return {row[0] for row in fetch_all("SELECT dispatch_id FROM notes")}


def test_what_follows_is_written_with_the_sending_and_its_failure_leaves_nothing_half_done(
    runtime: Runtime, notes: Callable[[Sequence[Row]], None]
) -> None:
    lane, gateway = lane_of(IDEMPOTENT, after_sent=notes)
    ids = enqueue(lane, 3)
    drain(lane, runtime)
    assert statuses(lane) == ["SENT", "PENDING", "SENT"]
    assert noted() == {ids[0], ids[2]}
    row = read(lane, ids[1])
    assert (row["last_error_code"], row["attempts"], row["sent_at"]) == ("RECORD_FAILED", 1, None)
    (attempt,) = attempts(ids[1])
    assert attempt["evidence"]["accepted"] is True
    for _ in range(2):
        make_due(lane, ids[1])
        drain(lane, runtime)
    row = read(lane, ids[1])
    assert (row["status"], row["in_doubt"]) == ("FAILED", True)
    assert len(gateway.accepted) == 3  # one effect each


def test_what_follows_is_made_up_for_once_it_can_be_written(
    runtime: Runtime, notes: Callable[[Sequence[Row]], None]
) -> None:
    lane, gateway = lane_of(IDEMPOTENT, after_sent=notes)
    dispatch_id = enqueue(lane, 2)[1]
    drain(lane, runtime)
    change(lane, dispatch_id, body_text="'mended'", due_at="now()")
    drain(lane, runtime)
    assert read(lane, dispatch_id)["status"] == "SENT"
    assert dispatch_id in noted()
    assert len(gateway.accepted) == 2


def test_where_nobody_dedupes_an_acceptance_that_cannot_be_recorded_is_a_visible_doubt(
    runtime: Runtime, notes: Callable[[Sequence[Row]], None]
) -> None:
    lane, gateway = lane_of(BLIND, after_sent=notes)
    ids = enqueue(lane, 3)
    for _ in range(2):  # a drain's second may be over before the third row
        drain(lane, runtime)
    assert statuses(lane) == ["SENT", "FAILED", "SENT"]
    row = read(lane, ids[1])
    assert (row["in_doubt"], row["last_error_code"]) == (True, "RECORD_FAILED")
    assert attempts(ids[1])[0]["evidence"] == {"accepted": True, "provider_message_id": "fake-2"}
    assert gateway.sends == 3


def test_a_reply_to_a_commit_that_is_lost_does_not_repeat_what_follows(
    runtime: Runtime, notes: Callable[[Sequence[Row]], None]
) -> None:
    lane, gateway = lane_of(BLIND, after_sent=notes)
    (dispatch_id,) = enqueue(lane)
    with lost_replies(3):
        drain(lane, runtime)
    assert read(lane, dispatch_id)["status"] == "SENT"
    assert noted() == {dispatch_id}
    assert gateway.sends == 1


# --- expiry, cancelling, stopping


def test_a_row_past_its_use_is_cancelled_with_the_reason_instead_of_sent(runtime: Runtime) -> None:
    lane, gateway = lane_of(BLIND)
    (dispatch_id,) = enqueue(lane, expires_at=datetime(2026, 1, 2, 3, 4, tzinfo=UTC))
    drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["last_error_code"]) == ("CANCELLED", "EXPIRED")
    assert history(dispatch_id)[-1]["reason"] == "not sent in time: useless after 2026-01-02 03:04 UTC"
    assert gateway.sends == 0


def test_a_row_past_its_use_that_may_have_left_is_in_doubt_instead(runtime: Runtime) -> None:
    lane, gateway = lane_of(IDEMPOTENT)
    gateway.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    change(lane, dispatch_id, expires_at="now() - interval '1 s'", due_at="now()")
    drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["in_doubt"], row["last_error_code"]) == ("FAILED", True, "EXPIRED")
    assert gateway.sends == 1


@kinds
def test_a_row_cancelled_before_it_is_claimed_is_never_sent(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind)
    kept, cancelled = enqueue(lane, 2)
    operator.cancel(lane, [cancelled], actor="ann", reason="not wanted")
    drain(lane, runtime)
    assert statuses(lane) == ["SENT", "CANCELLED"]
    assert column(gateway_ids(gateway), "id") == [kept]


def gateway_ids(gateway: FakeGateway) -> list[dict[str, Any]]:
    return [{"id": acceptance.dispatch_id} for acceptance in gateway.accepted]


def test_cancelling_and_sending_at_once_ends_in_one_of_the_two_and_never_in_both(runtime: Runtime) -> None:
    lane, gateway = lane_of(BLIND, batch=1, slots=3)
    ids = enqueue(lane, 40)
    with ThreadPoolExecutor(3) as pool:
        draining = [pool.submit(drain, lane, runtime) for _ in range(2)]
        for dispatch_id in reversed(ids):
            operator.cancel(lane, [dispatch_id], actor="ann", reason="not wanted")
        for drained in draining:
            drained.result()
    drain(lane, runtime)
    sent = {acceptance.dispatch_id for acceptance in gateway.accepted}
    for dispatch_id in ids:
        assert read(lane, dispatch_id)["status"] == ("SENT" if dispatch_id in sent else "CANCELLED")


@kinds
def test_stopping_gives_back_what_is_claimed_and_not_begun(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind)
    gateway.script(Play(crash=runtime.stopping.set))
    ids = enqueue(lane, 4)
    drain(lane, runtime)
    assert statuses(lane) == ["SENT", "PENDING", "PENDING", "PENDING"]
    for dispatch_id in ids[1:]:
        row = read(lane, dispatch_id)
        assert (row["attempts"], row["first_claimed_at"], row["in_doubt"]) == (0, None, False)
        assert history(dispatch_id)[-1]["reason"] == "not begun in time, given back"
    assert gateway.sends == 1


# --- slots and wake-ups


class Gated(FakeGateway):
    """Holds every send until it is let go, and knows how many are held."""

    def __init__(self, kind: GatewayKind = IDEMPOTENT) -> None:
        super().__init__(kind)
        self.held = threading.Semaphore(0)
        self.let_go = threading.Event()

    def send(self, parcel: Any, **rest: Any) -> Receipt:
        self.held.release()
        assert self.let_go.wait(PATIENCE_SECONDS)
        return super().send(parcel, **rest)


def test_a_lane_uses_no_more_slots_than_it_has_and_the_late_wake_up_is_not_lost(runtime: Runtime) -> None:
    gateway = Gated()
    lane = parcel_lane(gateway, slots=2, batch=1)
    enqueue(lane, 2)
    with ThreadPoolExecutor(2) as pool:
        busy = [pool.submit(drain, lane, runtime) for _ in range(2)]
        assert all(gateway.held.acquire(timeout=PATIENCE_SECONDS) for _ in busy)
        enqueue(lane)
        assert drain(lane, runtime).claimed == 0  # both slots are taken: it returns at once
        gateway.let_go.set()
        assert sum(drained.result().claimed for drained in busy) == 3
    assert statuses(lane) == ["SENT"] * 3


def test_a_wake_up_between_a_drains_last_look_and_its_end_is_not_lost(
    presence: Presence, waker: Waker, redis_url: str
) -> None:
    class AtTheLastMoment(Runtime):
        """Something is committed, and its wake-up handled, just before the drain in work gives its slot back."""

        late: bool = False

        def leave(self, lane: Lane) -> bool:
            if not self.late:
                self.late = True
                enqueue(lane)
                assert drain(lane, self).claimed == 0  # the only slot is taken
            return super().leave(lane)

    runtime = AtTheLastMoment(presence, waker, Breaker(redis_url))
    lane, _ = lane_of(IDEMPOTENT, slots=1)
    enqueue(lane)
    assert drain(lane, runtime).sent == 2
    assert statuses(lane) == ["SENT", "SENT"]


def test_no_wake_up_is_stranded_however_commits_and_drains_meet(runtime: Runtime, waker: Waker) -> None:
    """As a queue of one hint: a drain runs only when a hint went out. What stays PENDING then was forgotten."""
    lane, _gateway = lane_of(IDEMPOTENT, slots=2, batch=7)
    producers, each = 3, 40
    hints: list[Any] = []
    guard = threading.Lock()

    with ThreadPoolExecutor(producers + 3) as pool:

        def produce(_: int) -> None:
            for _number in range(each):
                with transaction("test"):
                    ledger.enqueue(lane, [{"body_text": "a"}])
                if waker.wake(lane):
                    with guard:
                        hints.append(pool.submit(drain, lane, runtime))

        list(pool.map(produce, range(producers)))
        while True:
            with guard:
                waiting = [hint for hint in hints if not hint.done()]
            if not waiting:
                break
            waiting[0].result()
    assert statuses(lane) == ["SENT"] * (producers * each)


@pytest.mark.usefixtures("a_second")
def test_a_drain_ends_after_about_a_second_and_wakes_its_lane_for_the_rest(runtime: Runtime, redis_url: str) -> None:
    lane, gateway = lane_of(BLIND, batch=100)
    gateway.script(*[Play(hang_seconds=0.2) for _ in range(20)])
    enqueue(lane, 20)
    drain(lane, runtime)
    assert gateway.sends <= 1 / 0.2 + 1  # the last began before the second was over
    assert {"SENT", "PENDING"} == set(statuses(lane))
    assert "QUEUED" not in statuses(lane)
    with closing(redis.Redis.from_url(redis_url)) as client:
        assert client.exists("dispatchlog:wake:parcel")


# --- the breaker


def test_while_the_breaker_is_open_rows_wait_uncounted_and_then_probe_one_five_and_the_rest(
    presence: Presence, waker: Waker, redis_url: str
) -> None:
    runtime = Runtime(presence, waker, Breaker(redis_url, pause_seconds=PAUSE_SECONDS))
    lane, gateway = lane_of(IDEMPOTENT, retry=RetryPolicy(max_attempts=99, first_delay_seconds=0, jitter=0))
    gateway.script(*[Outcome.TRANSIENT] * 30)
    ids = enqueue(lane, 30)
    batch(lane, runtime)
    assert gateway.sends == 30
    before = [read(lane, i)["attempts"] for i in ids]
    batch(lane, runtime)
    assert gateway.sends == 30
    assert set(statuses(lane)) == {"PENDING"}
    assert [read(lane, i)["attempts"] for i in ids] == before
    let_the_pause_pass(redis_url)
    sent = [batch(lane, runtime) for _ in range(4)]
    assert sent == [1, 5, 24, 0]


PAUSE_SECONDS = 60.0


def let_the_pause_pass(redis_url: str) -> None:
    """What the breaker remembers is that much older."""
    with closing(redis.Redis.from_url(redis_url)) as client:
        for instant in ("until", "asked"):
            client.hincrbyfloat("dispatchlog:breaker:fake", instant, -PAUSE_SECONDS - 1)


def batch(lane: Lane, runtime: Runtime) -> int:
    with connected():
        return deliver_batch(lane, runtime).sent


@pytest.mark.parametrize(
    ("end", "opens"),
    [
        (Outcome.REFUSE_CONNECTION, True),
        (Outcome.UNKNOWN_BEFORE_ACCEPT, True),
        (Outcome.TRANSIENT, False),
        (Outcome.PERMANENT, False),
    ],
)
def test_five_dispatches_one_by_one_that_nobody_answers_open_the_breaker(
    runtime: Runtime, end: Outcome, opens: bool
) -> None:
    lane, gateway = lane_of(IDEMPOTENT)
    gateway.script(*[end] * 6)
    for _ in range(5):
        enqueue(lane, 1)
        batch(lane, runtime)
    assert gateway.sends == 5
    enqueue(lane, 1)
    batch(lane, runtime)
    assert gateway.sends == (5 if opens else 6)
    assert runtime.breaker.state("fake").state == ("open" if opens else "closed")


def test_probes_that_found_nothing_to_send_are_not_lost(presence: Presence, waker: Waker, redis_url: str) -> None:
    breaker = Breaker(redis_url, pause_seconds=PAUSE_SECONDS)
    runtime = Runtime(presence, waker, breaker)
    lane, _ = lane_of(IDEMPOTENT)
    breaker.report("fake", good=0, bad=20)
    let_the_pause_pass(redis_url)
    assert batch(lane, runtime) == 0  # nothing is due: the probe is handed back
    enqueue(lane, 3)
    assert [batch(lane, runtime), batch(lane, runtime)] == [1, 2]
    enqueue(lane, 4)
    assert batch(lane, runtime) == 3  # three of the five probes were left
    assert breaker.state("fake").state == "closed"
    assert batch(lane, runtime) == 1


# --- the fence


def test_without_its_lock_a_process_claims_nothing(runtime: Runtime, parcels_url: str) -> None:
    lane, gateway = lane_of(IDEMPOTENT)
    (dispatch_id,) = enqueue(lane)
    with owner(parcels_url) as cursor:
        cut_lock(cursor)
        drain(lane, runtime)
    assert moves(dispatch_id) == [(None, "PENDING")]
    assert gateway.sends == 0


def cut_lock(cursor: Any) -> None:
    cursor.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'dispatchlog worker lock'"
    )
    assert cursor.rowcount == 1


@pytest.mark.parametrize("kind", [LOOKUP, BLIND])
def test_a_lock_lost_between_the_mark_and_the_write_stops_the_send_and_counts_nothing(
    runtime: Runtime, parcels_url: str, kind: GatewayKind
) -> None:
    class Cutting(FakeGateway):
        def send(self, parcel: Any, *, deadline: Any, before_write: Callable[[], None]) -> Receipt:
            with owner(parcels_url) as cursor:
                cut_lock(cursor)
            return super().send(parcel, deadline=deadline, before_write=before_write)

    gateway = Cutting(kind)
    lane = parcel_lane(gateway)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    row = read(lane, dispatch_id)
    assert (row["status"], row["attempts"], row["last_error_code"]) == ("PENDING", 0, "FENCE_LOST")
    assert (row["in_doubt"], row["first_claimed_at"]) == (False, None)
    assert gateway.accepted == []
    assert column(attempts(dispatch_id), "outcome") == ["NOT_SENT"]


@pytest.mark.parametrize("kind", [LOOKUP, BLIND])
def test_a_row_that_was_taken_away_before_its_mark_is_not_sent(
    runtime: Runtime, parcels_url: str, kind: GatewayKind
) -> None:
    taken = "UPDATE parcels SET status = 'PENDING', first_claimed_at = NULL, due_at = now() + interval '1 h'"

    def compose_slowly(row: Row) -> Letter:
        with owner(parcels_url) as cursor:
            cursor.execute(taken)  # as a rescuer would, while this process was paused
        return compose(row)

    lane, gateway = lane_of(kind, compose=compose_slowly)
    (dispatch_id,) = enqueue(lane)
    drain(lane, runtime)
    assert gateway.sends == 0
    assert attempts(dispatch_id) == []


# --- PostgreSQL comes and goes


@contextmanager
def lost_replies(*numbers: int) -> Iterator[None]:
    """The commits of these numbers (from 1) happen on the server, and their replies never arrive."""
    commit = psycopg2.extensions.connection.commit
    count = iter(range(1, 1000))

    class Losing(psycopg2.extensions.connection):
        def commit(self) -> None:
            commit(self)
            if next(count) in numbers:
                self.close()
                raise psycopg2.OperationalError("server closed the connection unexpectedly")

    database.close_all()
    database.connect_params["connection_factory"] = Losing
    try:
        yield
    finally:
        del database.connect_params["connection_factory"]
        database.close_all()


@kinds
def test_every_lost_commit_reply_is_survived_without_a_second_send(runtime: Runtime, kind: GatewayKind) -> None:
    lane, gateway = lane_of(kind)
    for number in range(1, 9):
        gateway.accepted.clear()
        gateway.sends = 0
        (dispatch_id,) = enqueue(lane)
        with lost_replies(number):
            drain(lane, runtime)
        if read(lane, dispatch_id)["status"] == "QUEUED":  # the claim's own reply: this process reconciles it
            change(lane, dispatch_id, claimed_at="now() - interval '10 s'")
            with connected():
                rescue(lane, worker_id=runtime.presence.worker_id, live_tokens=runtime.live_tokens())
        drain(lane, runtime)
        assert read(lane, dispatch_id)["status"] == "SENT", number
        assert len(gateway.accepted) == gateway.sends == 1, number
        assert column(attempts(dispatch_id), "outcome") == ["ACCEPTED"], number
        assert [step for _, step in moves(dispatch_id)].count("SENT") == 1


def cut_everybody(cursor: Any) -> None:
    cursor.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        " AND pid <> pg_backend_pid() AND application_name = 'test'"
    )


@kinds
def test_a_result_known_here_outlives_the_connection_it_was_to_be_recorded_on(
    runtime: Runtime, parcels_url: str, kind: GatewayKind
) -> None:
    class Cutting(FakeGateway):
        def send(self, parcel: Any, **rest: Any) -> Receipt:
            receipt = super().send(parcel, **rest)
            with owner(parcels_url) as cursor:
                cut_everybody(cursor)
            return receipt

    gateway = Cutting(kind)
    lane = parcel_lane(gateway, batch=1)
    ids = enqueue(lane, 3)
    for dispatch_id in ids:
        change(lane, dispatch_id, claims="1")  # later claims read stored bytes, on whatever connection there is
    # A drain ends after a second, and on a slow machine that is the time of one connection cut and made anew.
    sent = sum(drain(lane, runtime).sent for _ in ids)
    assert statuses(lane) == ["SENT"] * 3
    assert sent == gateway.sends == 3


def test_a_drain_without_the_database_returns_and_gives_its_slot_back(
    runtime: Runtime, parcels_url: str, servers: Servers
) -> None:
    lane, _ = lane_of(IDEMPOTENT, slots=1)
    enqueue(lane)
    name = parcels_url.rpartition("/")[2]
    with owner(servers.postgres_url) as cursor, owner(parcels_url) as inside:
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            cut_everybody(inside)
            assert drain(lane, runtime).claimed == 0
        finally:
            cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert drain(lane, runtime).sent == 1


# --- what cannot be stored


def test_rows_whose_content_cannot_be_stored_wait_unharmed_and_go_when_there_is_room(
    parcels_url: str, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = FakeGateway(IDEMPOTENT)
    lane = parcel_lane(gateway)
    ids = enqueue(lane, 3)

    def full(*_: object) -> None:
        raise psycopg2.errors.DiskFull("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("dispatchlog.engine.payloads._store", full)
        for _ in range(6):
            drain(lane, runtime)
    rows = [read(lane, dispatch_id) for dispatch_id in ids]
    assert [(row["status"], row["rescues"], row["attempts"]) for row in rows] == [("PENDING", 0, 0)] * 3
    assert history(ids[0])[-1]["reason"] == "its content could not be stored: DiskFull"
    drain(lane, runtime)
    assert [read(lane, dispatch_id)["status"] for dispatch_id in ids] == ["SENT"] * 3
    assert len(gateway.accepted) == 3
