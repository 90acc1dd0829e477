"""The servers beside the processes are killed, emptied and exhausted, and a dashboard dies in the middle of an action."""

from __future__ import annotations

import itertools
import json
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg2
import pytest
import redis
from playhouse.pool import MaxConnectionsExceeded

from dispatchlog.engine.database import configure, connected, database
from dispatchlog.engine.delivery import DATABASE_ERRORS
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.rescue import MOST_RESCUES
from tests.dashboard.api_support import order
from tests.engine.lane import APPLICATION_ROLE
from tests.engine.processes import until
from tests.scenarios.faults.installation import DASHBOARD, Installation
from tests.scenarios.faults.lanes import KINDS
from tests.scenarios.faults.stage import PATIENCE_SECONDS, WORKER, Stage, close_pool

IDEMPOTENT, LOOKUP, BLIND = GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP, GatewayKind.BLIND
CROWD = 16  # as many as the dashboard has threads
ACKNOWLEDGED_BEFORE_THE_KILL = 5


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("installation"))
    try:
        installation.start()
        yield installation
    finally:
        installation.stop()


def order_path() -> str:
    return f"/api/v1/kit-orders/{uuid4()}"


def test_postgresql_killed_in_mid_batch_loses_no_acknowledged_commit_and_sends_nothing_twice(
    installation: Installation,
) -> None:
    """The provider has accepted what is being sent, and PostgreSQL dies before anybody can say so."""
    stage = installation.stage
    stage.proxy.shut_gate()
    sending = {kind: [f"held_reply-{number}{kind.lower()}" for number in range(3)] for kind in GatewayKind}
    for kind, names in sending.items():
        stage.enqueue(kind, names)
    until(lambda: len(stage.proxy.held) == 9, seconds=PATIENCE_SECONDS, what="every send is accepted")
    acknowledged: list[str] = []
    enough = threading.Event()

    def kill() -> None:
        enough.wait(PATIENCE_SECONDS)
        installation.postgres.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    with suppress(*DATABASE_ERRORS):
        for number in itertools.count():
            stage.enqueue(IDEMPOTENT, [f"good-{number}"])
            acknowledged.append(f"good-{number}")
            if number == ACKNOWLEDGED_BEFORE_THE_KILL:
                enough.set()
    killer.join()
    stage.proxy.open_gate()
    installation.start_postgres()
    stage.enqueue(IDEMPOTENT, ["good-afterwards"])
    # A mail may be in doubt for the moment between its rescue and the record of what its sender knows.
    until(lambda: stage.statuses() == {"SENT"}, seconds=PATIENCE_SECONDS, what="everything is sent")
    assert stage.rows(IDEMPOTENT).keys() >= set(acknowledged)
    assert set(stage.accepted().values()) == {1}
    assert stage.disagreements() == []


def test_a_broker_that_is_killed_or_emptied_fails_nobody_and_changes_no_outcome(installation: Installation) -> None:
    stage, path = installation.stage, order_path()
    installation.valkey.kill()
    for kind in GatewayKind:
        stage.enqueue(kind, [f"good-nobroker{kind.lower()}"])
    reported = installation.call("PUT", path, order())
    assert reported.status == 200
    assert [kit["registrationStatus"] for kit in reported.json["kits"]] == ["PENDING", "PENDING"]
    assert "REDIS_AWAY" in stage.log(DASHBOARD).read_text()
    stage.settle(*GatewayKind)
    installation.valkey.start(same_port=True)
    with closing(redis.Redis.from_url(stage.redis_url)) as client:
        installation.worker.send_signal(signal.SIGSTOP)
        for kind in GatewayKind:
            stage.enqueue(kind, [f"good-forgotten{kind.lower()}"])
        assert client.hlen("dramatiq:chaos.msgs")
        client.flushall()
        installation.worker.send_signal(signal.SIGCONT)
        stage.settle(*GatewayKind)
        for kind in GatewayKind:
            stage.enqueue(kind, [f"good-again{kind.lower()}"])
        stage.settle(*GatewayKind)
        until(
            lambda: not client.hlen("dramatiq:chaos.msgs"), seconds=PATIENCE_SECONDS, what="messages are consumed again"
        )
    assert stage.statuses() == {"SENT"}
    assert stage.disagreements() == []


def test_while_postgresql_is_down_nothing_is_promised_and_afterwards_the_first_request_is_answered(
    installation: Installation,
) -> None:
    path = order_path()
    installation.postgres.kill()
    page, report, ready = (
        installation.call(*call) for call in (("GET", "/"), ("PUT", path, order()), ("GET", "/readyz"))
    )
    assert [answer.status for answer in (page, report, ready)] == [503, 503, 503]
    assert [page.headers["Retry-After"], report.headers["Retry-After"]] == ["5", "5"]
    assert report.json["error"]["code"] == "DATABASE_UNAVAILABLE"
    assert installation.call("GET", "/healthz").status == 200
    installation.start_postgres()
    assert installation.call("GET", path).status == 404
    assert installation.call("PUT", path, order()).status == 200
    assert len(installation.call("GET", path).json["kits"]) == 2


def test_a_crowd_before_a_frozen_postgresql_is_answered_too(installation: Installation) -> None:
    """More visitors at once than one of them after the other could be told within the client's time."""
    with installation.frozen_postgres(), ThreadPoolExecutor(CROWD) as callers:
        answers = list(callers.map(lambda _: installation.call("GET", order_path()), range(CROWD)))
    assert [answer.status for answer in answers] == [503] * CROWD
    until(lambda: installation.call("GET", order_path()).status == 404, what="it answers again")


def test_for_a_frozen_postgresql_nobody_waits_for_ever_nothing_is_sent_and_no_answer_is_lost(
    installation: Installation,
) -> None:
    stage, path = installation.stage, order_path()
    stage.proxy.shut_gate()
    for kind in GatewayKind:
        stage.enqueue(kind, [f"held_reply-frozen{kind.lower()}"])
    until(lambda: len(stage.proxy.held) == 3, seconds=PATIENCE_SECONDS, what="every send is accepted")
    until(lambda: installation.call("GET", path).status == 404, what="it answers, over a connection that is kept")
    worker = psutil.Process(installation.worker.pid)
    worker.suspend()
    for kind in (LOOKUP, BLIND):  # the third lane waits for a scheduler's sweep
        stage.enqueue(kind, [f"good-frozen{kind.lower()}"])
    with installation.frozen_postgres(), ThreadPoolExecutor(4) as callers:
        worker.resume()
        stage.proxy.open_gate()
        calls = (("GET", "/"), ("GET", "/readyz"), ("PUT", path, order()), ("GET", "/healthz"))
        page, ready, report, alive = callers.map(lambda call: installation.call(*call), calls)
        assert [answer.status for answer in (page, ready, report, alive)] == [503, 503, 503, 200]
        assert [page.headers["Retry-After"], report.headers["Retry-After"]] == ["5", "5"]
        assert not stage.proxy.sends.keys() & {"good-frozenlookup", "good-frozenblind"}
    until(lambda: installation.call("GET", path).status == 404, what="it answers again")
    until(lambda: stage.statuses() == {"SENT"}, seconds=PATIENCE_SECONDS, what="everything is sent")
    assert {sends for name, sends in stage.proxy.sends.items() if "-frozen" in name} == {1}
    assert stage.disagreements() == []


def test_a_dashboard_killed_in_the_middle_of_an_action_has_done_nothing_and_the_action_can_be_repeated(
    installation: Installation,
) -> None:
    reported = installation.accepted("PUT", order_path(), order())
    dispatch_id = reported["kits"][0]["registrationDispatchId"]
    cancel = ("POST", f"/api/v1/dispatches/kit_registration/{dispatch_id}/cancel", {"reason": "not wanted any more"})
    with ThreadPoolExecutor(1) as browser, installation.kits() as cursor:
        cursor.execute("SELECT FROM kit_registrations WHERE id = %s FOR UPDATE", (dispatch_id,))
        clicked = browser.submit(installation.accepted, *cancel)
        waiting = ("dispatchlog dashboard", "wait_event_type = 'Lock'")
        until(
            lambda: installation.backends(*waiting), seconds=PATIENCE_SECONDS, what="the action is in its transaction"
        )
        installation.kill_dashboard_workers()
        with pytest.raises((HTTPException, OSError)):
            clicked.result(PATIENCE_SECONDS)
    until(lambda: not installation.backends(*waiting), seconds=PATIENCE_SECONDS, what="its session has ended")
    assert moves(installation, dispatch_id) == ["PENDING"]
    installation.accepted(*cancel)
    assert moves(installation, dispatch_id) == ["PENDING", "CANCELLED"]


def moves(installation: Installation, dispatch_id: str) -> list[str]:
    with installation.kits() as cursor:
        cursor.execute("SELECT to_status FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id", (dispatch_id,))
        return [row[0] for row in cursor.fetchall()]


def test_without_a_free_connection_pages_say_so_rows_wait_and_afterwards_everything_goes_on(
    installation: Installation,
) -> None:
    stage, log = installation.stage, installation.stage.log(WORKER)
    said = log.stat().st_size
    with installation.every_connection_taken():
        stage.enqueue(BLIND, ["good-crowded"])
        page, report = installation.call("GET", "/"), installation.call("PUT", order_path(), order())
        assert [(a.status, a.headers["Retry-After"]) for a in (page, report)] == [(503, "5")] * 2
        until(
            lambda: "DATABASE_AWAY" in log.read_text()[said:],
            seconds=PATIENCE_SECONDS,
            what="the worker says that it finds no connection",
        )
        assert stage.rows(BLIND)["good-crowded"]["status"] == "PENDING"
    stage.settle(BLIND)
    row = stage.rows(BLIND)["good-crowded"]
    assert (row["status"], stage.accepted()[str(row["id"])]) == ("SENT", 1)
    assert stage.disagreements() == []
    assert installation.call("PUT", order_path(), order()).status == 200


@pytest.fixture
def unused(installation: Installation, tmp_path: Path) -> Iterator[Stage]:
    """A stage on a database in which no table of ours has been written to."""
    url = installation.new_database(f"unused_{tmp_path.name}"[:60])
    stage = Stage(tmp_path, url, f"{installation.stage.redis_url.removesuffix('/0')}/1")
    try:
        stage.start()
        yield stage
    finally:
        stage.stop()
        installation.stage.use_pool()


def test_a_full_disk_refuses_whole_says_why_and_costs_no_answer_and_no_second_send(
    installation: Installation, unused: Stage
) -> None:
    log, nowhere = unused.log(WORKER), unused.lanes[LOOKUP].table
    no_space = pytest.raises(psycopg2.OperationalError, match="No space left on device")
    with installation.no_room_for(nowhere, unused.database_url), no_space:
        unused.enqueue(LOOKUP, ["good-refused"])
    close_pool()
    assert unused.rows(LOOKUP) == {}
    with installation.no_room_for("dispatch_attempts", unused.database_url):
        unused.start_worker()
        for kind in GatewayKind:
            unused.enqueue(kind, [f"good-{kind.lower()}"])
        until(lambda: waits(log) == {kind.name for kind in KINDS.values()}, seconds=PATIENCE_SECONDS, what="it says so")
        assert unused.proxy.sends == {"good-idempotent": 1}  # it needs no mark, and its answer is kept for the log
        assert unused.statuses() == {"QUEUED"}
    close_pool()
    until(lambda: unused.statuses() == {"SENT"}, seconds=PATIENCE_SECONDS, what="there is room again")
    assert set(unused.proxy.sends.values()) == {1}
    assert unused.disagreements() == []


def test_what_there_is_no_room_for_waits_and_is_not_put_aside_as_poison(
    installation: Installation, unused: Stage
) -> None:
    """Every row is taken up more often than a row may be that kills its workers."""
    with installation.no_room_for("dispatch_payloads", unused.database_url):
        unused.start_worker()
        for kind in GatewayKind:
            unused.enqueue(kind, [f"good-{kind.lower()}"])

        def tried_often() -> bool:
            rows = [row for kind in GatewayKind for row in unused.rows(kind).values()]
            return all(row["claims"] > MOST_RESCUES + 1 or row["status"] == "FAILED" for row in rows)

        until(tried_often, seconds=PATIENCE_SECONDS, what="every row is taken up again and again")
        assert unused.statuses() <= {"PENDING", "QUEUED"}
        assert not unused.proxy.sends
    close_pool()
    until(lambda: unused.statuses() == {"SENT"}, seconds=PATIENCE_SECONDS, what="there is room again")
    assert set(unused.proxy.sends.values()) == {1}
    assert unused.disagreements() == []


def waits(log: Path) -> set[str]:
    """The lanes of which a worker says that it waits for PostgreSQL."""
    entries = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return {entry["lane"] for entry in entries if entry["event"] == "DATABASE_AWAY" and "lane" in entry}


def test_whoever_finds_the_pool_used_up_waits_for_a_while_and_no_connection_is_lost_over_it(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(installation.stage.database_url, role=APPLICATION_ROLE, name="small pool", max_connections=5)
    assert database._wait_timeout == 10
    monkeypatch.setattr(database, "_wait_timeout", 1)  # as long as this test can wait
    let_go, taken = threading.Event(), threading.Barrier(6)

    def hold() -> None:
        with connected():
            taken.wait(PATIENCE_SECONDS)
            let_go.wait(PATIENCE_SECONDS)

    try:
        with ThreadPoolExecutor(5) as pool:
            held = [pool.submit(hold) for _ in range(5)]
            taken.wait(PATIENCE_SECONDS)
            with pytest.raises(MaxConnectionsExceeded), connected():
                pass
            let_go.set()
            with connected():
                assert installation.backends("small pool") == 5
            for future in held:
                future.result()
        with connected():
            assert installation.backends("small pool") == 5
    finally:
        let_go.set()
        installation.stage.use_pool()
