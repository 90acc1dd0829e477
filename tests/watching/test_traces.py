"""One trace id from the request to the last webhook, in the logs of every process on its way, at the provider and in the
database.
"""

from __future__ import annotations

import subprocess
from contextlib import closing
from uuid import uuid4

import psycopg2
import pytest

from dispatchlog.gateways.courier_sandbox_jobs import Stage
from dispatchlog.gateways.trace_headers import trace_headers
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.trace_story import BEGINNINGS
from dispatchlog.tracing import offered_trace_id
from tests.scenarios.processes import wait_for
from tests.watching.whole import CLINIC, DOCTOR, Whole, command_line, statuses, whole

__all__ = ["whole"]  # the fixture

FORM, COURIER, TEXT = ("4bf92f3577b34da6a3ce929d0e0e473" + digit for digit in "678")


def told(trace_id: str) -> str:
    """What `dispatchlog trace` says."""
    return subprocess.run(
        command_line("trace", trace_id), capture_output=True, text=True, check=True, timeout=120
    ).stdout


def report_order(whole: Whole) -> None:
    kits = [{"kitId": "KIT-7F3A", "recipientEmail": "someone@example.org"}]
    practitioner = {"id": str(uuid4()), "name": "Lakeside Clinic", "email": "desk@example.com"}
    document = {"orderNumber": "VT-1", "status": "shipped", "kits": kits, "practitioner": practitioner}
    whole.call("PUT", f"/kit-orders/{uuid4()}", json=document, trace_id=FORM)


def order_courier(whole: Whole) -> str:
    order_id = str(uuid4())
    document = {
        "orderNumber": "PO-1",
        "pharmacy": "AL-NOOR",
        "patient": {"name": "Sample Patient", "phone": "+971501234567", "email": "amina@example.com"},
        "delivery": {"address": "3 Marina Road", "latitude": 25.08, "longitude": 55.14},
        "items": [{"name": "Amlodipine 5 mg", "quantity": 1}],
        "currency": "AED",
        "totalMinor": 4500,
    }
    whole.call("PUT", f"/orders/{order_id}", json=document, trace_id=COURIER)
    payment = {"status": "Paid", "reference": "pay-1"}
    whole.call("PUT", f"/orders/{order_id}/payment", json=payment, trace_id=COURIER)
    whole.call("POST", f"/orders/{order_id}/ready", trace_id=COURIER)
    return order_id


def text_patient(whole: Whole) -> str:
    patient_id = str(uuid4())
    patient = {"id": patient_id, "name": "Sample Patient", "organization_id": CLINIC, "provider_id": DOCTOR}
    contact = {"phone": "+12025550150", "timezone": "America/New_York", "country": "US", "language": "en"}
    whole.tell("patient.updated", {**patient, **contact})
    wanted = {"patient_id": patient_id, "purpose": "urgent", "is_urgent": True, "variables": {}}
    return str(whole.call("POST", "/comm/schedule", json=wanted, trace_id=TEXT)["job_id"])


def test_one_id_goes_all_the_way(whole: Whole) -> None:
    report_order(whole)
    order_id = order_courier(whole)
    job_id = text_patient(whole)

    def dispatch() -> dict[str, str]:
        return whole.call("GET", f"/orders/{order_id}")["order"]["dispatch"] or {}

    wait_for(lambda: dispatch().get("courierReference") not in (None, ""))
    assert whole.courier.world.move(dispatch()["courierReference"], Stage.ASSIGNED) is not None
    wait_for(lambda: bool(whole.mail.to("someone@example.org")))
    wait_for(lambda: whole.call("GET", f"/comm/jobs/{job_id}")["job"]["status"] == "delivered")
    wait_for(lambda: "DISPATCH_UPDATED" in whole.events("worker", COURIER))
    wait_for(lambda: statuses("health_information_dispatch_logs") == ["SENT"])

    # A form: request, registration, mail.
    (mail,) = whole.mail.to("someone@example.org")
    assert mail["X-Trace-Id"] == FORM
    assert whole.events("dashboard", FORM) == {"REQUEST_ANSWERED"}
    both = {"kit_registration", "health_information"}
    wait_for(  # a line comes after the commit that was waited for
        lambda: {line["lane"] for line in whole.lines("worker", FORM) if line["event"] == "DISPATCH_SENT"} == both
    )

    # A courier: request, booking over HTTP, webhook.
    assert {"REQUEST_ANSWERED", "DISPATCH_REQUESTED"} <= whole.events("dashboard", COURIER)
    wait_for(lambda: {"DISPATCH_SENT", "DISPATCH_CREATED", "DISPATCH_UPDATED"} <= whole.events("worker", COURIER))
    (updated,) = [line for line in whole.lines("worker", COURIER) if line["event"] == "DISPATCH_UPDATED"][:1]
    assert updated["source"] in ("booking", "webhook")
    booked = [headers for path, headers in whole.heard if COURIER in headers.get("traceparent", "")]
    assert booked
    assert {headers["x-trace-id"] for headers in booked} == {COURIER}

    # A text: request, Twilio over HTTP, its status webhook.
    assert "REQUEST_ANSWERED" in whole.events("dashboard", TEXT)
    wait_for(lambda: {"DISPATCH_SENT", "OUTREACH_MESSAGE_UPDATED"} <= whole.events("worker", TEXT))
    (asked,) = [path for path, headers in whole.heard if TEXT in headers.get("traceparent", "")]
    assert asked.endswith("/Messages.json")

    # The same as spans.
    wait_for(lambda: ("worker", "send") in whole.spans.of(TEXT))
    wait_for(lambda: ("dashboard", "POST /api/v1/comm/schedule") in whole.spans.of(TEXT))
    wait_for(lambda: ("dashboard", "PUT /api/v1/kit-orders/<order_id>") in whole.spans.of(FORM))
    wait_for(lambda: ("worker", "send") in whole.spans.of(COURIER))
    wait_for(lambda: {"claim", "job sweep:health_information"} <= whole.spans.names())
    wait_for(lambda: any(name.startswith("POST /webhooks/") for name in whole.spans.names()))

    # And what the database knows.
    form, courier, text = told(FORM), told(COURIER), told(TEXT)
    for words in ("kit_registration", "health_information", "attempt 1 by smtp ACCEPTED", "QUEUED -> SENT by worker"):
        assert words in form
    for words in ("pharmacy_orders", "courier_booking", "courier_events", "webhook"):
        assert words in courier
    for words in ("comm_job", job_id, "comm_events", "delivered"):
        assert words in text
    lines = [line.split("  ")[0] for line in text.splitlines()[1:]]
    assert lines == sorted(lines)
    for secret in ("someone@example.org", "Sample Patient", "+971501234567", "Marina", "+12025550150", "Amlodipine"):
        assert secret not in form + courier + text


def test_of_an_unknown_id_nothing_is_told(settings_env: Settings) -> None:
    ended = subprocess.run(command_line("trace", "f" * 32), capture_output=True, text=True, check=False, timeout=120)
    assert (ended.returncode, "TRACE_UNKNOWN" in ended.stderr) == (1, True)


@pytest.mark.parametrize(
    ("own", "traceparent", "taken"),
    [
        ("chat-77", f"00-{FORM}-00f067aa0ba902b7-01", "chat-77"),
        ("", f"00-{FORM}-00f067aa0ba902b7-01", FORM),
        ("not\nsane", f" 00-{FORM}-00f067aa0ba902b7-00 ", FORM),
        ("", f"cc-{FORM}-00f067aa0ba902b7-01-what-comes-later", FORM),
        ("", f"ff-{FORM}-00f067aa0ba902b7-01", ""),
        ("", f"00-{FORM.upper()}-00f067aa0ba902b7-01", ""),
        ("", f"00-{'0' * 32}-00f067aa0ba902b7-01", ""),
        ("", f"00-{FORM}-{'0' * 16}-01", ""),
        ("", "", ""),
    ],
)
def test_an_id_is_taken_from_whoever_names_a_sane_one(own: str, traceparent: str, taken: str) -> None:
    assert offered_trace_id(own=own, traceparent=traceparent) == taken


def test_each_request_to_a_provider_is_a_span_of_its_own() -> None:
    one, other = trace_headers(FORM), trace_headers(FORM)
    assert one["traceparent"][:36] == other["traceparent"][:36] == f"00-{FORM}-"
    assert one["traceparent"] != other["traceparent"]
    assert offered_trace_id(own="", traceparent=one["traceparent"]) == FORM
    assert trace_headers("chat-77") == {"X-Trace-Id": "chat-77"}
    assert trace_headers("") == {}


def test_every_row_of_a_request_has_its_id(settings_env: Settings) -> None:
    """Wherever a trace id is kept, `dispatchlog trace` looks, but for what is its parties' or the auditors' alone."""
    with closing(psycopg2.connect(settings_env.database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.columns WHERE column_name = 'trace_id'")
        kept = {row[0] for row in cursor.fetchall()}
    looked_at = {lane.table for lane in registry.lanes()} | {table for table, _, _ in BEGINNINGS}
    of_parties_alone = {"healthcare_tickets", "ticket_changes", "ticket_overview"}
    assert kept - looked_at == of_parties_alone | {"order_changes", "dispatch_template", "patient_reads"}
