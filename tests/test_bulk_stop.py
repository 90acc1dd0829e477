"""A person stops a bulk run: what was done stays done, the rest is untouched and says so, whatever dies on the way."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog import bulk, bulk_end
from dispatchlog.bulk_end import StopRefused
from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.migrate import migrate_down, migrate_up
from dispatchlog.people import create_user, disable_user, set_roles
from dispatchlog.settings import Settings
from tests.dashboard.crowds import failed_forms, how_many
from tests.engine.processes import until
from tests.test_bulk_runs import acted, app, begun, frozen, results, state

__all__ = ["app"]  # a fixture

UNTOUCHED = ("STOPPED", "STOPPED")
# The beginning of a program that works on the run whose id it is given.
PROCESS = (
    "import os, sys, uuid; from dispatchlog import bulk, bulk_end; from dispatchlog.settings import get_settings;"
    "from dispatchlog.engine.database import configure; s = get_settings();"
    "configure(s.database_url, role=s.application_role); run = uuid.UUID(sys.argv[1]);"
)


def stop(run_id: UUID) -> None:
    bulk_end.stop(run_id, reason="the wrong selection", actor="zoe@example.org")


def carry_out_one_batch(run_id: UUID) -> None:
    asked = iter([False, True])
    bulk.carry_out(run_id, stopping=lambda: next(asked))


@contextmanager
def held_in_the_middle(settings: Settings, number: str) -> Iterator[psycopg2.extensions.connection]:
    """Whoever acts on this form waits in the middle of it, until the connection that comes back is closed."""
    with closing(psycopg2.connect(settings.database_url)) as owner:
        owner.autocommit = True
        with owner.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION wait_here() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" IF NEW.order_number = '{number}' THEN PERFORM pg_advisory_xact_lock(4711); END IF; RETURN NEW; END $$;"
                "CREATE TRIGGER a BEFORE UPDATE ON health_information_dispatch_logs"
                " FOR EACH ROW EXECUTE FUNCTION wait_here(); SELECT pg_advisory_lock(4711)"
            )
        yield owner


def somebody_waits_there() -> bool:
    with connected():
        return bool(
            fetch_all(
                "SELECT FROM pg_locks JOIN pg_database d ON d.oid = database AND datname = current_database()"
                " WHERE locktype = 'advisory' AND objid = 4711 AND NOT granted"
            )
        )


def test_what_was_done_stays_done_and_the_rest_is_untouched(app: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    failed_forms(5)
    run_id = begun()
    carry_out_one_batch(run_id)
    stop(run_id)
    bulk.go_on()  # the scheduler's look
    bulk.carry_out(run_id)  # a message that came late
    assert state(run_id) == ("STOPPED", 2, 0)
    assert results(run_id) == [("DONE", "PENDING")] * 2 + [UNTOUCHED] * 3
    assert sum(acted()) == how_many("health_information_dispatch_logs", "status = 'PENDING'") == 2
    with connected():
        said = fetch_all("SELECT DISTINCT message FROM bulk_items WHERE result = 'STOPPED'")
        logged = fetch_all(
            "SELECT actor, reason, detail->>'run', detail->>'acted_on_by_then' FROM operator_actions"
            " WHERE action = 'bulk_stop'"
        )
    assert said == [("not touched: stopped by zoe@example.org",)]
    assert logged == [("zoe@example.org", "the wrong selection", str(run_id), "2")]


def test_a_stop_that_dies_half_way_holds_and_is_finished_by_whoever_comes_next(app: Settings) -> None:
    failed_forms(3)
    run_id = begun()
    died = (
        PROCESS + "bulk_end.settle_rest = lambda _: os.kill(os.getpid(), 9);"
        "bulk_end.stop(run, reason='the wrong selection', actor='zoe@example.org')"
    )
    assert subprocess.run([sys.executable, "-c", died, str(run_id)], check=False).returncode == -9
    assert state(run_id) == ("RUNNING", 0, 0)
    bulk.go_on()
    assert state(run_id) == ("STOPPED", 0, 0)
    assert results(run_id) == [UNTOUCHED] * 3
    assert acted() == [0, 0, 0]


def test_a_stop_waits_for_nobody_and_a_batch_in_hand_is_done_as_a_whole(
    app: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 3)
    failed_forms(5)
    run_id = begun()
    with held_in_the_middle(app, "VO-2"):
        worker = threading.Thread(target=bulk.carry_out, args=(run_id,))
        worker.start()
        until(somebody_waits_there)
        stop(run_id)
        assert results(run_id) == [("", "")] * 3 + [UNTOUCHED] * 2
        assert state(run_id) == ("RUNNING", 0, 0)
    worker.join(timeout=120)
    assert results(run_id) == [("DONE", "PENDING")] * 3 + [UNTOUCHED] * 2
    assert state(run_id) == ("STOPPED", 3, 0)


def test_what_a_killed_worker_had_in_hand_is_untouched(app: Settings) -> None:
    failed_forms(3)
    run_id = begun()
    with held_in_the_middle(app, "VO-2"):
        worker = subprocess.Popen([sys.executable, "-c", PROCESS + "bulk.carry_out(run)", str(run_id)])
        until(somebody_waits_there)
        stop(run_id)
        worker.kill()
        worker.wait()
    until(lambda: not somebody_waits_there())
    until(lambda: bulk.go_on() or state(run_id)[0] != "RUNNING", what="PostgreSQL noticed the death")
    assert state(run_id) == ("STOPPED", 0, 0)
    assert acted() == [0, 0, 0]


def test_stopped_in_the_midst_of_several_workers_each_row_is_done_once_or_untouched(
    app: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    failed_forms(120)
    run_id = begun()
    stopped, next_batch = threading.Event(), bulk._next_batch

    def not_to_the_end(run_id: UUID) -> int | None:
        if state(run_id)[1] > 60:
            assert stopped.wait(60)
        return next_batch(run_id)

    monkeypatch.setattr(bulk, "_next_batch", not_to_the_end)
    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(bulk.carry_out, run_id) for _ in range(4)]
        until(lambda: state(run_id)[1] > 10)
        stop(run_id)
        stopped.set()
        for each in working:
            each.result(timeout=120)
    became, done, unchanged = state(run_id)
    found = Counter(result for result, _ in results(run_id))
    assert (became, unchanged) == ("STOPPED", 0)
    assert found == {"DONE": done, "STOPPED": 120 - done}
    assert sorted(acted()) == [0] * (120 - done) + [1] * done


def test_a_stop_that_came_too_late_leaves_a_run_that_is_done(app: Settings) -> None:
    failed_forms(2)
    run_id = begun()
    with held_in_the_middle(app, "VO-1"):
        worker = threading.Thread(target=bulk.carry_out, args=(run_id,))
        worker.start()
        until(somebody_waits_there)
        stop(run_id)
    worker.join(timeout=120)
    assert state(run_id) == ("DONE", 2, 0)


def test_what_does_not_run_is_not_stopped(app: Settings) -> None:
    failed_forms(3)
    preview, ended, running = frozen(), begun(where="order_number = 'VO-1'"), begun(where="order_number = 'VO-2'")
    bulk.carry_out(ended)
    for run_id, code in ((uuid4(), "RUN_NOT_FOUND"), (preview, "NOT_BEGUN"), (ended, "ALREADY_OVER")):
        with pytest.raises(StopRefused) as refused:
            stop(run_id)
        assert refused.value.code == code
    with pytest.raises(ReasonRequired):
        bulk_end.stop(running, reason="  ", actor="zoe@example.org")
    stop(running)
    with pytest.raises(StopRefused, match="it is over"):
        stop(running)
    assert how_many("operator_actions", "action = 'bulk_stop'") == 1
    assert (state(preview)[0], state(ended)[0]) == ("PREVIEW", "DONE")


def test_a_stopped_run_stays_stopped_when_the_schema_goes_back(app: Settings) -> None:
    failed_forms(3)
    half, whole = begun(where="order_number <> 'VO-1'"), begun(where="order_number = 'VO-1'")
    stop(half)
    with closing(psycopg2.connect(app.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "UPDATE bulk_runs SET stopped_at = now(), stopped_by = 'zoe', stop_reason = 'w' WHERE id = %s",
            (str(whole),),
        )
        owner.commit()
    while "0014_bulk_stops" not in migrate_down(app.database_url):
        pass
    assert {state(half)[0], state(whole)[0]} == {"DONE"}
    assert results(half) + results(whole) == [("LEFT_OUT", "STOPPED")] * 3
    migrate_up(app.database_url)
    assert state(half)[0] == "DONE"


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (disable_user, "the account in whose name it went on was closed"),
        (lambda email: set_roles(email, ["viewer"]), "whoever it went on for may not act on dispatches any more"),
    ],
    ids=["closed", "demoted"],
)
def test_a_run_ends_when_whoever_began_it_may_act_no_more(
    app: Settings, monkeypatch: pytest.MonkeyPatch, happens: Callable[[str], object], why: str
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    create_user("bea@example.org", roles=["support"])
    failed_forms(5)
    run_id = begun()
    carry_out_one_batch(run_id)
    happens("bea@example.org")
    bulk.go_on()
    assert [result for result, _ in results(run_id)] == ["DONE"] * 2 + ["STOPPED"] * 3
    assert how_many("health_information_dispatch_logs", "status = 'FAILED'") == 3
    with connected():
        kept = fetch_all("SELECT state, stopped_by, stop_reason FROM bulk_runs")
    assert kept == [("STOPPED", "dispatchlog", why)]
