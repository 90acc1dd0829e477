"""Workers killed at each point of the send path, paused for longer than anybody waits, cut off from the log in mid-step,
and given what no worker can send."""

from __future__ import annotations

import signal
from contextlib import closing
from datetime import timedelta

import pytest
import redis

from dispatchlog.engine.database import connected, fetch_all
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.lookup import look_up
from dispatchlog.engine.presence import STALE_SECONDS
from dispatchlog.engine.rescue import MOST_RESCUES
from dispatchlog.engine.wakeup import NUDGES
from tests.engine.lane import owner
from tests.engine.processes import until
from tests.scenarios.faults.commits import STEPS, LosingCommits
from tests.scenarios.faults.lanes import KINDS
from tests.scenarios.faults.stage import PATIENCE_SECONDS, Ending, Stage, database_now, end
from tests.tasks.test_actors import message, push

# Enough to hold six sends at once on a busy machine; everybody else then waits so long for the sender.
HELD_SECONDS = 5.0
IDEMPOTENT, LOOKUP, BLIND = GatewayKind.IDEMPOTENT, GatewayKind.LOOKUP, GatewayKind.BLIND

BROKEN = (
    b"no JSON at all \xff\xfe",
    b"{}",
    b"\x80\x04\x95",  # the beginning of a pickle
    message("chaos_drain", queue="chaos"),
    message("chaos_drain", "no such lane", queue="chaos"),
    message("chaos_drain", {"name": "chaos_mail"}, queue="chaos"),
    message("no_such_actor", "chaos_mail", queue="chaos"),
)


def forget_workers(stage: Stage) -> None:
    """As a network that forgets sleeping connections: the server ends the sessions, a paused process knows nothing."""
    with owner(stage.database_url) as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name LIKE 'dispatchlog worker%'"
        )
        assert cursor.rowcount >= 1


def test_a_worker_paused_past_every_timeout_in_mid_send_sends_nothing_more_and_overrules_nobody(stage: Stage) -> None:
    """Of each kind, one send was accepted before the pause and one arrives when everybody else has given it up."""
    stage.proxy.listen()
    sleeper = stage.start_worker(deadline_seconds=HELD_SECONDS)
    for kind in GatewayKind:
        stage.enqueue(kind, [f"held_then_lost-{kind.lower()}", f"held_request-{kind.lower()}"])
    until(lambda: len(stage.proxy.held) == 6, seconds=PATIENCE_SECONDS, what="every send is on its way")
    sleeper.send_signal(signal.SIGSTOP)
    paused_at = boottime()
    forget_workers(stage)
    stage.start_worker(deadline_seconds=HELD_SECONDS)

    def others_have_given_it_up() -> bool:
        keyed, asked, blind = (stage.rows(kind) for kind in (IDEMPOTENT, LOOKUP, BLIND))
        return (
            {row["status"] for row in keyed.values()} == {"SENT"}
            and {row["in_doubt"] for row in blind.values()} == {True}
            and asked["held_then_lost-lookup"]["status"] == "SENT"
            and asked["held_request-lookup"]["lookups"] == 1
            and boottime() - paused_at > max(STALE_SECONDS, HELD_SECONDS) + 1
        )

    until(others_have_given_it_up, seconds=PATIENCE_SECONDS, what="the others go on without it")
    # The provider does not have it when asked, but its sender lives and may still write: that proves nothing.
    asked = stage.rows(LOOKUP)["held_request-lookup"]
    assert look_up(stage.lanes[LOOKUP], asked, actor="person:test") is LookUpAnswer.UNSURE
    assert stage.rows(LOOKUP)["held_request-lookup"]["in_doubt"]
    stage.proxy.open_gate()
    until(lambda: len(stage.proxy.over) == 6, seconds=PATIENCE_SECONDS, what="what was on its way arrives")
    sleeper.send_signal(signal.SIGCONT)
    until(lambda: all(has_recorded(stage, sleeper.pid)), seconds=PATIENCE_SECONDS, what="it records what it saw")
    rows = {name: row for kind in GatewayKind for name, row in stage.rows(kind).items()}
    assert set(stage.accepted().values()) == {1}
    lost = rows.pop("held_then_lost-blind")
    assert (lost["status"], lost["in_doubt"], lost["last_error_code"]) == ("FAILED", True, "WORKER_DIED_SENDING")
    assert [move["to_status"] for move in stage.moves(lost)] == ["PENDING", "QUEUED", "FAILED"]
    assert {row["status"] for row in rows.values()} == {"SENT"}  # a late proof counts, a late doubt does not
    assert stage.disagreements() == []


def has_recorded(stage: Stage, pid: int) -> list[bool]:
    """For each dispatch whether this process has said how its try ended."""
    with connected():
        found = fetch_all(
            "SELECT bool_or(w.pid = %s AND a.finished_at IS NOT NULL) FROM dispatch_attempts a"
            " JOIN dispatch_workers w ON w.id = a.worker_id GROUP BY a.dispatch_id",
            (pid,),
        )
    return [row[0] for row in found]


CRASH_POINTS = {
    IDEMPOTENT: ("claimed", "composed", "sent", "recorded"),
    LOOKUP: ("claimed", "composed", "marked", "writing", "sent", "recorded"),
    BLIND: ("claimed", "composed", "marked", "writing", "sent", "recorded"),
}


def ending_after_a_crash(kind: GatewayKind, point: str) -> Ending:
    """Nothing has left before `sent`; from `marked` to `recorded` nobody but the provider knows that."""
    unknown = kind is not IDEMPOTENT and point in ("marked", "writing", "sent")
    said = "WORKER_DIED_SENDING" if unknown else None
    if unknown and kind is BLIND:
        left = int(point == "sent")
        return Ending("FAILED", True, said, left, left)
    return Ending("SENT", False, said, 2 if kind is IDEMPOTENT and point == "sent" else 1, 1)


def test_wherever_kill_9_strikes_a_dispatch_is_sent_once_or_visibly_in_doubt(
    stage: Stage, subtests: pytest.Subtests
) -> None:
    """A worker per kind and crash point, three at a time, each with a row that is due before all others of its lane."""
    stage.proxy.listen()
    for number, point in enumerate(CRASH_POINTS[BLIND], start=1):
        due_at = database_now() - timedelta(minutes=number)
        dying = []
        for kind in (kind for kind in GatewayKind if point in CRASH_POINTS[kind]):
            stage.enqueue(kind, [f"good-{point}_{kind.lower()}"], due_at=due_at)
            dying.append(stage.start_worker(only=kind, DISPATCHLOG_CRASH_AT=point))
        assert [worker.wait(PATIENCE_SECONDS) for worker in dying] == [-signal.SIGKILL] * len(dying)
    stage.start_worker()
    stage.settle(*GatewayKind)
    for kind, points in CRASH_POINTS.items():
        endings = stage.endings(kind)
        for point in points:
            with subtests.test(kind=kind, point=point):
                assert endings[f"good-{point}_{kind.lower()}"] == ending_after_a_crash(kind, point)
    with subtests.test("the log and the ledger agree"):
        assert stage.disagreements() == []


def test_a_commit_lost_on_its_way_there_or_back_loses_nothing_and_sends_nothing_twice(stage: Stage) -> None:
    stage.proxy.listen()
    commits = LosingCommits(stage.directory, stage.database_url)
    commits.start()
    try:
        commits.listen()
        stage.start_worker(DATABASE_URL=commits.url)
        for kind in GatewayKind:
            stage.enqueue(kind, [f"good-{number}{kind.lower()}" for number in range(3)])
        stage.settle(*GatewayKind)
    finally:
        commits.stop()
    assert stage.statuses() == {"SENT"}
    marked = {(kind.name, "mark") for kind in KINDS.values() if kind.kind is not IDEMPOTENT}
    unmarked = {(kind.name, step) for kind in KINDS.values() for step in STEPS if step != "mark"}
    assert commits.lost == dict.fromkeys(marked | unmarked, 2)
    assert set(stage.proxy.sends.values()) == set(stage.accepted().values()) == {1}
    for kind in GatewayKind:
        assert [len(stage.attempts(row)) for row in stage.rows(kind).values()] == [1] * 3
    assert stage.disagreements() == []


def test_what_cannot_be_sent_as_it_is_fails_alone_and_broken_messages_hold_up_nobody(stage: Stage) -> None:
    expected = {
        "good-before": Ending("SENT", False, None, 1, 1),
        "uncomposable": Ending("FAILED", False, "NO_RECIPIENT", 0, 0),
        "defective": Ending("FAILED", False, "COMPOSE_ERROR", 0, 0),
        "good-after": Ending("SENT", False, None, 1, 1),
    }
    stage.proxy.listen()
    with closing(redis.Redis.from_url(stage.redis_url)) as client:
        for broken in BROKEN:
            push(client, "chaos", broken)
        client.rpush("dramatiq:chaos", "a number without a message")
        client.rpush(NUDGES, b"\xff no lane")
        stage.start_worker(dramatiq_restart_delay="100")
        for kind in GatewayKind:
            stage.enqueue(kind, [f"{name}_{kind.lower()}" for name in expected])
        stage.settle(*GatewayKind)
        until(lambda: not client.llen("dramatiq:chaos"), seconds=PATIENCE_SECONDS, what="every message is taken up")
    for kind in GatewayKind:
        assert stage.endings(kind) == {f"{name}_{kind.lower()}": ending for name, ending in expected.items()}
    assert stage.disagreements() == []


def test_a_dispatch_that_kills_every_worker_is_put_aside_and_the_others_are_sent(stage: Stage) -> None:
    stage.proxy.listen()
    workers = {worker.pid: worker for worker in (stage.start_worker() for _ in range(MOST_RESCUES + 1))}
    stage.enqueue(IDEMPOTENT, ["good-before", "deadly", "good-after"])
    killed: list[int] = []
    while len(killed) < MOST_RESCUES:
        until(lambda: held_by(stage, "deadly") not in (None, *killed), seconds=PATIENCE_SECONDS, what="it is taken up")
        pid = held_by(stage, "deadly")
        if pid is not None:
            end(workers[pid])
            killed.append(pid)
    stage.settle(IDEMPOTENT)
    rows = stage.rows(IDEMPOTENT)
    deadly = rows.pop("deadly")
    assert (deadly["status"], deadly["last_error_code"]) == ("FAILED", "WORKER_DIED_REPEATEDLY")
    assert deadly["in_doubt"]  # each of its workers may have sent it
    assert {row["status"] for row in rows.values()} == {"SENT"}
    assert stage.disagreements() == []


def held_by(stage: Stage, name: str) -> int | None:
    """The process that has this dispatch now and has begun to send it."""
    with connected():
        found = fetch_all(
            "SELECT w.pid FROM dispatch_workers w JOIN chaos_registration d ON d.claimed_by = w.id"
            " WHERE d.status = 'QUEUED' AND d.recipient = %s",
            (f"{name}@example.org",),
        )
    return int(found[0][0]) if found else None
