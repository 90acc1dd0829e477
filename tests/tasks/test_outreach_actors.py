"""Upstream services tell events and ask for messages over the broker: in any order, each once, and nothing of a patient is
read there or in the log.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis
import time_machine

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.database import configure, connected, database, fetch_all
from dispatchlog.settings import Settings
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.standard_texts import ensure_standard_templates
from scheduler import timetable
from tasks.outreach import report_core_event, schedule_communication, sealed_event, sealed_request
from tests.scenarios.processes import wait_for
from tests.tasks.test_actors import push, worker

SOON = (datetime.now(UTC) + timedelta(days=5)).isoformat()


@pytest.fixture
def app(settings_env: Settings) -> Iterator[Settings]:
    for cache in (get_broker, get_waker):
        cache.cache_clear()
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    with connected():
        ensure_standard_templates()
    yield settings_env
    database.close_all()
    for cache in (get_broker, get_waker):
        cache.cache_clear()


def send(settings: Settings, actor: Any, said: object) -> None:
    """Put it into the broker as a service would."""
    message = actor.message_with_options(args=(said,))
    with redis.Redis.from_url(settings.redis_url) as client:
        push(client, message.queue_name, message.encode())


def event(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"event_id": str(uuid4()), "kind": kind, "occurred_at": datetime.now(UTC).isoformat(), "data": data}


def messages() -> list[tuple[Any, ...]]:
    with connected():
        return fetch_all("SELECT purpose, count(*) FROM comm_jobs GROUP BY purpose ORDER BY purpose")


def test_events_and_requests_are_taken_in_any_order_each_once_and_refused_ones_name_no_person(
    app: Settings, tmp_path: Path
) -> None:
    patient, visit = str(uuid4()), str(uuid4())
    person = {"id": patient, "name": "Amina Rivers", "email": "amina@example.com", "timezone": "Africa/Lagos"}
    booked = {"id": visit, "patient_id": patient, "starts_at": SOON}
    appointment = sealed_event(event("appointment.scheduled", booked), source="clinic")
    wish = {"patient_id": patient, "purpose": "lab_ready", "variables": {"test_name": "blood count"}}
    request = sealed_request(wish, source="clinic", key="result-7")
    for said in (appointment, appointment):
        send(app, report_core_event, said)
    send(app, report_core_event, sealed_event(event("patient.updated", {**person, "phone": "12"}), source="clinic"))
    send(app, report_core_event, event("patient.updated", person))
    send(app, report_core_event, {**appointment, "id": str(uuid4())})
    send(app, schedule_communication, appointment)
    for said in (request, request, sealed_request(wish, source="clinic", key="result-7")):
        send(app, schedule_communication, said)
    log = tmp_path / "log"
    with worker(app, log):
        wait_for(lambda: log.read_text().count("OUTREACH_REPORT_REFUSED") == 4, seconds=120)
        wait_for(lambda: log.read_text().count("OUTREACH_REPORT_WAITS") >= 5, seconds=120)
        assert messages() == []
        send(app, report_core_event, sealed_event(event("patient.updated", person), source="clinic"))
        wait_for(lambda: messages() == [("appt_confirm", 1), ("appt_reminder", 1), ("lab_ready", 1)], seconds=120)
        send(
            app,
            schedule_communication,
            sealed_request({**wish, "purpose": "rx_refill"}, source="clinic", key="result-7"),
        )
        wait_for(lambda: "REQUEST_KEY_REUSED" in log.read_text(), seconds=120)
    told = log.read_text()
    assert told.count("REPORT_NOT_SEALED") == 3
    assert "data.phone" in told
    for word in ("Amina", "amina", "blood count"):
        assert word not in told


def test_what_was_asked_for_in_time_and_is_read_late_goes_out_and_what_was_asked_for_too_late_does_not(
    app: Settings,
) -> None:
    patient, now = str(uuid4()), datetime.now(UTC)
    person = {"id": patient, "name": "Amina Rivers", "email": "amina@example.com"}
    report_core_event(sealed_event(event("patient.updated", person), source="clinic"))
    wish = {"patient_id": patient, "purpose": "lab_ready", "send_at": (now - timedelta(hours=1)).isoformat()}
    with time_machine.travel(now - timedelta(hours=2)):
        in_time = sealed_request(wish, source="clinic", key="in-time")
    schedule_communication(sealed_request(wish, source="clinic", key="too-late"))
    assert messages() == []
    for _ in range(2):
        schedule_communication(in_time)
    assert messages() == [("lab_ready", 1)]


def test_whoever_has_the_broker_reads_no_person_and_cannot_change_the_source(app: Settings) -> None:
    first, second = (sealed_request({"name": "Amina Rivers"}, source="clinic", key="k") for _ in range(2))
    assert set(first) == {"id", "sealed"}
    assert first["sealed"] != second["sealed"]
    assert "Amina" not in json.dumps(first)
    assert sealed_event({}, source="clinic")["id"] != sealed_event({}, source="clinic")["id"]
    for key in ("a b", "x" * 129, "ü"):
        with pytest.raises(OutreachError) as refused:
            sealed_request({}, source="clinic", key=key)
        assert refused.value.code == "INVALID_REQUEST_KEY"


def test_the_clock_wakes_whoever_takes_up_events_and_answers(app: Settings) -> None:
    (job,) = [job for job in timetable(app) if job.name == "wake-outreach"]
    job.run()
    with redis.Redis.from_url(app.redis_url) as client:
        queued = {name: client.llen(f"dramatiq:{name}") for name in ("outreach_events", "outreach_inbound")}
    assert queued == {"outreach_events": 1, "outreach_inbound": 1}


def test_the_clock_wakes_whoever_goes_on_with_campaigns(app: Settings) -> None:
    (job,) = [job for job in timetable(app) if job.name == "campaigns"]
    assert not job.recorded
    job.run()
    with redis.Redis.from_url(app.redis_url) as client:
        assert client.llen("dramatiq:outreach_campaigns") == 1
