"""The courier that speaks our own protocol: what goes over the wire, what its answers mean, and its webhooks."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Parcel, Receipt
from dispatchlog.gateways.courier import Report, WebhookRefused
from dispatchlog.gateways.courier_generic import MOST_EVENTS, GenericCourier
from dispatchlog.gateways.courier_sandbox import Sandbox
from dispatchlog.gateways.courier_sandbox_jobs import Stage
from dispatchlog.gateways.courier_signature import HEADER, sign

from .courier_servers import sandbox
from .rigs import SECRET, booking
from .servers import LOOPBACK, Certificate

WEBHOOK_SECRET = "webhook-secret"


@pytest.fixture
def running() -> Iterator[Sandbox]:
    with sandbox(token=SECRET) as started:
        yield started


@pytest.fixture
def courier(running: Sandbox) -> Iterator[GenericCourier]:
    made = GenericCourier(f"http://{LOOPBACK}:{running.port}/courier", SECRET, webhook_secrets=[WEBHOOK_SECRET])
    yield made
    made.close()


def book(courier: GenericCourier, parcel: Parcel | None = None) -> Receipt:
    return courier.booking.send(parcel or booking(uuid4()), deadline=Deadline(10), before_write=lambda: None)


def cancel(courier: GenericCourier, job_id: str) -> Receipt:
    body = json.dumps({"courierReference": job_id, "jobReferences": {}, "reason": "Ordered twice"}).encode()
    parcel = Parcel(uuid4(), f"cancel-{uuid4()}", job_id, body)
    return courier.cancellation.send(parcel, deadline=Deadline(10), before_write=lambda: None)


def ask(courier: GenericCourier, job_id: str) -> Report:
    return courier.ask(job_id, {}, deadline=Deadline(10))


def told(courier: GenericCourier, *events: Any, at: float | None = None) -> list[Report]:
    """Read a webhook of these events, or of this one body."""
    only = events[0] if len(events) == 1 else {"events": list(events)}
    body = only if isinstance(only, bytes) else json.dumps(only).encode()
    signature = sign([WEBHOOK_SECRET], body, at=int(time.time() if at is None else at))
    return list(courier.read_webhook({HEADER: signature}, body))


def event(**more: Any) -> dict[str, Any]:
    return {"eventId": "evt-1", "jobId": "J-1", "status": "ASSIGNED", **more}


def test_a_booking_is_told_by_its_job_and_what_a_patient_may_see_of_it(
    courier: GenericCourier, running: Sandbox
) -> None:
    parcel = booking(uuid4())
    receipt, again = book(courier, parcel), book(courier, parcel)
    assert receipt.provider_message_id == again.provider_message_id == "SB-000001"
    assert (receipt.evidence["status"], again.evidence["status"]) == (201, 200)
    assert datetime.fromisoformat(receipt.evidence["etaAt"]).tzinfo is not None
    assert [line["kind"] for line in running.world.journal()] == ["job", "event"]


def test_a_key_with_another_body_is_refused_and_books_nothing(courier: GenericCourier, running: Sandbox) -> None:
    parcel = booking(uuid4())
    book(courier, parcel)
    with pytest.raises(Permanent) as refused:
        book(courier, replace(booking(uuid4()), idempotency_key=parcel.idempotency_key))
    assert refused.value.code == "KEY_REUSED"
    assert len(running.world.jobs()) == 1


@pytest.mark.parametrize(
    ("play", "kind", "code"),
    [
        ({"do": "status", "status": 401}, Transient, "UNAUTHORISED"),
        ({"do": "status", "status": 429, "headers": {"Retry-After": "7"}}, Transient, "HTTP_429"),
        ({"do": "status", "status": 503}, Transient, "HTTP_503"),
        ({"do": "status", "status": 500}, OutcomeUnknown, "SCRIPTED"),
        ({"do": "status", "status": 409}, OutcomeUnknown, "SCRIPTED"),
        ({"do": "status", "status": 422, "body": {"code": "OUTSIDE_AREA"}}, Permanent, "OUTSIDE_AREA"),
        ({"do": "status", "status": 201, "body": {"jobId": ""}}, OutcomeUnknown, "MALFORMED_REPLY"),
        ({"do": "status", "status": 201, "body": {"jobId": "x" * 256}}, OutcomeUnknown, "MALFORMED_REPLY"),
        ({"do": "status", "status": 200, "body": "<html>"}, OutcomeUnknown, "MALFORMED_REPLY"),
    ],
)
def test_each_answer_to_a_booking_means_one_error(
    courier: GenericCourier, running: Sandbox, play: dict[str, Any], kind: type[GatewayError], code: str
) -> None:
    running.script.load({"plays": {"book": [play]}})
    with pytest.raises(GatewayError) as failed:
        book(courier)
    assert (type(failed.value), failed.value.code) == (kind, code)


def test_a_refusal_that_repeats_the_patient_does_not_reach_the_evidence(
    courier: GenericCourier, running: Sandbox
) -> None:
    body = {"code": "PHONE_INVALID", "message": "+2348000000002 of Sample Alfa at 9 Sample Close is no phone"}
    running.script.load({"plays": {"book": [{"do": "status", "status": 422, "body": body}]}})
    with pytest.raises(Permanent) as refused:
        book(courier)
    assert refused.value.evidence["message"] == "… of … at … is no phone"


@pytest.mark.parametrize(
    ("stage", "status"),
    [
        (Stage.BOOKED, "BOOKED"),
        (Stage.DECLINED, "BOOKED"),
        (Stage.ASSIGNED, "ASSIGNED"),
        (Stage.PICKED_UP, "PICKED_UP"),
        (Stage.IN_TRANSIT, "IN_TRANSIT"),
        (Stage.ARRIVED, "IN_TRANSIT"),
        (Stage.DELIVERED, "DELIVERED"),
        (Stage.FAILED, "FAILED"),
        (Stage.CANCELED, "CANCELED"),
    ],
)
def test_each_stage_of_a_job_has_its_normalised_status(
    courier: GenericCourier, running: Sandbox, stage: Stage, status: str
) -> None:
    job_id = str(book(courier).provider_message_id)
    running.world.move(job_id, stage)
    report = ask(courier, job_id)
    assert (report.status, report.courier_reference, report.event_id) == (status, job_id, f"evt-{job_id}-2")
    assert report == ask(courier, job_id)


def test_a_job_that_is_not_known_is_permanent_and_a_bad_answer_transient(
    courier: GenericCourier, running: Sandbox
) -> None:
    with pytest.raises(Permanent) as unknown:
        ask(courier, "nobody/../knows it")
    assert unknown.value.code == "JOB_UNKNOWN"
    bodies: list[Any] = [{"jobId": "J"}, [], {"status": "BOOKED", "jobId": 4.5}, {"status": "BOOKED", "jobId": "K"}]
    for body in bodies:
        running.script.load({"plays": {"ask": [{"do": "status", "status": 200, "body": body}]}})
        with pytest.raises(Transient) as bad:
            ask(courier, "J")
        assert bad.value.code == "MALFORMED_REPLY"


def test_cancelling_twice_has_the_effect_of_one(courier: GenericCourier, running: Sandbox) -> None:
    job_id = str(book(courier).provider_message_id)
    assert cancel(courier, job_id) == cancel(courier, job_id)
    job = running.world.job(job_id)
    assert job is not None
    assert [each.stage for each in job.events] == [Stage.BOOKED, Stage.CANCELED]


@pytest.mark.parametrize(
    ("stage", "code"),
    [(Stage.PICKED_UP, "ALREADY_PICKED_UP"), (Stage.ARRIVED, "ALREADY_PICKED_UP"), (Stage.FAILED, "ALREADY_ENDED")],
)
def test_what_the_driver_has_is_not_cancelled(
    courier: GenericCourier, running: Sandbox, stage: Stage, code: str
) -> None:
    job_id = str(book(courier).provider_message_id)
    running.world.move(job_id, stage)
    with pytest.raises(Permanent) as refused:
        cancel(courier, job_id)
    assert refused.value.code == code


def test_everything_goes_over_tls_and_an_authority_nobody_trusts_ends_it_before_a_byte(
    certificate: Certificate, tmp_path: Path
) -> None:
    with sandbox(certificate=certificate.certificate, key=certificate.key) as running:
        url = f"https://localhost:{running.port}/courier"
        trusting, wary = GenericCourier(url, "", ca_file=certificate.certificate), GenericCourier(url, "")
        job_id = str(book(trusting).provider_message_id)
        assert ask(trusting, job_id).status == "BOOKED"
        with pytest.raises(Transient) as refused:
            book(wary)
        assert refused.value.code == "TLS_CERTIFICATE"
        assert len(running.world.jobs()) == 1
        trusting.close()
        wary.close()


def test_a_webhook_says_what_happened_to_whom_and_when(courier: GenericCourier) -> None:
    [report] = told(
        courier,
        event(
            occurredAt="2026-03-02T09:15:00+01:00",
            etaAt="2026-03-02T09:40:00+01:00",
            trackingUrl="https://courier.example.org/J-1",
            driver={"name": "Sample Driver", "phone": "+15550100001"},
        ),
    )
    assert report == Report(
        event_id="evt-1",
        courier_reference="J-1",
        raw_status="ASSIGNED",
        status="ASSIGNED",
        occurred_at=datetime(2026, 3, 2, 8, 15, tzinfo=UTC),
        tracking_url="https://courier.example.org/J-1",
        driver_name="Sample Driver",
        driver_phone="+15550100001",
        eta_at=datetime(2026, 3, 2, 8, 40, tzinfo=UTC),
        body={
            "eventId": "evt-1",
            "jobId": "J-1",
            "status": "ASSIGNED",
            "occurredAt": "2026-03-02T08:15:00Z",
            "etaAt": "2026-03-02T08:40:00Z",
            "trackingUrl": "https://courier.example.org/J-1",
        },
    )


def test_a_status_nobody_knows_is_kept_as_it_was_said_and_moves_nothing(courier: GenericCourier) -> None:
    [report] = told(courier, event(status="customs\x00 hold", otp="1234"))
    assert (report.raw_status, report.status) == ("customs  hold", None)
    assert "1234" not in json.dumps(dict(report.body))


def test_odd_particulars_are_left_out_and_the_event_still_counts(courier: GenericCourier) -> None:
    [report] = told(
        courier,
        event(
            occurredAt="2026-03-02T09:15:00",  # whose nine o'clock?
            etaAt="9999-12-31T23:59:59-12:00",
            trackingUrl="javascript:alert(1)",
            driver="nobody",
            failure={"code": "\ud800", "reason": 7.5},
        ),
    )
    assert report.status == "ASSIGNED"
    assert (report.occurred_at, report.eta_at, report.tracking_url, report.driver_name, report.failure_code) == (
        None,
    ) * 5


def test_several_events_come_in_one_webhook_in_their_order(courier: GenericCourier) -> None:
    reports = told(courier, event(eventId="a"), event(eventId="b", status="PICKED_UP"))
    assert [(report.event_id, report.status) for report in reports] == [("a", "ASSIGNED"), ("b", "PICKED_UP")]


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b"[]",
        {"events": []},
        {"events": [{}] * (MOST_EVENTS + 1)},
        {"events": "no list"},
        event(eventId=""),
        event(eventId="x" * 129),
        event(eventId="a\x00b"),
        event(eventId=None),
        event(jobId=None),
        event(jobId="x" * 256),
        event(status=" \t"),
        event(status=["ASSIGNED"]),
        {"events": [event(), "nothing"]},
    ],
)
def test_a_signed_webhook_that_makes_no_sense_is_malformed_as_a_whole(courier: GenericCourier, said: Any) -> None:
    with pytest.raises(WebhookRefused) as refused:
        told(courier, said)
    assert refused.value.code == "WEBHOOK_MALFORMED"


def test_a_webhook_is_refused_before_it_is_read_where_it_is_old_or_not_signed(courier: GenericCourier) -> None:
    with pytest.raises(WebhookRefused) as stale:
        told(courier, b"not even JSON", at=time.time() - 3_600)
    with pytest.raises(WebhookRefused) as unsigned:
        courier.read_webhook({}, b"not even JSON")
    assert (stale.value.code, unsigned.value.code) == ("WEBHOOK_STALE", "WEBHOOK_SIGNATURE_INVALID")


def test_a_courier_without_a_webhook_secret_is_asked_more_often_and_takes_no_webhook() -> None:
    silent = GenericCourier("https://courier.example.org", "")
    talking = GenericCourier("https://courier.example.org", "", webhook_secrets=[WEBHOOK_SECRET])
    assert (silent.tells, talking.tells) == (False, True)
    assert silent.poll_seconds < talking.poll_seconds
    with pytest.raises(WebhookRefused):
        told(silent, event())
