"""Orders are booked with a courier in a process of its own by real workers that are killed in the middle of booking."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from dispatchlog.engine.database import configure, connected, database, fetch_all
from dispatchlog.gateways.courier_sandbox import Options, Sandbox
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import couriers, orders
from tests.scenarios.processes import running, wait_for, worker_pids
from tests.systems.courier_samples import PAID, reported

pytestmark = pytest.mark.timeout(180)

ORDERS = 12
SLOW = {"delay_seconds": 0.5}  # after it was accepted, and before anybody is told: where a worker is killed


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    running_here = Sandbox(Options(speed=0.0, token="a token of tests"))
    yield running_here
    running_here.close()


@pytest.fixture(params=["generic", "kwik"])
def env(
    request: pytest.FixtureRequest, settings_env: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """What the workers' environment adds, in force in this process too."""
    address = f"http://127.0.0.1:{sandbox.port}"
    added = {
        "DATABASE_URL": settings_env.database_url,
        "REDIS_URL": settings_env.redis_url,
        "DISPATCHLOG_SECRET_KEY": settings_env.secret_key.get_secret_value(),
        "DISPATCHLOG_COURIER": request.param,
        "DISPATCHLOG_COURIER_URL": f"{address}/courier",
        "DISPATCHLOG_COURIER_TOKEN": "a token of tests",
        "DISPATCHLOG_KWIK_URL": f"{address}/kwik",
        "DISPATCHLOG_KWIK_DOMAIN_NAME": "sandbox",
        "DISPATCHLOG_KWIK_EMAIL": "sandbox@dispatchlog.localhost",
        "DISPATCHLOG_KWIK_PASSWORD": "sandbox",
    }
    for name, value in added.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    couriers.forget()
    registry.forget()
    configure(settings_env.database_url, role=settings_env.application_role, name="test", max_connections=40)
    yield added
    database.close_all()
    couriers.forget()
    registry.forget()


def bookings() -> list[tuple[str, bool]]:
    with connected():
        return [(row[0], row[1]) for row in fetch_all("SELECT status, in_doubt FROM courier_bookings")]


def ask_for_all(order_ids: list[UUID]) -> None:
    """Payment and ready mark of each order come at once, and each twice."""

    def pay(order_id: UUID) -> None:
        orders.capture_payment(order_id, PAID, source="app")

    def mark(order_id: UUID) -> None:
        orders.mark_ready(order_id, actor="pharmacist@example.org")

    with ThreadPoolExecutor(8) as threads:
        for act in (pay, mark, pay, mark):
            for order_id in order_ids:
                threads.submit(act, order_id)


def test_no_order_is_booked_twice_although_workers_are_killed_in_the_middle_of_booking(
    env: dict[str, str], sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.script.load({"standing": {"book": SLOW}})
    ids = [reported() for _ in range(ORDERS)]
    worker = ("-m", "dispatchlog.cli", "worker", "--processes", "2")
    with running(*worker, env=env, log=tmp_path / "log") as supervisor:
        ask_for_all(ids)
        for kills in (2, 5):
            wait_for(lambda kills=kills: len(sandbox.world.jobs()) >= kills, seconds=60, every=0.01)
            os.kill(worker_pids(supervisor)[0], signal.SIGKILL)
        wait_for(lambda: all(status in ("SENT", "FAILED") for status, _ in bookings()), seconds=90)
    assert len(bookings()) == ORDERS
    jobs = Counter(job.booking.order_number for job in sandbox.world.jobs())
    assert set(jobs.values()) == {1}
    # What is not known to be booked is in doubt, and nothing else.
    assert all(status == "SENT" or in_doubt for status, in_doubt in bookings())
    if env["DISPATCHLOG_COURIER"] == "generic":
        # The courier knows its keys again, so the next worker goes on by itself.
        assert [status for status, _ in bookings()] == ["SENT"] * ORDERS
        assert len(jobs) == ORDERS
