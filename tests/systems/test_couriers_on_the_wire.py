"""Bookings and cancellations through the real clients against the sandbox courier: once, whatever the wire does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, connected, database, execute, fetch_dicts
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.gateway import LookUpAnswer
from dispatchlog.engine.lookup import look_up
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.courier_sandbox import Options, Sandbox
from dispatchlog.gateways.courier_sandbox_jobs import Stage
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import cancelling, couriers
from tests.systems.courier_samples import requested

FAULTS: list[dict[str, Any]] = [
    {"do": "reset"},
    {"do": "reset", "accept": True},
    {"do": "close", "accept": True},
    {"do": "half", "accept": True},
    {"do": "garbage", "accept": True},
    {"do": "status", "status": 502, "body": "<html>", "accept": True},
    {"do": "status", "status": 500, "body": "<html>"},
    {"do": "status", "status": 429},
]


class Wire:
    """One in-process worker, and the sandbox it talks to."""

    def __init__(self, runtime: Runtime, sandbox: Sandbox, courier: str) -> None:
        self.runtime = runtime
        self.sandbox = sandbox
        self.courier = courier

    def drain(self, lane: str = "courier_booking") -> None:
        drain(registry.lane(lane), self.runtime)

    def drain_at_once(self, lane: str = "courier_booking") -> None:
        """Without the pause before the next attempt."""
        with connected():
            execute(f"UPDATE {registry.lane(lane).table} SET due_at = now() WHERE status = 'PENDING'")
        self.drain(lane)

    def booking(self, order_id: UUID) -> dict[str, Any]:
        with connected():
            return fetch_dicts("SELECT * FROM courier_bookings WHERE order_id = %s", (order_id,))[0]

    def dispatch(self, order_id: UUID) -> dict[str, Any]:
        with connected():
            return fetch_dicts("SELECT * FROM courier_dispatches WHERE order_id = %s", (order_id,))[0]


@pytest.fixture(params=["generic", "kwik"])
def wire(request: pytest.FixtureRequest, settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    sandbox = Sandbox(Options(speed=0, token="a token", kwik_password="a password"))
    at = f"http://127.0.0.1:{sandbox.port}"
    named = {"COURIER": request.param, "COURIER_URL": f"{at}/courier", "COURIER_TOKEN": "a token"}
    named |= {"KWIK_URL": f"{at}/kwik", "KWIK_DOMAIN_NAME": "sandbox", "KWIK_PASSWORD": "a password"}
    for name, value in (named | {"KWIK_EMAIL": "sandbox@dispatchlog.localhost"}).items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    _forget()
    configure(settings_env.database_url, role=settings_env.application_role, max_connections=8, by_index=True)
    presence = Presence(settings_env.database_url, role=settings_env.application_role)
    presence.open()
    try:
        breaker = Breaker(settings_env.effective_redis_url)
        yield Wire(Runtime(presence, get_waker(), breaker), sandbox, request.param)
    finally:
        presence.close()
        database.close_all()
        sandbox.close()
        _forget()


def _forget() -> None:
    for cache in (get_settings, get_broker, get_waker):
        cache.cache_clear()
    couriers.forget()
    registry.forget()


def test_every_configured_courier_can_be_asked_and_one_books(wire: Wire) -> None:
    assert set(couriers.couriers()) == {"generic", "kwik"}
    booking = couriers.booking_courier()
    assert booking is not None
    assert booking.name == wire.courier
    assert not any(courier.tells for courier in couriers.couriers().values())


def test_a_booking_brings_the_dispatch_its_number_and_is_cancelled_at_the_courier(wire: Wire) -> None:
    order_id = requested()
    wire.drain()
    [job] = wire.sandbox.world.jobs()
    dispatch = wire.dispatch(order_id)
    assert (dispatch["courier"], dispatch["courier_reference"], dispatch["status"]) == (
        wire.courier,
        job.job_id,
        "BOOKED",
    )
    cancelling.cancel_dispatch(order_id, actor="pharmacist@example.org", reason="ordered twice")
    wire.drain("courier_cancellation")
    assert (job.stage, wire.dispatch(order_id)["status"]) == (Stage.CANCELED, "CANCELED")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: "-".join(map(str, fault.values())))
def test_a_booking_that_meets_a_fault_comes_to_one_job_and_never_to_two(wire: Wire, fault: dict[str, Any]) -> None:
    wire.sandbox.script.load({"plays": {"book": [fault]}})
    order_id = requested()
    wire.drain()
    if wire.booking(order_id)["in_doubt"]:
        answer = look_up(registry.lane("courier_booking"), wire.booking(order_id), actor="test")
        assert (answer is LookUpAnswer.FOUND) == fault.get("accept", False)
    else:
        wire.drain_at_once()
    booked = wire.booking(order_id)
    jobs = wire.sandbox.world.jobs()
    assert len(jobs) == (booked["status"] == "SENT")
    if booked["status"] == "SENT":
        assert wire.dispatch(order_id)["courier_reference"] == jobs[0].job_id
    else:  # absent, but only believed once the courier has had time to show it
        assert (wire.courier, booked["in_doubt"]) == ("kwik", True)


def test_no_secret_of_a_courier_reaches_the_log_of_dispatches(wire: Wire) -> None:
    secret = "a token" if wire.courier == "generic" else "a password"
    wire.sandbox.script.load(
        {"plays": {"book": [{"do": "status", "status": 422, "body": {"message": f"not {secret}"}}]}}
    )
    requested()
    wire.drain()
    with connected():
        attempts = fetch_dicts("SELECT row_to_json(a)::text AS said FROM dispatch_attempts a")
        rows = fetch_dicts("SELECT row_to_json(b)::text AS said FROM courier_bookings b")
    told = json.dumps([row["said"] for row in [*attempts, *rows]])
    assert attempts
    assert secret not in told
