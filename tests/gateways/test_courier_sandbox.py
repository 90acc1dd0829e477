"""The sandbox courier: its drivers, its webhooks with their faults, and what it remembers when it is killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.gateways.courier_generic import GenericCourier
from dispatchlog.gateways.courier_sandbox import Sandbox
from dispatchlog.gateways.courier_sandbox_jobs import Booking, Stage, World, metres
from dispatchlog.gateways.courier_sandbox_script import Script

from .courier_servers import WebhookTaker, sandbox, wait_for
from .rigs import booking
from .servers import LOOPBACK

SECRET = "webhook-secret"
PHARMACY, HOME = (6.4281, 3.4219), (6.4474, 3.4726)
USUAL = [Stage.BOOKED, Stage.ASSIGNED, Stage.PICKED_UP, Stage.IN_TRANSIT, Stage.ARRIVED]


def world(**usual: Any) -> World:
    script = Script()
    script.load({"usual": usual})
    return World(script, speed=0)


def ride(made: World) -> list[Stage]:
    """Every stage of one job when hours go by."""
    job, _ = made.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
    for _ in range(600):
        made.pass_time(30)
    return [event.stage for event in job.events]


@pytest.mark.parametrize(
    ("scenario", "stages"),
    [
        ({}, USUAL),
        ({"declines": 2}, [Stage.BOOKED, Stage.DECLINED, Stage.DECLINED, *USUAL[1:]]),
        ({"ends": "waits"}, [Stage.BOOKED]),
        ({"ends": "fails"}, [*USUAL, Stage.FAILED]),
        ({"ends": "fails_at_pickup"}, [Stage.BOOKED, Stage.ASSIGNED, Stage.FAILED]),
        ({"ends": "delivers", "deliver_after_seconds": 600}, [*USUAL, Stage.DELIVERED]),
    ],
)
def test_a_job_goes_as_its_scenario_says_and_usually_waits_at_the_door(
    scenario: dict[str, Any], stages: list[Stage]
) -> None:
    assert ride(world(**scenario)) == stages


def test_the_driver_rides_along_a_line_and_the_time_of_arrival_holds() -> None:
    made = world()
    made.speed = 1.0
    job, _ = made.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
    far: list[float] = []
    while job.stage is not Stage.ARRIVED:
        if job.stage is Stage.IN_TRANSIT:
            position = made.position(job)
            assert position is not None
            far.append(metres(position, HOME))
        made.pass_time(20)
    assert far == sorted(far, reverse=True)
    assert far[0] == pytest.approx(metres(PHARMACY, HOME), rel=0.05)
    assert made.position(job) == HOME


def test_an_order_that_is_dispatched_again_may_go_otherwise() -> None:
    made = world()
    made.script.load({"orders": {"RX-1": {"ends": "fails_at_pickup"}}})
    first, _ = made.book(Booking("generic", "1", "", "RX-1", PHARMACY, HOME))
    second, _ = made.book(Booking("generic", "2", "", "RX-1", PHARMACY, HOME))
    assert (first.scenario.ends, second.scenario.ends) == ("fails_at_pickup", "arrives")


def statuses(taker: WebhookTaker) -> list[str]:
    return [json.loads(body)["status"] for _, body in taker.took]


def told(taker: WebhookTaker, stages: list[Stage], *, again: int = 0, **scenario: Any) -> None:
    """Let a job go through these stages with a courier whose webhooks go to `taker`, `again` of them twice."""
    with sandbox(webhook_url=taker.url, webhook_secrets=[SECRET]) as running:
        running.script.load({"usual": scenario})
        job, _ = running.world.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
        for stage in stages:
            running.world.move(job.job_id, stage)
        expected = (len(stages) + 1 - len(scenario.get("lost", ()))) * scenario.get("copies", 1) + again
        wait_for(lambda: len(taker.took) >= expected)


def test_each_event_is_told_in_order_and_read_by_our_courier() -> None:
    with WebhookTaker() as taker:
        told(taker, [Stage.ASSIGNED, Stage.PICKED_UP])
        courier = GenericCourier("http://unused.example.org", "", webhook_secrets=[SECRET])
        reports = [report for headers, body in taker.took for report in courier.read_webhook(headers, body)]
    assert [report.status for report in reports] == ["BOOKED", "ASSIGNED", "PICKED_UP"]
    assert len({report.event_id for report in reports}) == 3
    assert reports[1].driver_name is not None


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ({"lost": ["ASSIGNED"]}, ["BOOKED", "PICKED_UP", "IN_TRANSIT"]),
        ({"copies": 2}, [status for status in ("BOOKED", "ASSIGNED", "PICKED_UP", "IN_TRANSIT") for _ in range(2)]),
        ({"swapped": True}, ["ASSIGNED", "BOOKED", "IN_TRANSIT", "PICKED_UP"]),
    ],
)
def test_webhooks_are_lost_doubled_and_swapped_as_scripted(scenario: dict[str, Any], expected: list[str]) -> None:
    with WebhookTaker() as taker:
        told(taker, [Stage.ASSIGNED, Stage.PICKED_UP, Stage.IN_TRANSIT], **scenario)
        assert statuses(taker) == expected


def test_a_webhook_that_is_not_taken_comes_again_signed_anew() -> None:
    with WebhookTaker(503) as taker:
        told(taker, [Stage.ASSIGNED], again=1)
        assert statuses(taker) == ["BOOKED", "ASSIGNED", "BOOKED"]
        first, second = (headers for headers, body in taker.took if b"BOOKED" in body)
    assert first["Courier-Signature"] != second["Courier-Signature"]


def start(*options: str) -> tuple[subprocess.Popen[str], int]:
    """The command as a process of its own, and its port."""
    command = [sys.executable, "-m", "dispatchlog.cli", "courier", "sandbox", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, json.loads(process.stdout.readline())["port"]


def test_what_was_accepted_survives_a_kill_and_is_still_recognised_by_its_key(tmp_path: Path) -> None:
    journal, parcel = tmp_path / "jobs.jsonl", booking(uuid4())
    jobs = []
    for end in (signal.SIGKILL, signal.SIGTERM):
        process, port = start("--journal", str(journal), "--speed", "0")
        courier = GenericCourier(f"http://{LOOPBACK}:{port}/courier", "")
        jobs.append(courier.booking.send(parcel, deadline=Deadline(10), before_write=lambda: None).provider_message_id)
        courier.close()
        process.send_signal(end)
        process.communicate(timeout=30)
    assert jobs[0] == jobs[1] is not None
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["job", "event"]


def test_a_line_torn_by_a_kill_was_never_told_and_is_dropped(tmp_path: Path) -> None:
    journal = tmp_path / "jobs.jsonl"
    with sandbox(journal=journal) as running:
        running.world.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
    journal.write_bytes(journal.read_bytes() + b'{"kind": "job", "numb')
    with sandbox(journal=journal) as running:
        again, new = running.world.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
        running.world.book(Booking("generic", "k2", "", "RX-2", PHARMACY, HOME))
    assert (again.job_id, new) == ("SB-000001", False)
    assert [json.loads(line)["kind"] for line in journal.read_text().splitlines()] == ["job", "event", "job", "event"]


def test_a_job_that_had_ended_rides_no_more_after_a_restart(tmp_path: Path) -> None:
    journal = tmp_path / "jobs.jsonl"
    with sandbox(journal=journal) as running:
        canceled, _ = running.world.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
        failed, _ = running.world.book(Booking("generic", "k2", "", "RX-2", PHARMACY, HOME))
        running.world.cancel(canceled.job_id)
        running.world.move(failed.job_id, Stage.FAILED)
    with sandbox(journal=journal) as running:
        running.world.pass_time(10_000)
        assert [job.stage for job in running.world.jobs()] == ["CANCELED", "FAILED"]


def call(running: Sandbox, path: str, document: Any = None) -> tuple[int, Any]:
    url = f"http://{LOOPBACK}:{running.port}/sandbox/{path}"
    data = None if document is None else json.dumps(document).encode()
    try:
        with urllib.request.urlopen(url, data=data) as reply:
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_test_moves_a_job_and_changes_the_script_from_outside() -> None:
    with sandbox() as running:
        job, _ = running.world.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
        assert call(running, f"jobs/{job.job_id}", {"stage": "PICKED_UP"})[1]["stage"] == "PICKED_UP"
        assert call(running, "script", {"speed": 3, "orders": {"RX-2": {"ends": "fails"}}}) == (200, {})
        assert (running.world.speed, running.script.scenario("RX-2").ends) == (3.0, "fails")
        assert [each["orderNumber"] for each in call(running, "jobs")[1]] == ["RX-1"]


@pytest.mark.parametrize(
    "script",
    [
        {"plays": {"fly": []}},
        {"plays": {"book": [{"do": "explode"}]}},
        {"plays": {"book": [{"speed": 4}]}},
        {"usual": {"ends": "never"}},
        {"speed": "fast"},
        {"rules": []},
        [],
    ],
)
def test_a_script_that_makes_no_sense_is_refused_and_changes_nothing(script: Any) -> None:
    with sandbox() as running:
        assert call(running, "script", script)[0] == 400
        assert running.script.scenario("RX-1").ends == "arrives"


def test_time_goes_by_at_the_speed_that_is_set() -> None:
    with sandbox(speed=100_000) as running:
        job, _ = running.world.book(Booking("generic", "k", "", "RX-1", PHARMACY, HOME))
        wait_for(lambda: job.stage is Stage.ARRIVED)
