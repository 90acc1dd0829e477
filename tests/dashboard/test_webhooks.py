"""The webhook's door: what is signed is stored before it is answered, and what is refused leaves nothing behind."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import pytest
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from dashboard import courier_webhooks
from dashboard.webhook_writer import WebhookWriter
from dashboard.webhooks import MOST_BYTES, make_door
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts
from dispatchlog.row_content import COURIER_EVENTS
from dispatchlog.settings import Settings
from dispatchlog.systems.courier import couriers, events
from tests.dashboard.browsing import Dashboard
from tests.systems.courier_events.samples import COURIER, SomeCourier

SIGNED = {"X-Signature": "signed"}
ADDRESS = f"/webhooks/courier/{COURIER}"


@pytest.fixture
def door(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> Dashboard:
    monkeypatch.setattr(couriers, "couriers", lambda: {COURIER: SomeCourier()})
    return dash


def body(*event_ids: str, **said: Any) -> bytes:
    told = [
        {
            "event_id": event_id,
            "courier_reference": "J-1",
            "raw_status": "on the way",
            "status": "IN_TRANSIT",
            "occurred_at": "2026-05-04T12:00:00+00:00",
            "driver_name": "Bola Driver",
            **said,
        }
        for event_id in event_ids
    ]
    return json.dumps(told).encode()


def post(door: Dashboard, data: bytes, *, address: str = ADDRESS, **headers: str) -> TestResponse:
    return door.app.test_client().post(address, data=data, headers={**SIGNED, **headers})


def stored() -> list[tuple[Any, ...]]:
    with connected():
        rows = [COURIER_EVENTS.opened(row) for row in fetch_dicts("SELECT * FROM courier_events ORDER BY id")]
    drivers = [row["body"].get("report", {}).get("driver_name") for row in rows]
    return [
        (row["event_id"], row["source"], row["trace_id"], driver) for row, driver in zip(rows, drivers, strict=True)
    ]


def test_a_signed_webhook_is_stored_and_answered_alike_however_often_it_comes(door: Dashboard) -> None:
    with capture_logs() as logs:
        first = post(door, body("e1", "e2"), **{"X-Trace-Id": "trace-1"})
        again = post(door, body("e1", "e2"), **{"X-Trace-Id": "trace-2"})
    assert (first.status_code, first.get_json()) == (200, {"received": 2, "traceId": "trace-1"})
    assert (again.status_code, again.get_json()) == (200, {"received": 2, "traceId": "trace-2"})
    assert stored() == [("e1", "webhook", "trace-1", "Bola Driver"), ("e2", "webhook", "trace-1", "Bola Driver")]
    said = [line for line in logs if line["event"] == "WEBHOOK_RECEIVED"]
    assert [(line["trace_id"], line["new"]) for line in said] == [("trace-1", 2), ("trace-2", 0)]
    assert "Bola" not in str(logs)


def test_it_needs_no_session_and_gives_none(door: Dashboard) -> None:
    answer = post(door, body("e1"))
    assert "Set-Cookie" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    with connected():
        assert fetch_all("SELECT * FROM web_sessions WHERE user_id IS NULL") == []


@pytest.mark.parametrize(
    ("data", "headers", "address", "status", "code"),
    [
        (body("e1"), {"X-Signature": "forged"}, ADDRESS, 401, "WEBHOOK_SIGNATURE_INVALID"),
        (b"no JSON", {}, ADDRESS, 400, "WEBHOOK_MALFORMED"),
        (body("e1"), {}, "/webhooks/courier/unknown", 404, "UNKNOWN_COURIER"),
        (b"x" * (MOST_BYTES + 1), {}, ADDRESS, 413, "BODY_TOO_LARGE"),
    ],
)
def test_what_is_refused_is_not_stored(
    door: Dashboard, data: bytes, headers: dict[str, str], address: str, status: int, code: str
) -> None:
    answer = post(door, data, address=address, **headers)
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (status, code)
    assert answer.get_json()["traceId"] == answer.headers["X-Trace-Id"]
    assert stored() == []


def test_only_posts_to_couriers_are_answered_and_all_as_json_with_the_security_headers(door: Dashboard) -> None:
    client = door.app.test_client()
    for answer, status in (
        (client.get(ADDRESS), 405),
        (client.post("/webhooks/other"), 404),
        (post(door, body("e")), 200),
    ):
        assert (answer.status_code, answer.is_json) == (status, True)
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert [event_id for event_id, *_ in stored()] == ["e"]


def test_without_the_database_nothing_is_answered_with_yes(door: Dashboard, settings_env: Settings) -> None:
    elsewhere = settings_env.model_copy(
        update={"database_url": settings_env.database_url.rpartition("/")[0] + "/no_such_database"}
    )
    answer = (
        make_door(elsewhere, https=False).test_client().post(f"/courier/{COURIER}", data=body("e1"), headers=SIGNED)
    )
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (503, "DATABASE_UNAVAILABLE")
    assert answer.headers["Retry-After"]


def test_connections_that_died_while_they_lay_idle_cost_nobody_a_webhook(
    door: Dashboard, settings_env: Settings
) -> None:
    assert post(door, body("e1")).status_code == 200
    with closing(psycopg2.connect(settings_env.database_url)) as owner, owner.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dispatchlog webhooks'"
            " AND datname = current_database()"
        )
        assert cursor.fetchall() == [(True,)]
    assert post(door, body("e2")).status_code == 200
    assert [event_id for event_id, *_ in stored()] == ["e1", "e2"]


def test_webhooks_that_come_at_once_are_all_stored_and_one_that_cannot_be_costs_the_others_nothing(
    door: Dashboard, settings_env: Settings
) -> None:
    writer = WebhookWriter(settings_env, courier_webhooks.EVENTS)
    good = [("tester", "webhook", "t", f"e{number}", "J", "on", "ASSIGNED", None, "{}", None) for number in range(40)]
    bad = ("tester", "no such source", "t", "bad", "J", "on", "ASSIGNED", None, "{}", None)

    def write(row: tuple[Any, ...]) -> int:
        try:
            return writer.write([row])
        except psycopg2.errors.Error:
            return -1

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(write, [*good[:20], bad, *good[20:], *good]))
    assert results.count(-1) == 1
    assert sorted(event_id for event_id, *_ in stored()) == sorted(row[3] for row in good)


def test_a_fault_of_ours_is_no_yes_either(door: Dashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> int:
        raise ValueError("broken")

    monkeypatch.setattr(events, "store_reports", fail)
    answer = post(door, body("e1"))
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (500, "INTERNAL")
    assert "broken" not in answer.text
