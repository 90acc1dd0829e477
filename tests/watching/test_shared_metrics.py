"""What processes count together in Redis, and what metrics say of connections, queues, jobs and webhooks."""

from __future__ import annotations

import threading

import pytest

import tasks
from dashboard import metrics
from dispatchlog.engine.database import configure, connected, database, execute
from dispatchlog.engine.tallies import KEY, Clocked, Tallies, tallies
from dispatchlog.engine.wakeup import redis_client
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.worker import queues
from tests.dashboard.browsing import Dashboard
from tests.watching.scraping import scrape


@pytest.fixture(autouse=True)
def uncached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "CACHED_SECONDS", 0.0)


@pytest.fixture
def two(settings_env: Settings) -> tuple[Tallies, Tallies]:
    """Those of two processes."""
    found = Tallies(), Tallies()
    for each in found:
        each.configure(settings_env.effective_redis_url, process="worker")
    return found


def test_counts_of_all_processes_are_one(two: tuple[Tallies, Tallies]) -> None:
    one, other = two
    one.add("rescued", "hl7", by=2)
    other.add("rescued", "hl7")
    other.put("job_seconds", "replays", value=0.5)
    one.flush()
    assert other.read() == {"rescued": {("hl7",): 3.0}, "job_seconds": {("replays",): 0.5}}


def test_what_is_counted_is_written_by_itself(two: tuple[Tallies, Tallies], settings_env: Settings) -> None:
    two[0].add("rescued", "hl7")
    for timer in [each for each in threading.enumerate() if isinstance(each, threading.Timer)]:
        timer.join()
    assert redis_client(settings_env.effective_redis_url).hgetall(KEY) == {"rescued|hl7": "1"}


def test_without_redis_nothing_is_kept_and_nobody_fails() -> None:
    away = Tallies()
    away.add("rescued", "hl7")
    assert away.read() == {}
    away.configure("redis://127.0.0.1:1/0", process="worker")
    away.add("rescued", "hl7")
    assert away.read() == {}


def test_a_job_is_timed_and_its_failures_are_counted(dash: Dashboard) -> None:
    tallies.put("job_period", "replays", value=2)
    with Clocked("job", "replays"):
        pass
    with pytest.raises(ValueError, match="no"), Clocked("job", "replays"):
        raise ValueError("no")
    samples = scrape(dash)
    assert samples["dispatchlog_job_seconds"][("replays",)] >= 0
    assert samples["dispatchlog_job_last_run_timestamp_seconds"][("replays",)] > 1_700_000_000
    assert samples["dispatchlog_job_period_seconds"][("replays",)] == 2
    assert samples["dispatchlog_job_failures_total"][("replays",)] == 1


def test_webhooks_are_counted_by_sender_and_what_became_of_them(dash: Dashboard) -> None:
    client = dash.visitor().client
    assert client.post("/webhooks/twilio/inbound", data={"a": "b"}).status_code == 404
    assert client.post("/webhooks/courier/nobody", json={}).status_code == 404
    assert client.post("/webhooks/nothing/here", json={}).status_code == 404
    assert scrape(dash)["dispatchlog_webhooks_total"] == {("refused", "twilio"): 1, ("refused", "unknown"): 2}


def test_a_wait_for_a_connection_is_counted(dash: Dashboard, settings_env: Settings) -> None:
    configure(
        settings_env.database_url, role=settings_env.application_role, name="dispatchlog worker", max_connections=1
    )
    taken = threading.Event()
    free = threading.Event()

    def keep() -> None:
        with connected():
            taken.set()
            free.wait(60)

    def have() -> None:
        with connected():
            execute("SELECT 1")

    holder, waiter = threading.Thread(target=keep), threading.Thread(target=have)
    holder.start()
    taken.wait(60)
    waiter.start()
    while not database._pool_available._waiters:  # type: ignore[attr-defined]
        assert waiter.is_alive()
    free.set()
    for each in (holder, waiter):
        each.join()
    kept = tallies.read()
    assert kept["pool_waits"] == {("dashboard",): 1}
    assert kept["pool_wait_seconds"][("dashboard",)] > 0


def test_connections_are_counted_by_kind_of_process(dash: Dashboard, settings_env: Settings) -> None:
    samples = scrape(dash)["dispatchlog_database_connections"]
    assert set(samples) == {(kind,) for kind in ("worker", "scheduler", "dashboard", "sockets", "other")}
    assert samples[("dashboard",)] >= 1
    assert scrape(dash)["dispatchlog_database_connections_max"][()] > 10


def test_every_queue_of_the_broker_is_looked_at(dash: Dashboard, settings_env: Settings) -> None:
    declared = {name for name in tasks.broker.get_declared_queues() if not name.endswith(".DQ")}
    assert set(queues(registry.lanes())) == declared
    redis_client(settings_env.effective_broker_url).rpush("dramatiq:hl7", "one", "two")
    found = scrape(dash)["dispatchlog_broker_queue_messages"]
    assert found == {(name,): 2 if name == "hl7" else 0 for name in declared}
