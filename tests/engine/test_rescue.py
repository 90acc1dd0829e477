"""Whatever kills a worker, wherever it is: its rows are taken up soon, sent once, or shown as in doubt."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine import operator
from dispatchlog.engine.claims import claim_due
from dispatchlog.engine.database import connected, execute, fetch_one, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.errors import CannotCompose, Transient
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.lanes import Lane, Letter, Row
from dispatchlog.engine.ledger import Result, mark_sending, record
from dispatchlog.engine.lookup import MOST_LOOKUPS, look_up_due
from dispatchlog.engine.outcome import judge
from dispatchlog.engine.presence import Presence, process_start
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway
from tests.lateness import within

from .lane import (
    APPLICATION_ROLE,
    attempts,
    change,
    column,
    enqueue,
    history,
    moves,
    owner,
    parcel_lane,
    read,
)
from .processes import until, worker
from .worker import LedgerGateway, ledger_lane

IDEMPOTENT, LOOKUP, BLIND = GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP, GatewayKind.BLIND
UNMARKED_POINTS = ("claimed", "composed")
MARKED_POINTS = ("marked", "writing", "sent")


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "accepted.jsonl"


def rescue_now(lane: Lane, *, by: int = 0, live: frozenset[UUID] = frozenset()) -> int:
    with connected():
        return rescue(lane, worker_id=by, live_tokens=live)


def status(lane: Lane, dispatch_id: UUID) -> str:
    return str(read(lane, dispatch_id)["status"])


def rescued(lane: Lane, dispatch_id: UUID) -> str:
    """The row's status once its dead worker's claim has been taken over."""
    until(lambda: rescue_now(lane) or status(lane, dispatch_id) != "QUEUED", what="the row is taken over")
    return status(lane, dispatch_id)


def crash(parcels_url: str, redis_url: str, ledger: Path, *, kind: GatewayKind, at: str) -> None:
    """Let a worker process take the lane up and die at a crash point."""
    with worker(
        ready=False, crash_at=at, database_url=parcels_url, redis_url=redis_url, kind=kind, ledger=str(ledger)
    ) as dying:
        assert dying.process.wait(timeout=120) == -9


def accepted(lane: Lane) -> list[Any]:
    gateway = lane.gateway
    assert isinstance(gateway, LedgerGateway)
    return gateway.accepted()


def requests(lane: Lane) -> list[Any]:
    gateway = lane.gateway
    assert isinstance(gateway, LedgerGateway)
    return gateway.requests()


# --- every crash point, every kind of gateway


@pytest.mark.parametrize("at", [*UNMARKED_POINTS, "sent", "recorded"])
def test_idempotent_is_resent_with_the_same_key_and_bytes_and_takes_effect_once(
    parcels_url: str, redis_url: str, runtime: Runtime, ledger: Path, at: str
) -> None:
    lane = ledger_lane(IDEMPOTENT, ledger)
    (dispatch_id,) = enqueue(lane)
    crash(parcels_url, redis_url, ledger, kind=IDEMPOTENT, at=at)
    assert rescued(lane, dispatch_id) == ("SENT" if at == "recorded" else "PENDING")
    if at != "recorded":
        row = read(lane, dispatch_id)
        assert (row["last_error_code"], row["rescues"], row["attempts"]) == ("WORKER_DIED", 1, 0)
        assert row["first_claimed_at"] is not None  # it may have left: the key's age goes on
    drain(lane, runtime)
    assert status(lane, dispatch_id) == "SENT"
    assert len(accepted(lane)) == 1
    assert len(requests(lane)) == (2 if at == "sent" else 1)
    assert {(r.key, r.sha256) for r in requests(lane)} == {(f"{dispatch_id}-1", requests(lane)[0].sha256)}


@pytest.mark.parametrize("at", UNMARKED_POINTS)
@pytest.mark.parametrize("kind", [LOOKUP, BLIND])
def test_what_was_not_marked_has_not_left_and_is_sent_once_by_the_next_worker(
    parcels_url: str, redis_url: str, runtime: Runtime, ledger: Path, kind: GatewayKind, at: str
) -> None:
    lane = ledger_lane(kind, ledger)
    (dispatch_id,) = enqueue(lane)
    crash(parcels_url, redis_url, ledger, kind=kind, at=at)
    assert rescued(lane, dispatch_id) == "PENDING"
    assert read(lane, dispatch_id)["first_claimed_at"] is None  # no doubt: it may even be cancelled
    drain(lane, runtime)
    assert status(lane, dispatch_id) == "SENT"
    assert len(requests(lane)) == 1


@pytest.mark.parametrize("at", MARKED_POINTS)
def test_what_was_marked_and_blind_is_in_doubt_visible_never_resent_and_can_be_settled(
    parcels_url: str, redis_url: str, runtime: Runtime, ledger: Path, at: str
) -> None:
    lane = ledger_lane(BLIND, ledger)
    (dispatch_id,) = enqueue(lane)
    crash(parcels_url, redis_url, ledger, kind=BLIND, at=at)
    assert rescued(lane, dispatch_id) == "FAILED"
    row = read(lane, dispatch_id)
    assert (row["in_doubt"], row["last_error_code"], row["attempts"]) == (True, "WORKER_DIED_SENDING", 1)
    (attempt,) = attempts(dispatch_id)
    assert (attempt["outcome"], attempt["finished_at"]) == ("UNKNOWN", None)
    drain(lane, runtime)
    assert len(requests(lane)) == (at == "sent")
    settle = operator.confirm_sent if at == "sent" else operator.confirm_not_sent
    assert settle(lane, dispatch_id, actor="ann", reason="the provider's list says so").changed
    drain(lane, runtime)
    assert status(lane, dispatch_id) == "SENT"
    assert len(accepted(lane)) == 1


@pytest.mark.parametrize("at", MARKED_POINTS)
def test_what_was_marked_is_looked_up_and_sent_once(
    parcels_url: str, redis_url: str, runtime: Runtime, ledger: Path, at: str
) -> None:
    lane = ledger_lane(LOOKUP, ledger)
    (dispatch_id,) = enqueue(lane)
    crash(parcels_url, redis_url, ledger, kind=LOOKUP, at=at)
    assert rescued(lane, dispatch_id) == "FAILED"
    assert look_up_now(lane, dispatch_id) == 1
    if at == "sent":
        assert read(lane, dispatch_id)["provider_message_id"] == "m-1"
        assert column(attempts(dispatch_id), "outcome") == ["ACCEPTED"]
    else:
        assert status(lane, dispatch_id) == "PENDING"
        assert read(lane, dispatch_id)["last_error_code"] == "LOOKED_UP_ABSENT"
        drain(lane, runtime)
    assert status(lane, dispatch_id) == "SENT"
    assert len(accepted(lane)) == len(requests(lane)) == 1


@pytest.mark.parametrize("kind", [LOOKUP, BLIND])
def test_what_was_recorded_before_the_crash_stays_sent(
    parcels_url: str, redis_url: str, runtime: Runtime, ledger: Path, kind: GatewayKind
) -> None:
    lane = ledger_lane(kind, ledger)
    (dispatch_id,) = enqueue(lane)
    crash(parcels_url, redis_url, ledger, kind=kind, at="recorded")
    assert rescue_now(lane) == 0
    drain(lane, runtime)
    assert status(lane, dispatch_id) == "SENT"
    assert len(requests(lane)) == 1


def look_up_now(lane: Lane, dispatch_id: UUID) -> int:
    """Ask now, whenever the next look-up would be due."""
    change(lane, dispatch_id, lookup_at="now() - interval '1 s'")
    with connected():
        return look_up_due(lane, worker_id=0)


def test_another_worker_takes_up_a_killed_ones_row_within_seconds(
    parcels_url: str, redis_url: str, presence: Presence, ledger: Path
) -> None:
    lane = ledger_lane(IDEMPOTENT, ledger)
    (dispatch_id,) = enqueue(lane)
    order: dict[str, Any] = {
        "database_url": parcels_url,
        "redis_url": redis_url,
        "kind": IDEMPOTENT,
        "ledger": str(ledger),
    }
    with worker(ready=False, stop_at="accepted", **order) as victim:
        until(lambda: is_stopped(victim.pid), what="the victim holds the row")
        with worker(**order):
            assert status(lane, dispatch_id) == "QUEUED"
            with within(5):
                victim.process.kill()
                taken_seconds = until(lambda: status(lane, dispatch_id) == "SENT", what="the row is taken up again")
    print(f"taken up and sent {taken_seconds:.2f} s after kill -9")
    assert len(accepted(lane)) == 1


def is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


# --- who is dead, and who is not


def take(lane: Lane, worker_id: int, *, mark: bool = False, token: UUID | None = None) -> dict[str, Any]:
    """Claim one row under somebody's number; with `mark`, as if its send had begun."""
    with transaction(f"worker:{worker_id}"):
        (row,) = claim_due(lane, token=token or uuid4(), worker_id=worker_id, limit=1)
        if mark:
            assert mark_sending(lane, row, worker_id=worker_id)
    return dict(row)


@pytest.fixture
def dead(parcels_url: str) -> int:
    """The number of a worker that ended without a word: its process is gone, and nothing says goodbye."""
    gone = Presence(parcels_url, role=APPLICATION_ROLE)
    worker_id = gone.open()
    gone.close()
    with owner(parcels_url) as cursor:
        cursor.execute(
            "UPDATE dispatch_workers SET stopped_at = NULL, pid = 4194305, process_started = '1' WHERE id = %s",
            (worker_id,),
        )
    return worker_id


@pytest.mark.parametrize("mark", [False, True], ids=["unmarked", "marked"])
@pytest.mark.parametrize("kind", GatewayKind)
def test_a_living_holders_rows_are_never_taken(presence: Presence, kind: GatewayKind, mark: bool) -> None:
    lane = parcel_lane(FakeGateway(kind, deadline_seconds=0))
    (dispatch_id,) = enqueue(lane)
    take(lane, presence.worker_id, mark=mark)
    change(lane, dispatch_id, claimed_at="now() - interval '1 day'")
    assert rescue_now(lane, by=presence.worker_id + 1000) == 0
    assert status(lane, dispatch_id) == "QUEUED"


def test_a_marked_row_waits_for_one_deadline_for_its_sender_may_still_write(parcels_url: str, dead: int) -> None:
    lane = parcel_lane(FakeGateway(BLIND, deadline_seconds=30))
    (dispatch_id,) = enqueue(lane)
    take(lane, dead, mark=True)
    assert rescue_now(lane) == 0
    change(lane, dispatch_id, sending_at="clock_timestamp() - interval '29 s'")
    assert rescue_now(lane) == 0
    change(lane, dispatch_id, sending_at="clock_timestamp() - interval '31 s'")
    since_start = "SELECT clock_timestamp() - pg_postmaster_start_time()"
    with connected():
        waits = fetch_one(since_start)[0] < timedelta(seconds=30)
    assert rescue_now(lane) == (0 if waits else 1)


def test_right_after_a_restart_of_postgresql_a_free_lock_proves_nothing_for_one_deadline(
    parcels_url: str, dead: int
) -> None:
    lane = parcel_lane(FakeGateway(BLIND, deadline_seconds=86_400))  # the server has not been up for a day
    (dispatch_id,) = enqueue(lane)
    take(lane, dead, mark=True)
    change(lane, dispatch_id, sending_at="now() - interval '2 days'")
    assert rescue_now(lane) == 0


def test_a_claim_that_no_thread_of_this_process_works_on_is_given_back_after_a_moment(presence: Presence) -> None:
    lane = parcel_lane(FakeGateway())
    (dispatch_id,) = enqueue(lane)
    row = take(lane, presence.worker_id)
    mine = presence.worker_id
    assert rescue_now(lane, by=mine) == 0  # the reply may just be on its way
    change(lane, dispatch_id, claimed_at="now() - interval '1 min'")
    assert rescue_now(lane, by=mine, live=frozenset({row["claim_token"]})) == 0  # a thread works on it
    assert rescue_now(lane, by=mine) == 1
    assert status(lane, dispatch_id) == "PENDING"


def test_a_row_claimed_anew_in_between_is_left_alone(parcels_url: str, dead: int, presence: Presence) -> None:
    lane = parcel_lane(FakeGateway())
    enqueue(lane)
    take(lane, dead)
    assert rescue_now(lane) == 1
    row = take(lane, presence.worker_id)
    assert rescue_now(lane) == 0
    assert status(lane, row["id"]) == "QUEUED"


@pytest.mark.parametrize("kind", GatewayKind)
def test_a_row_whose_workers_die_again_and_again_fails_and_says_so(
    parcels_url: str, dead: int, kind: GatewayKind
) -> None:
    lane = parcel_lane(FakeGateway(kind))
    (dispatch_id,) = enqueue(lane)
    for number in range(5):
        assert status(lane, dispatch_id) == "PENDING", number
        take(lane, dead)
        assert rescue_now(lane) == 1
    row = read(lane, dispatch_id)
    assert (row["status"], row["last_error_code"]) == ("FAILED", "WORKER_DIED_REPEATEDLY")
    assert row["in_doubt"] == (kind is IDEMPOTENT)  # only there may an unmarked row have left
    assert f"worker {dead} ended" in history(dispatch_id)[-1]["reason"]


def test_a_rescue_is_signed_and_reasoned(parcels_url: str, dead: int) -> None:
    lane = parcel_lane(FakeGateway())
    (dispatch_id,) = enqueue(lane)
    take(lane, dead)
    rescue_now(lane, by=77)
    last = history(dispatch_id)[-1]
    assert (last["actor"], last["reason"]) == ("rescuer:77", f"worker {dead} ended while it held this dispatch")


# --- paused, then alive again


def paused(parcels_url: str, redis_url: str, ledger: Path, kind: GatewayKind, stop_at: str) -> Any:
    return worker(
        ready=False,
        database_url=parcels_url,
        redis_url=redis_url,
        kind=kind,
        ledger=str(ledger),
        stop_at=stop_at,
    )


def lose_lock(parcels_url: str) -> None:
    """As a network that forgets a sleeping connection: the server ends the session, the process knows nothing."""
    with owner(parcels_url) as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'dispatchlog worker lock'"
        )
        assert cursor.rowcount == 1


@pytest.mark.parametrize("kind", [LOOKUP, BLIND])
def test_a_worker_that_lost_its_lock_while_paused_sends_nothing_when_it_goes_on(
    parcels_url: str, redis_url: str, waker: Any, ledger: Path, kind: GatewayKind
) -> None:
    lane = ledger_lane(kind, ledger)
    (dispatch_id,) = enqueue(lane)
    with paused(parcels_url, redis_url, ledger, kind, "connected") as sleeper:
        until(lambda: is_stopped(sleeper.pid), what="the worker is paused")
        assert rescue_now(lane) == 0  # paused is not dead: its lock is held
        lose_lock(parcels_url)
        assert rescued(lane, dispatch_id) == "FAILED"
        if kind is LOOKUP:
            assert look_up_now(lane, dispatch_id) == 0  # absent, but its sender lives: no proof
        assert read(lane, dispatch_id)["in_doubt"]
        sleeper.go_on()
        until(lambda: attempts(dispatch_id)[0]["outcome"] == "NOT_SENT", what="the worker noticed")
    assert requests(lane) == []
    assert read(lane, dispatch_id)["in_doubt"]
    if kind is LOOKUP:
        assert look_up_now(lane, dispatch_id) == 1  # now its sender has said that it ended
        assert status(lane, dispatch_id) == "PENDING"


@pytest.mark.parametrize("kind", GatewayKind)
def test_a_late_record_is_refused_by_the_token_but_its_acceptance_proves_the_row_sent(
    parcels_url: str, redis_url: str, waker: Any, ledger: Path, kind: GatewayKind
) -> None:
    lane = ledger_lane(kind, ledger)
    (dispatch_id,) = enqueue(lane)
    with paused(parcels_url, redis_url, ledger, kind, "accepted") as sleeper:
        until(lambda: is_stopped(sleeper.pid), what="the worker is paused")
        lose_lock(parcels_url)
        assert rescued(lane, dispatch_id) == ("PENDING" if kind is IDEMPOTENT else "FAILED")
        change(lane, dispatch_id, due_at="now() + interval '1 h'")
        sleeper.go_on()
        until(lambda: status(lane, dispatch_id) == "SENT", what="the late proof")
    assert len(requests(lane)) == 1
    assert moves(dispatch_id)[-1] == ("PENDING" if kind is IDEMPOTENT else "FAILED", "SENT")
    assert read(lane, dispatch_id)["provider_message_id"] == "m-1"
    assert not read(lane, dispatch_id)["in_doubt"]


def test_a_late_no_does_not_undo_what_became_of_the_row_meanwhile(
    parcels_url: str, dead: int, runtime: Runtime
) -> None:
    lane = parcel_lane(FakeGateway())
    (dispatch_id,) = enqueue(lane)
    late = take(lane, dead)
    rescue_now(lane)
    drain(lane, runtime)
    verdict = judge(Transient("late"), late, kind=IDEMPOTENT, retry=lane.retry)
    with transaction("late"):
        assert record(lane, late["claim_token"], [Result(late, verdict, 1.0)], worker_id=dead) == set()
    assert status(lane, dispatch_id) == "SENT"
    assert column(attempts(dispatch_id), "outcome") == ["ACCEPTED", "TRANSIENT"]  # its evidence is kept all the same


# --- look-ups


def in_doubt(lane: Lane, worker_id: int, **columns: Any) -> UUID:
    """A row whose sender vanished in mid-send."""
    (dispatch_id,) = enqueue(lane, **columns)
    take(lane, worker_id, mark=True)
    change(lane, dispatch_id, sending_at="clock_timestamp() - interval '1 min'")
    assert rescue_now(lane) == 1
    return dispatch_id


def lookup_lane(**options: Any) -> tuple[Lane, FakeGateway]:
    gateway = FakeGateway(LOOKUP, deadline_seconds=0)
    return parcel_lane(gateway, **options), gateway


@pytest.mark.parametrize(
    ("change_worker", "proved"),
    [
        ("pid = 4194305", True),
        ("process_started = 'earlier'", True),
        ("boot_id = 'an earlier boot', pid = %(me)s", True),
        ("pid = %(me)s, process_started = %(started)s", False),
        ("host = 'another machine'", False),
        ("boot_id = ''", False),
    ],
)
def test_absent_frees_a_row_only_when_its_sender_is_proved_to_have_ended(
    parcels_url: str, dead: int, change_worker: str, proved: bool
) -> None:
    lane, _ = lookup_lane()
    dispatch_id = in_doubt(lane, dead)
    with owner(parcels_url) as cursor:
        cursor.execute(
            f"UPDATE dispatch_workers SET stopped_at = NULL, {change_worker} WHERE id = %(id)s",
            {"id": dead, "me": os.getpid(), "started": process_start(os.getpid())},
        )
    assert look_up_now(lane, dispatch_id) == int(proved)
    assert status(lane, dispatch_id) == ("PENDING" if proved else "FAILED")
    assert read(lane, dispatch_id)["in_doubt"] is not proved


def test_absent_counts_only_if_the_end_was_known_for_the_indexing_delay_before_the_question(
    parcels_url: str, dead: int
) -> None:
    gateway = FakeGateway(LOOKUP, deadline_seconds=0, indexing_delay=timedelta(minutes=5))
    lane = parcel_lane(gateway)
    dispatch_id = in_doubt(lane, dead)
    assert look_up_now(lane, dispatch_id) == 0  # gone, but what it wrote last may not be shown yet
    with owner(parcels_url) as cursor:
        cursor.execute("UPDATE dispatch_workers SET stopped_at = stopped_at - interval '5 min' WHERE id = %s", (dead,))
        assert cursor.rowcount == 1
    assert look_up_now(lane, dispatch_id) == 1
    assert status(lane, dispatch_id) == "PENDING"


def test_without_an_answer_a_row_is_asked_about_less_and_less_and_then_stays_for_a_person(
    parcels_url: str, dead: int
) -> None:
    lane, gateway = lookup_lane()
    dispatch_id = in_doubt(lane, dead)
    gateway.script_look_ups(*[LookUpAnswer.UNSURE] * 20)
    waits = []
    for _ in range(MOST_LOOKUPS):
        assert look_up_now(lane, dispatch_id) == 0
        row = read(lane, dispatch_id)
        waits.append(row["lookup_at"] and round((row["lookup_at"] - row["updated_at"]).total_seconds()))
    assert waits == [60, 60, 60, 120, 240, None]
    assert (row["status"], row["in_doubt"]) == ("FAILED", True)
    with connected():
        assert look_up_due(lane, worker_id=0) == 0
    assert gateway.look_ups == MOST_LOOKUPS


def test_two_workers_do_not_ask_about_one_row_at_the_same_time(parcels_url: str, dead: int) -> None:
    lane, gateway = lookup_lane()
    dispatch_id = in_doubt(lane, dead)
    gateway.script_look_ups(LookUpAnswer.UNSURE)
    look_up_now(lane, dispatch_id)
    with connected():
        assert look_up_due(lane, worker_id=1) == 0
    assert gateway.look_ups == 1


def test_a_row_that_could_no_longer_be_composed_is_still_asked_about(parcels_url: str, dead: int) -> None:
    def gone(row: Row) -> Letter:
        raise CannotCompose("its order is gone")

    lane, gateway = lookup_lane()
    dispatch_id = in_doubt(lane, dead)
    with transaction("test"):
        execute(
            "INSERT INTO dispatch_payloads (dispatch_id, generation, lane, recipient, content_type, sha256, body)"
            " VALUES (%s, 1, 'parcel', 'r', 'text/plain', 'x', 'as sent')",
            (dispatch_id,),
        )
    lane = parcel_lane(gateway, compose=gone)
    gateway.script_look_ups(LookUpAnswer.FOUND)
    assert look_up_now(lane, dispatch_id) == 1
    assert status(lane, dispatch_id) == "SENT"


def test_absent_with_no_attempts_left_ends_the_doubt_and_leaves_the_row_to_an_operator(
    parcels_url: str, dead: int
) -> None:
    lane, _ = lookup_lane()
    dispatch_id = in_doubt(lane, dead)
    change(lane, dispatch_id, attempts="3")
    assert look_up_now(lane, dispatch_id) == 1
    row = read(lane, dispatch_id)
    assert (row["status"], row["in_doubt"], row["last_error_code"]) == ("FAILED", False, "LOOKED_UP_ABSENT")
    assert operator.retry(lane, [dispatch_id], actor="ann")[0].changed


def test_a_look_up_that_fails_changes_nothing(parcels_url: str, dead: int) -> None:
    class Unreachable(FakeGateway):
        def look_up(self, *args: Any, **options: Any) -> Any:
            raise Transient("down")

    gateway = Unreachable(LOOKUP, deadline_seconds=0)
    lane = parcel_lane(gateway)
    dispatch_id = in_doubt(lane, dead)
    assert look_up_now(lane, dispatch_id) == 0
    assert read(lane, dispatch_id)["in_doubt"]


@pytest.mark.parametrize("kind", [IDEMPOTENT, BLIND])
def test_only_providers_that_can_be_asked_are_asked(parcels_url: str, kind: GatewayKind) -> None:
    gateway = FakeGateway(kind)
    with connected():
        assert look_up_due(parcel_lane(gateway), worker_id=0) == 0
    assert gateway.look_ups == 0


def test_found_late_proves_even_a_row_that_was_put_back(
    parcels_url: str, dead: int, connections: Callable[[], Any]
) -> None:
    """An operator said `not sent` while the look-up was on its way; the provider says otherwise."""
    gateway = FakeGateway(LOOKUP, deadline_seconds=0)
    lane = parcel_lane(gateway)
    dispatch_id = in_doubt(lane, dead)

    class Meanwhile(FakeGateway):
        def look_up(self, *args: Any, **options: Any) -> Any:
            operator.confirm_not_sent(lane, dispatch_id, actor="ann", reason="nothing in their list")
            return gateway.look_up(*args, **options)

    gateway.script_look_ups(LookUpAnswer.FOUND)
    assert look_up_now(parcel_lane(Meanwhile(LOOKUP, deadline_seconds=0)), dispatch_id) == 1
    assert status(lane, dispatch_id) == "SENT"
