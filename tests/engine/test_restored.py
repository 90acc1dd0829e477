"""An older backup is put back with PostgreSQL's own tools: nothing leaves twice, and what is unsettled is to be seen."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID

import pytest

from dispatchlog.audit.anchors import write_anchor
from dispatchlog.audit.findings import ANCHOR_MISMATCH, TAIL_CUT
from dispatchlog.audit.horizon import Horizon
from dispatchlog.audit.sealing import seal_all
from dispatchlog.audit.verifying import verify
from dispatchlog.doctor_secrets import examine_secrets
from dispatchlog.engine import operator
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.comparing import NeverRestored, compare, losses
from dispatchlog.engine.database import configure, connected, database, fetch_all, fetch_one, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.holds import Target, release
from dispatchlog.engine.identity import LogElsewhere
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.lookup import look_up_due
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.restored import NotRestored, Restoration, StillRunning, moved, take_over
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.gateways.fake import FakeGateway, Outcome, Play
from dispatchlog.keys.ring import rings
from dispatchlog.local.postgres import _binaries
from dispatchlog.row_content import PAYLOADS
from dispatchlog.settings import get_settings
from tests.engine.lane import APPLICATION_ROLE, change, enqueue, parcel_lane, read

TOOLS = _binaries()
_SEQUENCES = (
    "SELECT sequencename, last_value FROM pg_sequences WHERE schemaname = current_schema() AND max_value > 2000000000"
)


def tool(name: str, *arguments: str) -> None:
    subprocess.run([str(TOOLS / name), *arguments], check=True, capture_output=True, timeout=300, env={**os.environ})


class Log:
    """The parcel lane on a database that can be lost."""

    def __init__(self, url: str, waker: Waker, redis_url: str, directory: Path) -> None:
        self.url = url
        self._waker, self._redis_url, self._file = waker, redis_url, directory / "backup"

    @contextmanager
    def worker(self) -> Iterator[Runtime]:
        presence = Presence(self.url, role=APPLICATION_ROLE)
        presence.open()
        try:
            yield Runtime(presence, self._waker, Breaker(self._redis_url))
        finally:
            presence.close()

    def work(self, lane: Lane) -> None:
        with self.worker() as runtime:
            drain(lane, runtime)

    def back_up(self) -> None:
        tool("pg_dump", "--format=custom", f"--file={self._file}", self.url)

    def lose_and_restore(self) -> None:
        """The database is gone; its backup becomes another one of the same server."""
        database.close_all()
        server = urlunsplit(urlsplit(self.url)._replace(path="/postgres"))
        name = urlsplit(self.url).path[1:]
        tool("dropdb", f"--maintenance-db={server}", "--force", name)
        tool("createdb", f"--maintenance-db={server}", "--template=template0", name)
        tool("pg_restore", "--exit-on-error", f"--dbname={self.url}", str(self._file))
        self.open()

    def open(self) -> None:
        configure(self.url, role=APPLICATION_ROLE, name="test", max_connections=8)

    @contextmanager
    def as_owner(self) -> Iterator[None]:
        configure(self.url, role="", name="test owner")
        try:
            yield
        finally:
            self.open()

    def take_over(self, *lanes: Lane, **more: Any) -> Restoration:
        with self.as_owner():
            return take_over(lanes, actor="cli", reason="the disk is gone", **more)


@pytest.fixture
def log(parcels_url: str, waker: Waker, redis_url: str, tmp_path: Path) -> Iterator[Log]:
    yield Log(parcels_url, waker, redis_url, tmp_path)
    database.close_all()


def lane_of(kind: GatewayKind, **more: Any) -> tuple[FakeGateway, Lane]:
    gateway = FakeGateway(kind, **more)
    return gateway, parcel_lane(gateway)


def acceptances(gateway: FakeGateway) -> Counter[UUID]:
    return Counter(entry.dispatch_id for entry in gateway.accepted)


def resume(lane: Lane) -> None:
    release(Target("lane", lane.name), actor="test", reason="compared", lanes=[lane], waker=None)


def make_lookups_due(lane: Lane) -> None:
    with connected():
        ids = [row[0] for row in fetch_all(f"SELECT id FROM {lane.table} WHERE lookup_at IS NOT NULL")]
    for each in ids:
        change(lane, each, lookup_at="now() - interval '1 s'")


def test_a_restored_log_refuses_workers_until_somebody_says_what_it_is(log: Log) -> None:
    _, lane = lane_of(GatewayKind.BLIND)
    log.work(lane)
    log.back_up()
    log.lose_and_restore()
    with pytest.raises(LogElsewhere), log.worker():
        pass
    assert log.take_over(lane).lanes[0].paused
    with log.worker() as runtime:
        assert runtime.presence.worker_id > 1_000_000


def test_of_a_gateway_that_takes_keys_what_left_after_the_backup_goes_again_and_is_recognised(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.IDEMPOTENT)
    before = enqueue(lane, 2)
    log.work(lane)
    waiting = enqueue(lane, 3)
    log.back_up()
    lost = enqueue(lane, 2)
    log.work(lane)
    assert acceptances(gateway).keys() == {*before, *waiting, *lost}

    log.lose_and_restore()
    report = log.take_over(lane).lanes[0]
    assert (report.kept_key, report.paused) == (3, True)
    # What was lost is reported again: a new row, whose key the provider has never seen.
    (again,) = enqueue(lane)
    log.work(lane)
    assert again not in acceptances(gateway)
    operator.cancel(lane, [again], actor="support", reason="the list has it")
    resume(lane)
    log.work(lane)
    assert [read(lane, each)["status"] for each in (*before, *waiting)] == ["SENT"] * 5
    assert set(acceptances(gateway).values()) == {1}


def test_a_key_that_the_provider_has_forgotten_since_the_backup_is_not_used_again(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.IDEMPOTENT, key_retention=timedelta(hours=1))
    (waiting,) = enqueue(lane)
    log.back_up()
    log.work(lane)
    log.lose_and_restore()
    log.take_over(lane)
    resume(lane)
    change(lane, waiting, first_claimed_at="now() - interval '2 h'")  # the backup was taken two hours ago
    log.work(lane)
    row = read(lane, waiting)
    assert (row["status"], row["in_doubt"], row["last_error_code"]) == ("FAILED", True, "KEY_EXPIRED")
    assert acceptances(gateway) == {waiting: 1}


def test_a_gateway_that_can_be_asked_is_asked_and_only_what_it_does_not_have_leaves(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.LOOKUP)
    left, kept = enqueue(lane, 2)
    change(lane, kept, due_at="now() + interval '1 h'")
    log.back_up()
    log.work(lane)
    assert acceptances(gateway) == {left: 1}

    log.lose_and_restore()
    change(lane, kept, due_at="now() - interval '1 h'")  # due now; that it was not sent is known to the provider alone
    report = log.take_over(lane).lanes[0]
    assert (report.asked, report.in_doubt, report.paused) == (2, 0, True)
    assert [read(lane, each)["in_doubt"] for each in (left, kept)] == [True, True]

    make_lookups_due(lane)
    with log.worker() as runtime:
        look_up_due(lane, worker_id=runtime.presence.worker_id)
    assert [read(lane, each)["status"] for each in (left, kept)] == ["SENT", "PENDING"]
    resume(lane)
    log.work(lane)
    assert acceptances(gateway) == {left: 1, kept: 1}


def test_a_gateway_that_tells_nothing_gets_nothing_again_and_every_row_is_on_the_desk(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.BLIND)
    left = enqueue(lane, 3)
    (later,) = enqueue(lane)
    change(lane, later, due_at="now() + interval '1 h'")
    log.back_up()
    lost = enqueue(lane, 2)
    log.work(lane)

    log.lose_and_restore()
    report = log.take_over(lane).lanes[0]
    assert (report.in_doubt, report.not_due, report.paused) == (3, 1, True)
    resume(lane)
    log.work(lane)
    assert acceptances(gateway) == dict.fromkeys((*left, *lost), 1)
    rows = [read(lane, each) for each in left]
    assert {(row["status"], row["in_doubt"], row["last_error_code"]) for row in rows} == {("FAILED", True, "RESTORED")}
    assert read(lane, later)["status"] == "PENDING"
    with connected():
        moves = fetch_all(
            "SELECT to_status, actor, reason FROM dispatch_transitions WHERE dispatch_id = %s ORDER BY id DESC LIMIT 1",
            (left[0],),
        )
    assert moves == [("FAILED", "cli", "the disk is gone")]

    # A person settles it with the provider's own list, and what was never sent leaves once.
    operator.confirm_not_sent(lane, left[0], actor="support", reason="not in the log of the mail server")
    operator.confirm_sent(lane, left[1], actor="support", reason="250 in the log of the mail server")
    assert [read(lane, each)["status"] for each in left] == ["PENDING", "SENT", "FAILED"]


@pytest.mark.parametrize("kind", [GatewayKind.LOOKUP, GatewayKind.BLIND])
def test_a_row_that_a_worker_held_when_the_backup_was_taken_is_in_doubt(log: Log, kind: GatewayKind) -> None:
    gateway, lane = lane_of(kind)
    (held,) = enqueue(lane)

    gateway.script(Play(crash=log.back_up))
    log.work(lane)
    assert read(lane, held)["status"] == "SENT"
    log.lose_and_restore()
    assert read(lane, held)["status"] == "QUEUED"
    log.take_over(lane)
    row = read(lane, held)
    assert (row["status"], row["in_doubt"]) == ("FAILED", True)
    resume(lane)
    log.work(lane)
    assert acceptances(gateway) == {held: 1}


def test_of_a_gateway_that_takes_keys_a_row_that_a_worker_held_is_taken_from_it(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.IDEMPOTENT)
    (held,) = enqueue(lane)
    gateway.script(Play(crash=log.back_up))
    log.work(lane)
    log.lose_and_restore()
    log.take_over(lane)
    resume(lane)
    with log.worker() as runtime, connected():
        assert rescue(lane, worker_id=runtime.presence.worker_id, live_tokens=()) == 1
        drain(lane, runtime)
    assert read(lane, held)["status"] == "SENT"
    assert acceptances(gateway) == {held: 1}


def test_what_was_in_doubt_already_stays_so_and_is_asked_about_again(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.LOOKUP, indexing_delay=timedelta(minutes=5))
    gateway.script(Outcome.UNKNOWN_AFTER_ACCEPT)
    (doubtful,) = enqueue(lane)
    log.work(lane)
    change(lane, doubtful, lookup_at="NULL", lookups="6")
    log.back_up()
    log.lose_and_restore()
    log.take_over(lane)
    row = read(lane, doubtful)
    assert (row["in_doubt"], row["lookups"], row["last_error_code"]) == (True, 0, "CONNECTION_LOST")
    assert row["lookup_at"] is not None


def test_a_log_that_was_not_restored_is_not_taken_over(log: Log) -> None:
    _, lane = lane_of(GatewayKind.BLIND)
    log.work(lane)
    (waiting,) = enqueue(lane)
    with pytest.raises(NotRestored):
        log.take_over(lane)
    assert read(lane, waiting)["status"] == "PENDING"
    assert log.take_over(lane, same_place=True).lanes[0].in_doubt == 1


def test_a_log_on_which_somebody_works_is_not_taken_over(log: Log) -> None:
    _, lane = lane_of(GatewayKind.BLIND)
    with log.worker(), pytest.raises(StillRunning):
        log.take_over(lane, same_place=True)


def test_a_log_that_was_moved_as_a_whole_goes_on_as_it_is(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.BLIND)
    log.work(lane)
    (waiting,) = enqueue(lane)
    log.back_up()
    log.lose_and_restore()
    with log.as_owner():
        assert moved(actor="cli", reason="a new machine")
        assert not moved(actor="cli", reason="a new machine")
    log.work(lane)
    assert acceptances(gateway) == {waiting: 1}


def test_no_number_is_given_twice_after_a_restore(log: Log) -> None:
    _, lane = lane_of(GatewayKind.BLIND)
    log.work(lane)
    enqueue(lane)
    with connected():
        before = fetch_one("SELECT max(id) FROM dispatch_transitions")[0]
        unused = {row[0] for row in fetch_all(_SEQUENCES) if row[1] is None}
    assert "order_changes_id_seq" in unused
    log.back_up()
    log.lose_and_restore()
    log.take_over(lane)
    with log.as_owner(), connected():
        assert [row for row in fetch_all(_SEQUENCES) if (row[1] or 0) < 1_000_000] == []
    with transaction("test"):
        after = fetch_one("SELECT min(id) FROM dispatch_transitions WHERE id > %s", (before,))[0]
    assert after > before + 1_000_000


def test_a_provider_s_list_proves_what_the_log_doubts_and_names_what_it_lost(log: Log) -> None:
    gateway, lane = lane_of(GatewayKind.BLIND)
    before, left, waiting, later = enqueue(lane, 4)
    change(lane, later, due_at="now() + interval '1 h'")
    change(lane, waiting, due_at="now() + interval '1 ms'")
    log.back_up()
    (lost,) = enqueue(lane)
    operator.retry(lane, [later], actor="support", reason="could not wait")
    log.work(lane)
    log.lose_and_restore()
    log.take_over(lane)
    operator.confirm_sent(lane, before, actor="support", reason="seen")
    listed = [f"250 <{entry.key}@example.org> to {entry.recipient}" for entry in gateway.accepted]
    listed = [line for line in listed if str(waiting) not in line]

    for _ in range(2):
        with log.as_owner():
            found = compare([lane], [*listed, "", "no key here"], source="maillog", actor="cli")
        assert (found.lost, found.cancelled, found.without_key) == ([lost], [], 1)
    assert found.agreed == 3
    assert [read(lane, each)["status"] for each in (before, left, later)] == ["SENT"] * 3
    assert read(lane, waiting)["in_doubt"]
    with connected():
        assert losses() == [(lost, 1, "maillog")]


def test_nothing_is_compared_with_a_log_that_lost_nothing(log: Log) -> None:
    with log.as_owner(), pytest.raises(NeverRestored):
        compare([lane_of(GatewayKind.BLIND)[1]], [], source="maillog", actor="cli")


def say_secret(monkeypatch: pytest.MonkeyPatch, secret: str, *old: str) -> None:
    """Go on as processes on a new machine do, with this secret key."""
    monkeypatch.setenv("DISPATCHLOG_SECRET_KEY", secret)
    monkeypatch.setenv("DISPATCHLOG_OLD_SECRET_KEYS", ",".join(old))
    get_settings.cache_clear()
    rings.forget()


def test_what_was_sealed_leaves_again_as_it_was_with_the_secret_key_of_the_backup_and_with_no_other(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = FakeGateway(GatewayKind.IDEMPOTENT)
    lane = parcel_lane(gateway, seal=PAYLOADS)
    gateway.script(Outcome.TRANSIENT, Outcome.TRANSIENT)
    sealed = enqueue(lane, 2)
    log.work(lane)
    change(lane, sealed[1], due_at="now() + interval '1 h'")
    secret = get_settings().secret_key.get_secret_value()
    log.back_up()
    log.lose_and_restore()
    log.take_over(lane)
    resume(lane)

    say_secret(monkeypatch, "another machine's own")
    change(lane, sealed[0], due_at="now() - interval '1 s'")
    log.work(lane)
    assert (read(lane, sealed[0])["status"], gateway.accepted) == ("PENDING", [])
    with connected():
        checks = {check.name: check.state for check in examine_secrets(get_settings())}
    assert checks["sealed"] == "failed"

    say_secret(monkeypatch, "another machine's own", secret)
    change(lane, sealed[1], due_at="now() - interval '1 s'")
    log.work(lane)
    left = {(each.dispatch_id, each.recipient) for each in gateway.accepted}
    assert left == {(each, "someone@example.org") for each in sealed}
    assert len(gateway.accepted) == 2


def test_after_a_restore_the_anchor_says_which_seals_are_missing(log: Log, tmp_path: Path) -> None:
    _, lane = lane_of(GatewayKind.BLIND)
    old, new = tmp_path / "anchors", tmp_path / "anchors of the restored log"
    enqueue(lane)
    seal_all(Horizon(), who="test")
    kept = write_anchor(old, who="test")
    log.back_up()
    enqueue(lane)
    seal_all(Horizon(), who="test")
    lost = write_anchor(old, who="test")
    log.lose_and_restore()
    log.take_over(lane)

    assert verify(who="test").is_good, "what is left fits"
    report = verify(who="test", anchor_file=old)
    assert [(each.code, each.number) for each in report.findings] == [(TAIL_CUT, lost.number)]
    assert lost.number > kept.number == report.last_number
    # The chain goes on from what is there, over the numbers that were skipped, and has an anchor file of its own.
    seal_all(Horizon(), who="test")
    write_anchor(new, who="test")
    assert verify(who="test", anchor_file=new).is_good
    again = verify(who="test", anchor_file=old)
    assert [(each.code, each.number) for each in again.findings] == [(ANCHOR_MISMATCH, lost.number)]
