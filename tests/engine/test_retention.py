"""Old rows leave in small batches through one function of the owner; what is open, in doubt or kept back stays."""

from __future__ import annotations

import importlib
import json
import threading
import time
from contextlib import closing
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import pytest

import models
from dispatchlog.engine.database import connected, execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.retention import runs
from dispatchlog.retention.holds import NoSuchHold, Scope, keep, let_go
from dispatchlog.retention.kept import KEPT
from dispatchlog.retention.policies import TooShort, due, policies, policy_named, set_days
from tests.engine.lane import application, enqueue, owner, parcel_lane, read

HANGING = [
    {"table": table, "column": "dispatch_id"}
    for table in ("dispatch_attempts", "dispatch_payloads", "dispatch_escalations")
]
OLD = "now() - interval '400 days'"


@pytest.fixture
def lane(parcels_url: str) -> Lane:
    """The parcel lane with the policies that a new lane's migration gives it."""
    settled = "t.seq > 0 AND t.status <> 'QUEUED' AND t.status IN ('SENT', 'CANCELLED', 'FAILED') AND NOT t.in_doubt"
    with owner(parcels_url) as cursor:
        cursor.execute("SELECT dispatchlog_let_retire('parcels')")
        cursor.execute(
            "INSERT INTO retention_policies (name, target, act, lane, age, condition, hanging, why, least_days, days)"
            " VALUES ('parcel', 'parcels', 'delete', 'parcel', 't.updated_at', %s, %s, 'a test', 30, 365)",
            (settled, json.dumps(HANGING)),
        )
        cursor.execute(
            "INSERT INTO retention_policies (name, target, act, lane, age, condition, empties, why, least_days, days)"
            " VALUES ('parcel texts', 'parcels', 'empty', 'parcel', 't.updated_at',"
            " 't.status IN (''SENT'', ''CANCELLED'') AND t.body_text IS NOT NULL', '{\"body_text\": \"NULL\"}', 'a test',"
            " 7, 30)"
        )
    return parcel_lane(FakeGateway(GatewayKind.IDEMPOTENT))


def settle(lane: Lane, *ids: UUID, status: str = "SENT", at: str = OLD, in_doubt: bool = False) -> None:
    """Move rows to their end, as if long ago, with what hangs on a row."""
    via = "QUEUED" if status in ("SENT", "FAILED") else status
    sent = f"{at}" if status == "SENT" else "NULL"
    for each in ids:
        with transaction("test"):
            if via != status:
                execute(
                    f"UPDATE {lane.table} SET status = 'QUEUED', claim_token = gen_random_uuid(), claimed_by = 1,"
                    " claimed_at = now() WHERE id = %s",
                    (each,),
                )
            execute(
                f"UPDATE {lane.table} SET status = %s, sent_at = {sent}, in_doubt = %s, updated_at = {at} WHERE id = %s",
                (status, in_doubt, each),
            )
            execute(
                "INSERT INTO dispatch_payloads (dispatch_id, generation, lane, recipient, content_type, sha256, body,"
                f" created_at) VALUES (%s, 1, %s, 'jo@example.org', 'text/plain', '', 'what was said', {at})",
                (each, lane.name),
            )


def run(*names: str, **more: Any) -> dict[str, int]:
    done = runs.run(actor="test", chosen=[policy_named(name) for name in names], pause=lambda: None, **more)
    return {each.policy: each.rows for each in done}


def ids_of(lane: Lane) -> set[UUID]:
    with connected():
        return {row[0] for row in fetch_all(f"SELECT id FROM {lane.table}")}


def count(table: str) -> int:
    with connected():
        return int(fetch_one(f"SELECT count(*) FROM {table}")[0])


def migration(name: str) -> Any:
    return importlib.import_module(f"migrations.{name}")


def test_every_table_has_a_policy_or_a_reason_to_stay(lane: Lane) -> None:
    in_policies = {each.target for each in policies()} - {"parcels"}
    everything = {model._meta.table_name for model in models.ALL_TABLES}
    assert in_policies <= everything
    assert set(KEPT) <= everything
    assert everything - in_policies == set(KEPT) - in_policies
    with connected():
        deletes = {row[0] for row in fetch_all("SELECT target FROM retention_policies WHERE act = 'delete'")}
    assert not deletes & set(KEPT)
    pruned = {table for table, why in KEPT.items() if "`audit`" in why}
    assert pruned == set(migration("0029_audit_chain").PRUNABLE)
    assert all(reason for reason in KEPT.values())


def test_every_policy_can_be_counted_and_run_on_an_empty_log(lane: Lane) -> None:
    assert {each.name: due(each) for each in policies()} == dict.fromkeys((each.name for each in policies()), 0)
    assert runs.run(actor="test", pause=lambda: None) == []


def test_only_settled_rows_that_are_old_enough_leave_with_what_hangs_on_them(lane: Lane) -> None:
    old, young, failed, cancelled, doubtful, waiting = enqueue(lane, 6, search_keys=["jo@example.org"])
    settle(lane, old)
    settle(lane, young, at="now() - interval '364 days'")
    settle(lane, failed, status="FAILED")
    settle(lane, cancelled, status="CANCELLED")
    settle(lane, doubtful, status="FAILED", in_doubt=True)
    with transaction("test"):
        execute(f"UPDATE {lane.table} SET updated_at = {OLD} WHERE id = %s", (waiting,))
    moves = count("dispatch_transitions")

    assert due(policy_named("parcel")) == 3
    assert run("parcel") == {"parcel": 3}
    assert ids_of(lane) == {young, doubtful, waiting}
    assert count("dispatch_search") == 3
    assert count("dispatch_payloads") == 2
    assert count("dispatch_transitions") == moves  # what happened is another record, with its own age
    assert run("parcel") == {}
    with connected():
        assert fetch_all("SELECT policy, rows, days, started_by FROM retention_runs WHERE rows > 0") == [
            ("parcel", 3, 365, "test")
        ]


def test_the_text_of_a_final_row_is_emptied_and_nothing_else_of_it_changes(lane: Lane) -> None:
    sent, failed = enqueue(lane, 2)
    settle(lane, sent, at="now() - interval '40 days'")
    settle(lane, failed, status="FAILED", at="now() - interval '40 days'")
    before = read(lane, sent)
    assert run("parcel texts") == {"parcel texts": 1}
    assert read(lane, sent) == {**before, "body_text": None}
    assert read(lane, failed)["body_text"] is not None  # it may be tried again
    with pytest.raises(peewee.PeeweeException, match=r"frozen"), transaction("test"):
        execute(f"UPDATE {lane.table} SET body_text = 'another' WHERE id = %s", (sent,))


def test_payloads_are_emptied_and_their_hash_stays(lane: Lane, parcels_url: str) -> None:
    with owner(parcels_url) as cursor:
        cursor.execute(
            "UPDATE retention_policies SET target = 'dispatch_payloads', age = 't.created_at', lane = NULL,"
            " condition = 't.body IS NOT NULL', empties = %s WHERE name = 'parcel texts'",
            (json.dumps({"body": "NULL", "recipient": "''", "headers": "'{}'"}),),
        )
    (sent,) = enqueue(lane)
    settle(lane, sent)
    assert run("parcel texts") == {"parcel texts": 1}
    with connected():
        assert fetch_all("SELECT body, recipient, sha256 IS NULL FROM dispatch_payloads") == [(None, "", False)]


@pytest.mark.parametrize(
    ("scope", "columns", "value"),
    [
        (Scope.DISPATCH, {}, None),
        (Scope.SUBJECT, {"subject_id": "Order:81"}, "order:81"),
        (Scope.ORDER, {"subject_id": "order:81"}, "81"),
        (Scope.PATIENT, {"subject_id": "patient:81"}, "81"),
        (Scope.PATIENT, {"search_keys": ["Jo@example.org"]}, " jo@EXAMPLE.org "),
    ],
)
def test_what_is_kept_back_stays_until_it_is_let_go(
    lane: Lane, scope: Scope, columns: dict[str, Any], value: str | None
) -> None:
    (kept,) = enqueue(lane, **columns)
    (other,) = enqueue(lane, subject_id="order:810", search_keys=["another@example.org"])
    settle(lane, kept, other)
    hold = keep(scope, value or str(kept), actor="counsel", reason="a dispute")
    assert run("parcel", "parcel texts") == {"parcel": 1}
    assert ids_of(lane) == {kept}
    assert read(lane, kept)["body_text"] is not None
    assert keep(scope, value or str(kept), actor="another", reason="the same").id == hold.id

    let_go(hold.id, actor="counsel", reason="settled")
    with pytest.raises(NoSuchHold):
        let_go(hold.id, actor="counsel", reason="settled")
    assert run("parcel") == {"parcel": 1}


def test_a_hold_needs_a_reason_and_is_kept_on_record(lane: Lane) -> None:
    with pytest.raises(ReasonRequired):
        keep(Scope.ORDER, "81", actor="counsel", reason=" ")
    hold = keep(Scope.ORDER, "81", actor="counsel", reason="a dispute")
    with pytest.raises(ReasonRequired):
        let_go(hold.id, actor="counsel", reason="")
    with connected():
        assert fetch_all("SELECT actor, action, reason FROM operator_actions") == [
            ("counsel", "legal_hold", "a dispute")
        ]


def test_the_application_deletes_nothing_by_itself_and_neither_does_the_owner(lane: Lane, parcels_url: str) -> None:
    (old,) = enqueue(lane)
    settle(lane, old)
    with application(parcels_url) as cursor:
        for statement in (
            "DELETE FROM parcels",
            "SELECT set_config('dispatchlog.retires', 'parcels', false); DELETE FROM parcels",
            "DELETE FROM dispatch_payloads",
            "UPDATE retention_policies SET condition = 'true'",
            "UPDATE retention_policies SET days = 1 WHERE name = 'parcel'",
            "INSERT INTO retention_runs (policy, days, started_by) VALUES ('parcel', 1, 'me')",
            "DELETE FROM legal_holds",
        ):
            with pytest.raises(psycopg2.Error):
                cursor.execute(statement)
    with owner(parcels_url) as cursor:
        for statement in ("DELETE FROM parcels", "TRUNCATE parcels", "DELETE FROM kit_registrations"):
            with pytest.raises(psycopg2.Error, match="refused"):
                cursor.execute(statement)
    assert ids_of(lane) == {old}


def test_a_policy_has_a_least_and_its_change_is_on_record(lane: Lane) -> None:
    with pytest.raises(TooShort):
        set_days("parcel", 29, actor="admin", reason="space")
    assert set_days("parcel", None, actor="admin", reason="a study").days is None
    (old,) = enqueue(lane)
    settle(lane, old)
    assert (due(policy_named("parcel")), run("parcel")) == (0, {})
    assert set_days("parcel", 30, actor="admin", reason="it is over").days == 30
    assert run("parcel") == {"parcel": 1}
    with connected():
        assert fetch_all("SELECT detail FROM operator_actions WHERE action = 'retention_set' ORDER BY id") == [
            ({"policy": "parcel", "from": 365, "to": None},),
            ({"policy": "parcel", "from": None, "to": 30},),
        ]


def test_a_row_that_somebody_works_on_is_passed_over(lane: Lane, parcels_url: str) -> None:
    first, second = enqueue(lane, 2)
    settle(lane, first, second)
    with closing(psycopg2.connect(parcels_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM parcels WHERE id = %s FOR UPDATE", (first,))
        assert run("parcel") == {"parcel": 1}
    assert ids_of(lane) == {first}


def test_a_run_ends_at_its_limit_and_the_next_goes_on(lane: Lane) -> None:
    settle(lane, *enqueue(lane, 7))
    assert run("parcel", most=5, batch=2) == {"parcel": 5}
    assert run("parcel", most=5, batch=2) == {"parcel": 2}


def test_a_policy_that_meets_an_error_keeps_no_other_back(lane: Lane, parcels_url: str) -> None:
    (row,) = enqueue(lane)
    settle(lane, row)
    with owner(parcels_url) as cursor:
        cursor.execute(
            "INSERT INTO retention_policies (name, target, act, lane, age, condition, why, least_days, days)"
            " VALUES ('broken', 'parcels', 'delete', 'parcel', 't.updated_at', '1 / t.attempts = 0', 'a test', 30, 365)"
        )
    with pytest.raises(peewee.DatabaseError, match="division by zero"):
        run("broken", "parcel")
    assert ids_of(lane) == set()


def _fill(url: str, rows: int) -> None:
    """Rows that were sent long ago, with an attempt, a payload and a key each."""
    with owner(url) as cursor:
        cursor.execute(
            "INSERT INTO parcels (id, search_keys) SELECT gen_random_uuid(), ARRAY['k' || n] FROM generate_series(1, %s) n",
            (rows,),
        )
        cursor.execute(
            f"UPDATE parcels SET status = 'SENT', sent_at = {OLD}, updated_at = {OLD} WHERE status = 'PENDING'"
        )
        cursor.execute(
            "INSERT INTO dispatch_payloads (dispatch_id, generation, lane, recipient, content_type, sha256, body)"
            " SELECT id, 1, 'parcel', '', '', '', 'what was said' FROM parcels p WHERE NOT EXISTS"
            " (SELECT FROM dispatch_payloads d WHERE d.dispatch_id = p.id)"
        )


def _vacuumed(url: str) -> tuple[int, int]:
    """Dead rows and pages of the lane's table, its indexes included, after a vacuum."""
    with owner(url) as cursor:
        cursor.execute("VACUUM (ANALYZE) parcels")
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'parcels'")
        dead = cursor.fetchone()[0]
        cursor.execute("SELECT pg_total_relation_size('parcels') / 8192")
        return dead, cursor.fetchone()[0]


def test_a_hundred_thousand_rows_leave_while_others_write(lane: Lane, parcels_url: str) -> None:
    _fill(parcels_url, 100_000)
    slowest, written, over = [0.0], [0], threading.Event()

    def write() -> None:
        while not over.is_set():
            began = time.perf_counter()
            enqueue(lane)
            slowest[0], written[0] = max(slowest[0], time.perf_counter() - began), written[0] + 1
            time.sleep(0.01)

    writer = threading.Thread(target=write)
    writer.start()
    began = time.perf_counter()
    try:
        done = runs.run(
            actor="test", chosen=[policy_named("parcel")], most=200_000, batch=1000, pause=lambda: time.sleep(0.01)
        )
    finally:
        over.set()
        writer.join()
    seconds = time.perf_counter() - began
    with owner(parcels_url) as cursor:
        cursor.execute("SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'parcels'")
        dead_before = cursor.fetchone()[0]
    dead, _ = _vacuumed(parcels_url)
    print(
        f"100,000 rows in {seconds:.1f} s beside {written[0]} inserts, the slowest of which took"
        f" {1000 * slowest[0]:.0f} ms; dead rows {dead_before} -> {dead}"
    )
    assert [(each.policy, each.rows) for each in done] == [("parcel", 100_000)]
    assert len(ids_of(lane)) == written[0] > 0
    assert count("dispatch_payloads") == 0
    assert dead == 0


def test_a_table_whose_old_rows_leave_does_not_grow(lane: Lane, parcels_url: str) -> None:
    pages = []
    for _ in range(5):
        _fill(parcels_url, 3000)
        run("parcel")
        pages.append(_vacuumed(parcels_url)[1])
    assert max(pages[2:]) <= pages[1] * 1.2, pages  # from the second on, room that was made is used again


def test_the_hours_of_the_night_may_cross_midnight() -> None:
    from datetime import UTC, datetime

    from dispatchlog.settings import Settings

    def hours(begins: int, ends: int) -> list[int]:
        settings = Settings(retention_from_hour=begins, retention_until_hour=ends)
        return [hour for hour in range(24) if runs.is_night(datetime(2026, 1, 5, hour, tzinfo=UTC), settings)]

    assert hours(1, 5) == [1, 2, 3, 4]
    assert hours(22, 2) == [0, 1, 22, 23]
    assert hours(3, 3) == []
