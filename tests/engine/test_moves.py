"""PostgreSQL itself accepts exactly the legal moves, logs each of them once, and keeps what happened."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog.engine import claims, ledger
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.errors import NaiveInstant, NotInTransaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.states import MOVES, Status, is_legal
from dispatchlog.gateways.fake import FakeGateway
from tests.servers import Servers, fresh_database

from .lane import application, change, enqueue, history, install, moves, owner, parcel_lane, read

CLAIMED = "claim_token = gen_random_uuid(), claimed_by = 1, claimed_at = now()"
COLUMNS = {
    Status.PENDING: "sent_at = NULL",
    Status.QUEUED: f"sent_at = NULL, {CLAIMED}",
    Status.SENT: "sent_at = now()",
    Status.FAILED: "sent_at = NULL",
    Status.CANCELLED: "sent_at = NULL",
}
PATHS: dict[Status, tuple[Status, ...]] = {
    Status.PENDING: (),
    Status.QUEUED: (Status.QUEUED,),
    Status.SENT: (Status.QUEUED, Status.SENT),
    Status.FAILED: (Status.QUEUED, Status.FAILED),
    Status.CANCELLED: (Status.CANCELLED,),
}


def put(cursor: Any, status: Status) -> UUID:
    """A row that has come to `status` by legal moves."""
    dispatch_id = uuid4()
    cursor.execute("INSERT INTO parcels (id, body_text) VALUES (%s, 'a')", (dispatch_id,))
    for step in PATHS[status]:
        move(cursor, dispatch_id, step)
    return dispatch_id


def move(cursor: Any, dispatch_id: UUID, target: Status) -> None:
    cursor.execute(
        f"UPDATE parcels SET status = %s, {COLUMNS[target]}, updated_at = now() WHERE id = %s", (target, dispatch_id)
    )


def status_of(cursor: Any, dispatch_id: UUID) -> str:
    cursor.execute("SELECT status FROM parcels WHERE id = %s", (dispatch_id,))
    return str(cursor.fetchone()[0])


def logged(cursor: Any, dispatch_id: UUID) -> list[tuple[str | None, str]]:
    cursor.execute(
        "SELECT from_status, to_status FROM public.dispatch_transitions WHERE dispatch_id = %s ORDER BY id",
        (dispatch_id,),
    )
    return [tuple(row) for row in cursor.fetchall()]


@pytest.fixture
def lane(parcels_url: str) -> Lane:
    return parcel_lane(FakeGateway())


@pytest.fixture(scope="module")
def shared_url(servers: Servers) -> Iterator[str]:
    """One database for all the tests of raw SQL, for each makes its own rows; a database for each would take longer."""
    with fresh_database(servers, f"test_moves_{os.getpid()}", migrated=True) as url:
        install(url)
        yield url


@pytest.mark.parametrize(("source", "target"), [(s, t) for s, t in itertools.product(Status, Status) if s is not t])
def test_the_database_accepts_exactly_the_legal_moves_and_logs_each_once(
    shared_url: str, source: Status, target: Status
) -> None:
    with application(shared_url) as cursor:
        dispatch_id = put(cursor, source)
        before = logged(cursor, dispatch_id)
        if is_legal(source, target):
            move(cursor, dispatch_id, target)
            assert status_of(cursor, dispatch_id) == target
            assert logged(cursor, dispatch_id) == [*before, (source, target)]
        else:
            with pytest.raises(psycopg2.Error, match=f"{source} -> {target} is not a legal move") as refused:
                move(cursor, dispatch_id, target)
            assert refused.value.pgcode == "DL002"
            assert status_of(cursor, dispatch_id) == source
            assert logged(cursor, dispatch_id) == before


@pytest.mark.parametrize("status", Status)
def test_staying_where_it_is_is_no_move_and_is_not_logged(shared_url: str, status: Status) -> None:
    with application(shared_url) as cursor:
        dispatch_id = put(cursor, status)
        before = logged(cursor, dispatch_id)
        cursor.execute("UPDATE parcels SET status = %s, updated_at = now() WHERE id = %s", (status, dispatch_id))
        assert logged(cursor, dispatch_id) == before


def test_the_database_holds_the_same_table_of_moves_as_the_code(parcels_url: str) -> None:
    with connected():
        assert {tuple(row) for row in fetch_all("SELECT from_status, to_status FROM dispatch_moves")} == set(MOVES)


def test_the_application_cannot_change_the_table_of_moves(shared_url: str) -> None:
    with application(shared_url) as cursor, pytest.raises(psycopg2.errors.InsufficientPrivilege):
        cursor.execute("INSERT INTO dispatch_moves VALUES ('SENT', 'PENDING')")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_a_dispatch_can_only_begin_pending(shared_url: str, status: Status) -> None:
    sent_at = "now()" if status is Status.SENT else "NULL"
    with application(shared_url) as cursor, pytest.raises(psycopg2.Error, match="begins PENDING") as refused:
        cursor.execute(
            "INSERT INTO parcels (id, status, sent_at, claim_token, claimed_by, claimed_at)"
            f" VALUES (gen_random_uuid(), %s, {sent_at}, gen_random_uuid(), 1, now())",
            (status,),
        )
    assert refused.value.pgcode == "DL001"


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM parcels",
        "TRUNCATE parcels",
        "UPDATE parcels SET id = gen_random_uuid()",
        "UPDATE parcels SET seq = seq + 1000",
        "UPDATE parcels SET created_at = now()",
        (
            "INSERT INTO dispatch_transitions (lane, dispatch_id, to_status, actor, database_user)"
            " VALUES ('parcel', gen_random_uuid(), 'SENT', 'x', 'x')"
        ),
        "UPDATE dispatch_transitions SET actor = 'somebody else'",
        "DELETE FROM dispatch_transitions",
        "TRUNCATE dispatch_transitions",
        "UPDATE operator_actions SET actor = 'somebody else'",
        "DELETE FROM operator_actions",
        "UPDATE dispatch_payloads SET body = 'other bytes'",
        "DELETE FROM dispatch_payloads",
        "DELETE FROM dispatch_attempts",
        "UPDATE dispatch_attempts SET claim_token = gen_random_uuid()",
        "UPDATE dispatch_lanes SET mutable_when_final = '{status}'",
        "ALTER TABLE parcels DISABLE TRIGGER log_update",
        "SET session_replication_role = replica",
    ],
)
def test_the_application_has_no_right_to(shared_url: str, statement: str) -> None:
    with owner(shared_url) as cursor:
        # The role's rights alone are meant, so it signs in by itself: not as an owner who took its role.
        cursor.execute("SELECT current_database()")
        login = f"app_{cursor.fetchone()[0]}"
        cursor.execute(f"CREATE ROLE {login} LOGIN IN ROLE dispatchlog_app")
    try:
        with owner(shared_url) as cursor:
            put(cursor, Status.PENDING)
            cursor.execute(f"SET SESSION AUTHORIZATION {login}")
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(statement)
    finally:
        with owner(shared_url) as cursor:
            cursor.execute(f"DROP ROLE {login}")


@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM parcels", "DL004"),
        ("TRUNCATE parcels", "DL004"),
        ("MERGE INTO parcels t USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE", "DL004"),
        ("UPDATE parcels SET id = gen_random_uuid()", "DL002"),
        ("UPDATE parcels SET seq = seq + 1000", "DL002"),
        ("UPDATE parcels SET status = 'SENT', sent_at = now() WHERE status = 'CANCELLED'", "DL002"),
        (
            (
                "INSERT INTO parcels (id, status, claim_token, claimed_by, claimed_at)"
                " VALUES (gen_random_uuid(), 'QUEUED', gen_random_uuid(), 1, now())"
            ),
            "DL001",
        ),
        ("UPDATE dispatch_transitions SET actor = 'somebody else'", "DL004"),
        ("DELETE FROM dispatch_transitions", "DL004"),
        ("TRUNCATE dispatch_transitions", "DL004"),
        ("DELETE FROM operator_actions", "DL004"),
    ],
)
def test_triggers_refuse_even_the_owner_and_even_on_a_replica(
    shared_url: str, statement: str, code: str, role: str
) -> None:
    with owner(shared_url) as cursor:
        put(cursor, Status.PENDING)
        put(cursor, Status.CANCELLED)
        cursor.execute(f"SET session_replication_role = {role}")
        with pytest.raises(psycopg2.Error) as refused:
            cursor.execute(statement)
    assert refused.value.pgcode == code


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO parcels (id) VALUES (%(id)s) ON CONFLICT (id) DO UPDATE SET status = 'PENDING', sent_at = NULL",
        (
            "MERGE INTO parcels t USING (SELECT %(id)s::uuid AS id) s ON t.id = s.id"
            " WHEN MATCHED THEN UPDATE SET status = 'PENDING', sent_at = NULL"
        ),
        "WITH x AS (UPDATE parcels SET status = 'PENDING', sent_at = NULL WHERE id = %(id)s RETURNING 1) TABLE x",
        "UPDATE ONLY parcels SET status = 'PENDING', sent_at = NULL WHERE id = %(id)s",
    ],
)
def test_no_statement_leads_out_of_a_final_state(shared_url: str, statement: str) -> None:
    with application(shared_url) as cursor:
        dispatch_id = put(cursor, Status.SENT)
        with pytest.raises(psycopg2.Error) as refused:
            cursor.execute(statement, {"id": dispatch_id})
        assert refused.value.pgcode == "DL002"
        assert status_of(cursor, dispatch_id) == "SENT"


def test_two_rows_cannot_change_places(shared_url: str) -> None:
    with owner(shared_url) as cursor:
        first, second = put(cursor, Status.PENDING), put(cursor, Status.PENDING)
        with pytest.raises(psycopg2.Error):
            cursor.execute(
                "UPDATE parcels SET id = CASE WHEN id = %(a)s THEN %(b)s::uuid ELSE %(a)s::uuid END",
                {"a": first, "b": second},
            )


@pytest.mark.parametrize("status", [Status.SENT, Status.CANCELLED])
@pytest.mark.parametrize(
    "assignment",
    [
        "body_text = 'other'",
        "provider_message_id = 'forged'",
        "attempts = 9",
        "generation = generation + 1",
        "last_error = 'other'",
    ],
)
def test_the_body_and_the_receipt_of_a_final_row_are_frozen(shared_url: str, status: Status, assignment: str) -> None:
    with application(shared_url) as cursor:
        dispatch_id = put(cursor, status)
        with pytest.raises(psycopg2.Error, match="frozen") as refused:
            cursor.execute(f"UPDATE parcels SET {assignment} WHERE id = %s", (dispatch_id,))
    assert refused.value.pgcode == "DL003"


def test_only_failed_rows_can_be_in_doubt(shared_url: str) -> None:
    with application(shared_url) as cursor:
        dispatch_id = put(cursor, Status.PENDING)
        with pytest.raises(psycopg2.errors.CheckViolation):
            cursor.execute("UPDATE parcels SET in_doubt = true WHERE id = %s", (dispatch_id,))


def test_a_temporary_table_named_like_the_log_does_not_shadow_it(parcels_url: str) -> None:
    with application(parcels_url) as cursor:
        dispatch_id = put(cursor, Status.PENDING)
        for table in ("dispatch_transitions", "dispatch_moves", "dispatch_lanes"):
            cursor.execute(f"CREATE TEMP TABLE {table} (LIKE public.{table})")
        cursor.execute("INSERT INTO pg_temp.dispatch_moves VALUES ('CANCELLED', 'PENDING')")
        move(cursor, dispatch_id, Status.CANCELLED)
        cursor.execute("SELECT count(*) FROM pg_temp.dispatch_transitions")
        assert cursor.fetchone()[0] == 0
        assert logged(cursor, dispatch_id) == [(None, "PENDING"), ("PENDING", "CANCELLED")]
        with pytest.raises(psycopg2.Error, match="not a legal move"):
            move(cursor, dispatch_id, Status.PENDING)


def test_a_batch_writes_one_transition_for_each_row_with_actor_reason_token_and_database_user(lane: Lane) -> None:
    ids = enqueue(lane, 50)
    token = uuid4()
    with transaction("worker:7", "because"):
        assert len(claims.claim_due(lane, token=token, worker_id=7, limit=100)) == 50
    with connected():
        user = fetch_one("SELECT session_user")[0]
    for dispatch_id in ids:
        created, claimed = history(dispatch_id)
        assert (created["from_status"], created["to_status"], created["actor"]) == (None, "PENDING", "test")
        assert (claimed["from_status"], claimed["to_status"]) == ("PENDING", "QUEUED")
        assert (claimed["actor"], claimed["reason"], claimed["claim_token"]) == ("worker:7", "because", token)
        assert claimed["lane"] == "parcel"
        assert claimed["database_user"] == user
        assert created["at"] <= claimed["at"]


def test_a_batch_without_a_common_reason_logs_each_rows_own_last_error(lane: Lane) -> None:
    first, second = enqueue(lane, 2)
    with transaction("test"):
        ledger.hold(lane, [first], code="A", reason="no address")
        ledger.hold(lane, [second], code="B", reason="too old")
    assert [history(i)[-1]["reason"] for i in (first, second)] == ["no address", "too old"]


def test_a_move_without_an_actor_is_logged_as_unattributed(parcels_url: str) -> None:
    with application(parcels_url) as cursor:
        dispatch_id = put(cursor, Status.CANCELLED)
        cursor.execute("SELECT session_user")
        user = cursor.fetchone()[0]
        cursor.execute("SELECT DISTINCT actor FROM dispatch_transitions WHERE dispatch_id = %s", (dispatch_id,))
        assert cursor.fetchall() == [(f"unattributed:{user}",)]


def test_a_nested_transactions_signature_does_not_leak_into_the_outer_one(lane: Lane) -> None:
    first, second = enqueue(lane, 2)
    with transaction("outer", "outer reason"):
        with transaction("inner", "inner reason"):
            ledger.cancel_waiting(lane, id=first)
        ledger.cancel_waiting(lane, id=second)
    assert (history(first)[-1]["actor"], history(first)[-1]["reason"]) == ("inner", "inner reason")
    assert (history(second)[-1]["actor"], history(second)[-1]["reason"]) == ("outer", "outer reason")


def test_a_nested_transaction_that_fails_leaves_the_outer_signature_in_force(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane)
    with transaction("outer"):
        with pytest.raises(RuntimeError), transaction("inner"):
            raise RuntimeError("inner work failed")
        ledger.cancel_waiting(lane, id=dispatch_id)
    assert history(dispatch_id)[-1]["actor"] == "outer"


def test_a_signature_ends_with_its_transaction(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane)
    with connected():
        with transaction("somebody"):
            pass
        execute("UPDATE parcels SET status = 'CANCELLED' WHERE id = %s", (dispatch_id,))
    assert history(dispatch_id)[-1]["actor"].startswith("unattributed:")


def test_a_transaction_that_rolls_back_leaves_neither_move_nor_log(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane)

    def fail_late() -> None:
        with transaction("test"):
            ledger.cancel_waiting(lane, id=dispatch_id)
            raise RuntimeError("the caller failed")

    with pytest.raises(RuntimeError):
        fail_late()
    assert moves(dispatch_id) == [(None, "PENDING")]


@pytest.mark.parametrize(
    "call",
    [
        lambda lane: ledger.enqueue(lane, [{"body_text": "a"}]),
        lambda lane: ledger.mark_sending(lane, {}, worker_id=1),
        lambda lane: ledger.record(lane, uuid4(), [], worker_id=1),
        lambda lane: ledger.prove_sent(lane, []),
        lambda lane: ledger.release(lane, uuid4(), []),
        ledger.expire_due,
        lambda lane: ledger.hold(lane, [], code="A", reason="a"),
        lambda lane: ledger.cancel_waiting(lane, body_text="a"),
        lambda lane: claims.claim_due(lane, token=uuid4(), worker_id=1, limit=1),
    ],
    ids=["enqueue", "mark_sending", "record", "prove_sent", "release", "expire_due", "hold", "cancel_waiting", "claim"],
)
def test_the_ledger_refuses_to_move_anything_outside_a_transaction(lane: Lane, call: Callable[[Lane], object]) -> None:
    with connected(), pytest.raises(NotInTransaction):
        call(lane)


def test_enqueue_skips_a_row_that_is_there_already(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane)
    assert enqueue(lane, id=dispatch_id) == []
    assert moves(dispatch_id) == [(None, "PENDING")]


def test_enqueue_keeps_the_columns_of_rows_that_have_different_ones(lane: Lane) -> None:
    with transaction("test"):
        first, second, third = ledger.enqueue(
            lane, [{"body_text": "a"}, {"body_text": "b", "subject_id": "s"}, {"body_text": "c"}]
        )
    assert [read(lane, i)["subject_id"] for i in (first, second, third)] == [None, "s", None]
    assert read(lane, first)["seq"] < read(lane, second)["seq"] < read(lane, third)["seq"]


def test_enqueue_refuses_an_instant_without_a_time_zone(lane: Lane) -> None:
    from datetime import datetime

    with pytest.raises(NaiveInstant, match="due_at"):
        enqueue(lane, due_at=datetime(2026, 1, 1))  # noqa: DTZ001  the point of the test


def test_search_keys_are_kept_in_lower_case_and_once(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane, search_keys=["Kit-1", "kit-1", "A@Example.org", ""])
    with connected():
        found = fetch_all("SELECT key, lane FROM dispatch_search WHERE dispatch_id = %s ORDER BY key", (dispatch_id,))
    assert [tuple(row) for row in found] == [("a@example.org", "parcel"), ("kit-1", "parcel")]


def test_the_key_is_the_id_and_the_generation(lane: Lane) -> None:
    (dispatch_id,) = enqueue(lane)
    change(lane, dispatch_id, generation="2")
    assert read(lane, dispatch_id)["idempotency_key"] == f"{dispatch_id}-2"
