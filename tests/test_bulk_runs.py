"""A bulk run acts on each of its dispatches once, whatever stops it, and leaves alone what moved since it was previewed."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog import bulk
from dispatchlog.bulk import BulkError, Choice
from dispatchlog.engine import operator
from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_dicts
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.gateways.fake import FakeGateway
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from tests.dashboard.crowds import crowd, failed_forms, how_many, ids, set_all
from tests.engine.lane import application, install, parcel_lane

FORMS = "health_information"


@pytest.fixture
def app(settings_env: Settings) -> Iterator[Settings]:
    registry.forget()
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    yield settings_env
    if not database.is_closed():
        database.close()
    database.close_all()
    registry.forget()


def frozen(action: str = "retry", *, lane: str = FORMS, verdict: str = "SAFE", where: str = "true") -> UUID:
    """A previewed run of a lane's dispatches as they stand."""
    table = registry.lane(lane).table
    with connected():
        rows = fetch_dicts(f"SELECT *, %s::text AS lane FROM {table} WHERE {where} ORDER BY seq", (lane,))
    choices = [Choice(row, verdict, "DEFINITE_NO") for row in rows]
    return bulk.freeze(action, choices, selection="all", more=False, actor="ann@example.org")


def begun(action: str = "retry", **more: str) -> UUID:
    run_id = frozen(action, **more)
    with connected():
        number = fetch_all("SELECT total FROM bulk_runs WHERE id = %s", (run_id,))[0][0]
    bulk.begin(run_id, causes=(), expected=number, reason="the provider is back", actor="bea@example.org")
    return run_id


def results(run_id: UUID) -> list[tuple[str, str]]:
    with connected():
        return [
            (row[0], row[1])
            for row in fetch_all(
                "SELECT coalesce(result, ''), coalesce(code, '') FROM bulk_items WHERE run_id = %s ORDER BY position",
                (run_id,),
            )
        ]


def state(run_id: UUID) -> tuple[str, int, int]:
    with connected():
        return fetch_all("SELECT state, done, unchanged FROM bulk_runs WHERE id = %s", (run_id,))[0]


def acted() -> list[int]:
    """How often each form was retried by a person, by the history and by the moves."""
    with connected():
        rows = fetch_all(
            "SELECT (SELECT count(*) FROM operator_actions a WHERE a.dispatch_id = f.id AND a.action = 'retry'),"
            " (SELECT count(*) FROM dispatch_transitions m WHERE m.dispatch_id = f.id AND m.from_status = 'FAILED'"
            " AND m.to_status = 'PENDING')"
            " FROM health_information_dispatch_logs f"
        )
    assert all(row[0] == row[1] for row in rows)
    return [row[0] for row in rows]


def test_a_run_retries_each_dispatch_and_signs_it(app: Settings) -> None:
    failed_forms(3)
    run_id = begun()
    bulk.carry_out(run_id)
    assert results(run_id) == [("DONE", "PENDING")] * 3
    assert state(run_id) == ("DONE", 3, 0)
    with connected():
        signed = fetch_all("SELECT DISTINCT actor, reason FROM operator_actions WHERE action = 'retry'")
        moves = fetch_all("SELECT DISTINCT actor, reason FROM dispatch_transitions WHERE from_status = 'FAILED'")
        begin = fetch_all("SELECT actor, detail->>'chosen' FROM operator_actions WHERE action = 'bulk_retry'")
    assert signed == moves == [("bea@example.org", "the provider is back")]
    assert begin == [("bea@example.org", "3")]


def test_a_run_cancels_for_the_given_reason(app: Settings) -> None:
    failed_forms(2)
    run_id = begun("cancel")
    bulk.carry_out(run_id)
    assert how_many("health_information_dispatch_logs", "status = 'CANCELLED'") == 2
    assert state(run_id) == ("DONE", 2, 0)


def test_what_moved_after_the_preview_is_left_as_it_is(app: Settings) -> None:
    failed_forms(4)
    run_id = frozen()
    first, second, third, _ = ids(FORMS)
    lane = registry.lane(FORMS)
    operator.cancel(lane, [first], actor="zoe", reason="ordered twice")
    operator.correct_recipient(lane, second, "new@example.org", actor="zoe")
    operator.retry(lane, [third], actor="zoe")
    bulk.begin(run_id, causes=(), expected=None, reason="mended", actor="bea")
    bulk.carry_out(run_id)
    assert results(run_id) == [("MOVED", "CANCELLED"), ("MOVED", "FAILED"), ("MOVED", "PENDING"), ("DONE", "PENDING")]
    assert sorted(acted()) == [0, 0, 1, 1]
    assert state(run_id) == ("DONE", 1, 3)


def test_what_the_engine_refuses_is_reported_with_its_words(app: Settings) -> None:
    failed_forms(2)
    set_all(FORMS, "expires_at = now() - interval '1 h'", "order_number = 'VO-1'")
    run_id = begun()
    bulk.carry_out(run_id)
    assert results(run_id) == [("REFUSED", "EXPIRED"), ("DONE", "PENDING")]
    with connected():
        (message,) = fetch_all("SELECT message FROM bulk_items WHERE result = 'REFUSED'")[0]
    assert "it was of use until" in message


def test_only_safe_ones_and_chosen_causes_are_acted_on(app: Settings) -> None:
    failed_forms(2)
    run_id = frozen(verdict="REVIEW")
    with pytest.raises(BulkError, match="nothing to do"):
        bulk.begin(run_id, causes=["SAME_CAUSE"], expected=None, reason="mended", actor="bea")
    assert state(run_id)[0] == "PREVIEW"
    assert bulk.begin(run_id, causes=["DEFINITE_NO"], expected=None, reason="mended", actor="bea") == 2
    blocked = frozen(verdict="BLOCKED")
    with pytest.raises(BulkError, match="nothing to do"):
        bulk.begin(blocked, causes=["DEFINITE_NO"], expected=None, reason="mended", actor="bea")


def test_above_a_hundred_the_number_has_to_be_typed(app: Settings) -> None:
    failed_forms(101)
    run_id = frozen()
    for wrong in (None, 100, 102):
        with pytest.raises(BulkError, match="type 101"):
            bulk.begin(run_id, causes=(), expected=wrong, reason="mended", actor="bea")
    assert bulk.begin(run_id, causes=(), expected=101, reason="mended", actor="bea") == 101


@pytest.mark.parametrize("action", ["retry", "cancel"])
def test_it_needs_a_reason(app: Settings, action: str) -> None:
    failed_forms(1)
    run_id = frozen(action)
    with pytest.raises(ReasonRequired):
        bulk.begin(run_id, causes=(), expected=None, reason="  ", actor="bea")
    assert results(run_id) == [("", "")]


def test_a_run_is_begun_once(app: Settings) -> None:
    failed_forms(1)
    run_id = begun()
    with pytest.raises(BulkError, match="already begun"):
        bulk.begin(run_id, causes=(), expected=None, reason="mended", actor="zoe")
    with pytest.raises(BulkError, match="no bulk run"):
        bulk.begin(uuid4(), causes=(), expected=None, reason="mended", actor="zoe")


def test_a_preview_is_not_carried_out(app: Settings) -> None:
    failed_forms(1)
    run_id = frozen()
    bulk.carry_out(run_id)
    bulk.go_on()
    assert results(run_id) == [("", "")]
    assert acted() == [0]


def test_after_a_kill_the_run_goes_on_and_acts_on_nothing_twice(app: Settings) -> None:
    failed_forms(400)
    run_id = begun()
    program = (
        "import sys, uuid; from dispatchlog import bulk; from dispatchlog.settings import get_settings;"
        "from dispatchlog.engine.database import configure; s = get_settings();"
        "configure(s.database_url, role=s.application_role); bulk.BATCH = 7;"
        # After a hundred rows it waits to be killed, however late that is.
        "import itertools, time; batch, count = bulk._next_batch, itertools.count();"
        "bulk._next_batch = lambda run: time.sleep(600) if next(count) >= 15 else batch(run);"
        "bulk.carry_out(uuid.UUID(sys.argv[1]))"
    )
    kills = 0
    while state(run_id)[0] == "RUNNING" and kills < 3:
        before = state(run_id)[1]
        process = subprocess.Popen([sys.executable, "-c", program, str(run_id)])
        ends = time.monotonic() + 60
        while state(run_id)[1] < before + 7 and time.monotonic() < ends:
            time.sleep(0.005)
        process.kill()
        process.wait()
        kills += 1
    assert state(run_id)[0] == "RUNNING"
    bulk.go_on()
    assert state(run_id) == ("DONE", 400, 0)
    assert acted() == [1] * 400


def test_several_workers_on_one_run_share_it(app: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 5)
    failed_forms(120)
    run_id = begun()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(bulk.carry_out, run_id) for _ in range(4)]:
            done.result(timeout=120)
    assert state(run_id) == ("DONE", 120, 0)
    assert acted() == [1] * 120


def test_a_row_that_somebody_holds_is_come_back_to(app: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "_PATIENCE", 2)
    monkeypatch.setattr(bulk, "_PAUSE_SECONDS", 0.01)
    failed_forms(2)
    run_id = begun()
    with closing(psycopg2.connect(app.database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT FROM health_information_dispatch_logs WHERE order_number = 'VO-1' FOR UPDATE")
        bulk.carry_out(run_id)
        assert results(run_id) == [("", ""), ("DONE", "PENDING")]
        assert state(run_id)[0] == "RUNNING"
    bulk.go_on()
    assert state(run_id) == ("DONE", 2, 0)


def test_one_that_cannot_be_acted_on_does_not_hold_up_the_others(app: Settings) -> None:
    failed_forms(3)
    with closing(psycopg2.connect(app.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION refuse_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.order_number = 'VO-2' THEN"
            " RAISE EXCEPTION 'no' USING ERRCODE = 'DL002'; END IF; RETURN NEW; END $$;"
            "CREATE TRIGGER a BEFORE UPDATE ON health_information_dispatch_logs FOR EACH ROW EXECUTE FUNCTION refuse_one()"
        )
        owner.commit()
    run_id = begun()
    bulk.carry_out(run_id)
    assert results(run_id) == [("DONE", "PENDING"), ("REFUSED", "ERROR"), ("DONE", "PENDING")]
    assert state(run_id) == ("DONE", 2, 1)


def test_a_stopping_worker_leaves_the_rest_to_others(app: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 1)
    failed_forms(3)
    run_id = begun()
    asked = iter([False, True])
    bulk.carry_out(run_id, stopping=lambda: next(asked))
    assert state(run_id) == ("RUNNING", 1, 0)
    bulk.go_on()
    assert state(run_id) == ("DONE", 3, 0)


def test_runs_work_on_every_lane_and_on_several_at_once(app: Settings) -> None:
    install(app.database_url)
    lane = parcel_lane(FakeGateway(GatewayKind.BLIND))
    registry.register(lane)
    try:
        crowd(lane, 2)
        failed_forms(1)
        with connected():
            rows = fetch_dicts("SELECT *, 'parcel' AS lane FROM parcels") + fetch_dicts(
                "SELECT *, 'health_information' AS lane FROM health_information_dispatch_logs"
            )
        run_id = bulk.freeze(
            "cancel", [Choice(row, "SAFE", "NOT_SENT") for row in rows], selection="", more=False, actor="ann"
        )
        bulk.begin(run_id, causes=(), expected=None, reason="a drill", actor="ann")
        bulk.carry_out(run_id)
    finally:
        registry.unregister(lane)
    assert results(run_id) == [("DONE", "CANCELLED")] * 3


def test_a_lane_that_is_gone_is_reported(app: Settings) -> None:
    failed_forms(1)
    with connected():
        rows = fetch_dicts("SELECT *, 'pigeons' AS lane FROM health_information_dispatch_logs")
    run_id = bulk.freeze("retry", [Choice(rows[0], "SAFE", "DEFINITE_NO")], selection="", more=False, actor="ann")
    bulk.begin(run_id, causes=(), expected=None, reason="mended", actor="ann")
    bulk.carry_out(run_id)
    assert results(run_id) == [("GONE", "UNKNOWN_LANE")]


def test_old_previews_go_and_runs_stay(app: Settings) -> None:
    failed_forms(1)
    old, fresh, run_id = frozen(), frozen(), begun()
    with closing(psycopg2.connect(app.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute("UPDATE bulk_runs SET created_at = now() - interval '2 days' WHERE id <> %s", (str(fresh),))
        owner.commit()
    bulk.go_on()
    with connected():
        assert {row[0] for row in fetch_all("SELECT id FROM bulk_runs")} == {fresh, run_id}
        assert fetch_all("SELECT count(*) FROM bulk_items WHERE run_id = %s", (old,)) == [(0,)]


def test_the_database_keeps_what_was_begun(app: Settings) -> None:
    failed_forms(1)
    run_id = begun()
    with application(app.database_url) as cursor:
        with pytest.raises(psycopg2.Error, match="what was done is kept"):
            cursor.execute("DELETE FROM bulk_runs WHERE id = %s", (str(run_id),))
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("DELETE FROM bulk_items")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("UPDATE bulk_items SET dispatch_id = gen_random_uuid()")


def test_the_actor_takes_an_id_or_nothing_and_nothing_else(app: Settings) -> None:
    from tasks.bulk import run_bulk

    failed_forms(1)
    run_id = begun()
    for forged in ("no id", 7, ["x"], {"a": 1}, "' OR true --", str(uuid4())):
        run_bulk(forged)
    assert state(run_id)[0] == "RUNNING"
    run_bulk(str(run_id))
    assert state(run_id) == ("DONE", 1, 0)


def test_the_scheduler_wakes_every_run_that_has_begun(app: Settings) -> None:
    import redis

    from dispatchlog.broker import get_broker, get_waker
    from scheduler import timetable
    from tasks.bulk import run_bulk

    get_broker.cache_clear()
    get_waker.cache_clear()
    try:
        job = next(job for job in timetable(app) if job.name == "bulk-runs")
        assert job.period_seconds <= 60
        job.run()
        with redis.Redis.from_url(app.redis_url) as client:
            assert client.llen(f"dramatiq:{bulk.QUEUE}") == 1
    finally:
        get_broker.cache_clear()
        get_waker.cache_clear()
    failed_forms(2)
    first, second = begun(where="order_number = 'VO-1'"), begun(where="order_number = 'VO-2'")
    run_bulk("")
    assert (state(first)[0], state(second)[0]) == ("DONE", "DONE")


def test_a_broker_that_is_away_loses_only_the_wake_up(app: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from dispatchlog.broker import make_broker

    monkeypatch.setattr(bulk, "get_broker", lambda: make_broker("redis://127.0.0.1:1/0"))
    failed_forms(1)
    run_id = begun()
    assert bulk.wake(run_id) is False
    bulk.go_on()
    assert state(run_id)[0] == "DONE"
