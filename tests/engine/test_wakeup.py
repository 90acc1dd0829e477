"""A wake-up is a hint: sent once after the commit, cheap to lose, and never the only way a row is found."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis
from peewee import TextField
from structlog.testing import capture_logs

from dispatchlog.broker import make_broker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import after_commit, connected, database, fetch_all, transaction
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.errors import CannotOpen, NotInTransaction
from dispatchlog.engine.gateway import Receipt
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.ledger import enqueue as put
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.tables import Dispatch, lane_table
from dispatchlog.engine.wakeup import NUDGES, Waker, flag
from dispatchlog.engine.watch import Watch
from dispatchlog.gateways.fake import FakeGateway
from tests.lateness import within

from .lane import enqueue, owner, parcel_lane, read, statuses
from .processes import PATIENCE_SECONDS, until


@pytest.fixture
def client(redis_url: str) -> Iterator[Any]:
    with closing(redis.Redis.from_url(redis_url, decode_responses=True)) as opened:
        yield opened


@pytest.fixture
def lane(parcels_url: str) -> Lane:
    return parcel_lane(FakeGateway())


def hints(client: Any) -> int:
    return int(client.llen("dramatiq:dispatch"))


def test_a_wake_up_is_one_message_that_names_the_lane_and_nothing_else(lane: Lane, waker: Waker, client: Any) -> None:
    (dispatch_id,) = enqueue(lane, subject_id="patient 7", search_keys=["a@example.org"])
    assert waker.wake(lane)
    (text,) = client.hvals("dramatiq:dispatch.msgs")
    message = json.loads(text)
    assert (message["actor_name"], message["args"], message["kwargs"]) == ("drain", ["parcel"], {})
    everything = text + "".join(client.keys("*")) + "".join(client.lrange(NUDGES, 0, -1))
    for private in ("patient 7", "a@example.org", str(dispatch_id)):
        assert private not in everything  # nothing of a person is in the broker


def test_wake_ups_are_coalesced_until_a_drain_begins(lane: Lane, waker: Waker, client: Any) -> None:
    assert [waker.wake(lane) for _ in range(5)] == [True, False, False, False, False]
    assert hints(client) == 1
    waker.clear(lane)
    assert waker.wake(lane)
    assert hints(client) == 2


def test_the_flag_expires_so_a_lost_message_costs_seconds(lane: Lane, waker: Waker, client: Any) -> None:
    waker.wake(lane)
    assert 0 < client.pttl(flag("parcel")) <= 5000
    assert 0 < client.ttl(NUDGES) <= 5


def test_nudges_nobody_listens_to_do_not_pile_up(lane: Lane, waker: Waker, client: Any) -> None:
    for _ in range(300):
        waker.wake(lane)
        waker.clear(lane)
    assert client.llen(NUDGES) <= 256


def test_a_drain_forgets_the_flag_before_its_first_claim(runtime: Runtime, waker: Waker, client: Any) -> None:
    """What is committed while a drain works must be able to wake its lane."""
    woken: list[bool] = []

    class Waking(FakeGateway):
        def send(self, parcel: Any, **rest: Any) -> Receipt:
            woken.append(waker.wake(busy))
            return super().send(parcel, **rest)

    busy = parcel_lane(Waking())
    enqueue(busy)
    waker.wake(busy)
    drain(busy, runtime)
    assert woken == [True]


def test_a_transaction_wakes_its_lane_once_and_only_after_it_has_committed(
    lane: Lane, waker: Waker, client: Any
) -> None:
    with transaction("test"):
        for _ in range(3):
            put(lane, [{"body_text": "a"}])
            waker.after_commit(lane)
        with transaction("nested"):
            waker.after_commit(lane)
        assert hints(client) == 0
    assert hints(client) == 1


def test_a_transaction_that_rolls_back_wakes_nobody(lane: Lane, waker: Waker, client: Any) -> None:
    def fail_late() -> None:
        with transaction("test"):
            waker.after_commit(lane)
            raise RuntimeError("the caller failed")

    with pytest.raises(RuntimeError):
        fail_late()
    with transaction("the next one"):
        pass
    assert hints(client) == 0


def test_outside_a_transaction_what_follows_a_commit_happens_at_once(parcels_url: str) -> None:
    done: list[str] = []
    with connected():
        after_commit("x", lambda: done.append("x"))
    assert done == ["x"]


def test_an_enqueuer_without_a_broker_commits_and_the_wake_up_is_logged(lane: Lane, unused_tcp_port: int) -> None:
    nowhere = f"redis://127.0.0.1:{unused_tcp_port}/0"
    waker = Waker(make_broker(nowhere), nowhere)
    with capture_logs() as logs, within(3):
        with transaction("test"):
            put(lane, [{"body_text": "a"}])
            waker.after_commit(lane)
        assert not waker.wake(lane)
    assert [entry["event"] for entry in logs] == ["REDIS_AWAY"]  # once, however often it is missed
    assert statuses(lane) == ["PENDING"]


# --- the watch


@contextmanager
def watching(runtime: Runtime, redis_url: str, *lanes: Lane) -> Iterator[None]:
    watch = Watch(runtime, lambda: lanes, redis_url)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


def sent(lane: Lane, count: int = 1) -> Callable[[], bool]:
    return lambda: statuses(lane).count("SENT") == count


def test_a_wake_up_reaches_a_waiting_worker_in_milliseconds(
    runtime: Runtime, waker: Waker, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "dispatchlog.engine.watch.TICK_SECONDS", 2.0
    )  # by its own clock it would seldom be there so soon
    lane = parcel_lane(FakeGateway())
    with watching(runtime, redis_url, lane):
        enqueue(lane)
        until(sent(lane), what="the first row")  # by whatever way: from here on everything is warm
        took: list[float] = []
        while len(took) < 15 and sum(seconds < 0.25 for seconds in took) < 5:  # a busy machine may delay some
            time.sleep(0.05)
            (dispatch_id,) = enqueue(lane)
            waker.wake(lane)
            until(sent(lane, len(took) + 2), what="the row")
            row = read(lane, dispatch_id)
            took.append((row["claimed_at"] - row["created_at"]).total_seconds())
    print("from insertion to claim:", ", ".join(f"{seconds * 1000:.1f} ms" for seconds in took))
    assert sum(seconds < 0.25 for seconds in took) == 5


def test_without_any_broker_a_due_row_is_found_all_the_same(presence: Presence, unused_tcp_port: int) -> None:
    nowhere = f"redis://127.0.0.1:{unused_tcp_port}/0"
    runtime = Runtime(presence, Waker(make_broker(nowhere), nowhere), Breaker(nowhere))
    lane = parcel_lane(FakeGateway())
    with watching(runtime, nowhere, lane):
        enqueue(lane)
        with within(5):
            seconds = until(sent(lane), what="the row is found without a broker")
    print(f"found without a broker in {seconds:.2f} s")


def test_a_lane_whose_rescue_cannot_open_a_row_holds_up_no_other_lane(
    runtime: Runtime, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rescue(lane: Lane, **_: Any) -> int:
        if lane.name == "shut":
            raise CannotOpen("what is stored is sealed under a key that this process has not")
        return 0

    monkeypatch.setattr("dispatchlog.engine.watch.rescue", rescue)
    lane = parcel_lane(FakeGateway())
    enqueue(lane)
    with watching(runtime, redis_url, parcel_lane(FakeGateway(), name="shut"), lane):
        until(sent(lane), what="the other lane's row is found")


def test_losing_all_of_the_brokers_memory_changes_no_outcome(
    runtime: Runtime, waker: Waker, redis_url: str, client: Any
) -> None:
    lane = parcel_lane(FakeGateway())
    enqueue(lane, 5)
    waker.wake(lane)
    client.flushdb()
    with watching(runtime, redis_url, lane):
        until(sent(lane, 5), what="the rows are found without their wake-up")


def test_a_worker_wakes_by_itself_when_a_row_falls_due(runtime: Runtime, redis_url: str) -> None:
    lane = parcel_lane(FakeGateway())
    with watching(runtime, redis_url, lane):
        late: list[timedelta] = []
        while not late or (min(late) > timedelta(seconds=1) and len(late) < 5):  # a busy machine may delay some
            (dispatch_id,) = enqueue(lane, due_at=datetime.now(UTC) + timedelta(seconds=0.7))
            until(sent(lane, len(late) + 1), what="the row falls due")
            row = read(lane, dispatch_id)
            late.append(row["claimed_at"] - row["due_at"])
    assert timedelta(0) <= min(late) < timedelta(seconds=1)


@pytest.mark.parametrize("nudge", ["no such lane", "", "parcel'; DROP TABLE parcels; --", b"\x00\xff\xfe"])
def test_forged_nudges_are_ignored(
    runtime: Runtime, waker: Waker, redis_url: str, client: Any, nudge: str | bytes
) -> None:
    lane = parcel_lane(FakeGateway())
    with capture_logs() as logs, watching(runtime, redis_url, lane):
        client.rpush(NUDGES, nudge)
        until(lambda: client.llen(NUDGES) == 0, what="the nudge is taken")
        enqueue(lane)
        waker.wake(lane)
        until(sent(lane), what="a true one")
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == []


def test_stopping_waits_for_the_row_being_sent_and_leaves_none_claimed(runtime: Runtime, redis_url: str) -> None:
    class Slow(FakeGateway):
        began = threading.Event()

        def send(self, parcel: Any, **rest: Any) -> Receipt:
            self.began.set()
            time.sleep(1)
            return super().send(parcel, **rest)

    gateway = Slow()
    lane = parcel_lane(gateway, slots=1)
    enqueue(lane, 6)
    watch = Watch(runtime, lambda: [lane], redis_url)
    watch.start()
    assert gateway.began.wait(PATIENCE_SECONDS)
    watch.stop()
    assert set(statuses(lane)) == {"SENT", "PENDING"}
    assert statuses(lane).count("SENT") == len(gateway.accepted)


def test_a_watch_that_stumbles_goes_on(runtime: Runtime, redis_url: str) -> None:
    lane = parcel_lane(FakeGateway())
    enqueue(lane)
    stumbles = iter([lane_list_fails, lane_list_fails])

    def lanes() -> list[Lane]:
        next(stumbles, list)()
        return [lane]

    watch = Watch(runtime, lambda: [lane], redis_url)
    watch._lanes = lanes
    watch.start()
    try:
        until(sent(lane), what="the row, in spite of everything")
    finally:
        watch.stop()


def lane_list_fails() -> None:
    raise ValueError("Exceeded maximum connections.")  # what a pool that is used up says


@lane_table
class PacketDispatch(Dispatch):
    """A second lane beside the parcels."""

    body_text = TextField(null=True)

    class Meta:
        table_name = "packets"


def test_a_hung_provider_does_not_hold_up_another_lane(
    runtime: Runtime, waker: Waker, redis_url: str, parcels_url: str
) -> None:
    with owner(parcels_url) as cursor:
        cursor.execute(
            "CREATE TABLE packets (LIKE dispatch_template INCLUDING ALL, body_text text);"
            "SELECT dispatchlog_install_lane('packets', 'packet')"
        )
    let_go = threading.Event()

    class Hung(FakeGateway):
        held = threading.Semaphore(0)

        def send(self, parcel: Any, **rest: Any) -> Receipt:
            self.held.release()
            assert let_go.wait(PATIENCE_SECONDS)
            return super().send(parcel, **rest)

    gateway = Hung(name="hung")
    hung = parcel_lane(gateway, batch=1, slots=2)
    quick = parcel_lane(FakeGateway(name="quick"), name="packet", model=PacketDispatch)
    enqueue(hung, 5)
    with watching(runtime, redis_url, hung, quick):
        try:
            assert all(gateway.held.acquire(timeout=PATIENCE_SECONDS) for _ in range(hung.slots - 1))
            enqueue(quick, 3)
            waker.wake(quick)
            until(sent(quick, 3), what="the other lane goes on")
            assert "SENT" not in statuses(hung)
        finally:
            let_go.set()


def test_a_rescue_that_fails_for_one_lane_does_not_stop_the_others(
    runtime: Runtime, redis_url: str, parcels_url: str
) -> None:
    broken = parcel_lane(FakeGateway(name="broken"), name="packet", model=PacketDispatch)  # its table is not there
    lane = parcel_lane(FakeGateway())
    enqueue(lane)
    with watching(runtime, redis_url, broken, lane):
        until(sent(lane), what="the lane that works")
    with connected():
        assert fetch_all("SELECT to_regclass('packets')") == [(None,)]


def test_what_follows_a_commit_needs_a_transaction_whose_commit_is_seen(parcels_url: str) -> None:
    ran: list[str] = []
    with connected(), database.atomic(), pytest.raises(NotInTransaction):
        after_commit("key", lambda: ran.append("never"))

    def roll_back() -> None:
        with transaction("test"):
            after_commit("key", lambda: ran.append("rolled back"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        roll_back()
    with transaction("test"):
        after_commit("key", lambda: ran.append("committed"))
    assert ran == ["committed"]
