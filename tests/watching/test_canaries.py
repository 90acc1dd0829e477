"""Nothing that names or describes a person is anywhere but in the database and with whom it is meant for.

One scenario on real processes, with canaries in every place where a person is named. What it goes through:

- kits: a form that leaves, one whose address the mail server refuses in words that repeat it, a report that is malformed
- courier: an order until the code at the door, a wrong code, an order that the courier refuses in words that repeat its
  patient, webhooks with a signature that does not fit and with a body that makes no sense
- tickets: doctor, pharmacy and patient, a prescription, its notification, a message, a text that is refused
- hl7: a visit that is acknowledged, one that is refused in words that repeat the student, a report that is malformed
- outreach: a text that leaves, one that Twilio refuses in words that repeat it, a variable about health behind a link, an
  answer of the patient, webhooks with a signature that does not fit and with a body that makes no sense
- somebody who looks for these people by their names, addresses and numbers
- a database that is away in the middle of a report

Where it looks afterwards: every process's output and errors at level debug with gunicorn's log of addresses, every answer
that is no success, /metrics, spans, the alerts' mails, every command that Valkey got and every key and value that it holds;
and every column of every table, which holds no canary but where docs/data-at-rest.md says so.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote_plus
from uuid import uuid4

import httpx
import redis

from dispatchlog.audit.horizon import Horizon
from dispatchlog.audit.sealing import seal_all
from dispatchlog.audit.verifying import verify
from dispatchlog.engine.database import connected, fetch_one
from dispatchlog.gateways.courier_sandbox_jobs import Stage
from dispatchlog.gateways.hl7_exchange_script import Answer, Rule
from dispatchlog.settings import Settings
from tests.at_rest import columns_with
from tests.dashboard.reported_visits import report
from tests.engine.lane import owner
from tests.scenarios.processes import wait_for
from tests.watching.whole import CLINIC, DOCTOR, OPERATORS, Whole, statuses, whole

__all__ = ["whole"]  # the fixture

NAME, OTHER_NAME = "Zyxanthe Quillfeather", "Brixolmar Vantongue"
STUDENT, GUARDIAN = "Ploverine", "Grimbaldo"
STREET, NOTE = "71 Wobblegate Crescent", "behind the quizzical topiary"
PHONE, OTHER_PHONE, COURIER_PHONE = "+12025550177", "+12025550178", "+971509876543"
MAIL, COURIER_MAIL, REFUSED_MAIL = (f"{who}@canary.example.org" for who in ("zyxanthe", "brixolmar", "refused-zyx"))
DOCTOR_MAIL, PHARMACY_MAIL, PATIENT_MAIL = (f"{who}@canary.example.org" for who in ("drzyx", "phazyx", "patzyx"))
EMIRATES_ID = "784-1999-7654321-1"
MEDICINE, INSTRUCTION, CHAT = "Flumoxatrine", "thrice under a waning moon", "my elbow hums at night"
ANSWER, TEST = "the purple hound says yes", "spectral plasma count"
ITEM = "Gribbenzolol 5 mg"
CANARIES = (
    *(NAME, OTHER_NAME, STUDENT, GUARDIAN, STREET, NOTE, MAIL, COURIER_MAIL, REFUSED_MAIL, DOCTOR_MAIL, PHARMACY_MAIL),
    *(PATIENT_MAIL, EMIRATES_ID, MEDICINE, INSTRUCTION, CHAT, ANSWER, TEST, ITEM, "Quillfeather", "Wobblegate"),
    *(number.lstrip("+") for number in (PHONE, OTHER_PHONE, COURIER_PHONE)),
)


# As docs/data-at-rest.md has it; practitioners are no patients, and only here are they called like some.
STILL_PLAIN = {
    *("care_parties.email", "care_parties.name", "care_people.name", "practitioners.email", "practitioners.name"),
    *("prescription_items.instructions", "prescription_items.name", "prescriptions.notes", "pharmacy_order_items.name"),
    *("order_kits.recipient_email", "health_information_dispatch_logs.recipient_email"),
    *("health_information_dispatch_logs.search_keys", "dispatch_search.key"),
    *("chat_messages.body", "dispatch_attempts.evidence"),
}


def found_in(text: str) -> list[str]:
    """The canaries that a text holds, as they are or as addresses and JSON write them."""
    every = {each: {each, quote_plus(each), json.dumps(each)[1:-1]} for each in CANARIES}
    folded = text.casefold()
    return [each for each, forms in every.items() if any(form.casefold() in folded for form in forms)]


@contextmanager
def listening(url: str) -> Iterator[list[str]]:
    """Every command that Valkey gets meanwhile."""
    heard: list[str] = []
    client = redis.Redis.from_url(url, encoding_errors="replace")
    number = client.connection_pool.connection_kwargs.get("db", 0)
    listens, ended = threading.Event(), f"ended-{uuid4()}"

    def listen() -> None:
        with client.monitor() as monitor:
            listens.set()
            for command in monitor.listen():
                if command["db"] == number:
                    heard.append(str(command["command"]))
                if ended in str(command["command"]):
                    return

    thread = threading.Thread(target=listen)
    thread.start()
    listens.wait(60)
    try:
        yield heard
    finally:
        client.echo(ended)
        thread.join(60)


def held(url: str) -> str:
    """Every key and value that Valkey holds."""
    client = redis.Redis.from_url(url, decode_responses=True, encoding_errors="replace")
    read = {
        "string": client.get,
        "hash": client.hgetall,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "zset": lambda key: client.zrange(key, 0, -1, withscores=True),
        "none": lambda key: "has just ended",
    }
    return "\n".join(f"{key} {read[client.type(key)](key)}" for key in client.scan_iter(count=1000))


def kits(whole: Whole) -> None:
    owned = [{"kitId": "KIT-OK-1", "recipientEmail": MAIL}, {"kitId": "KIT-NO-1", "recipientEmail": REFUSED_MAIL}]
    practitioner = {"id": str(uuid4()), "name": NAME, "email": DOCTOR_MAIL}
    document = {"orderNumber": "VT-1", "status": "shipped", "kits": owned, "practitioner": practitioner}
    whole.call("PUT", f"/kit-orders/{uuid4()}", json=document)
    for bad in ({**document, "kits": [{"kitId": "K", "recipientEmail": f"{MAIL} {NAME}"}]}, {"orderNumber": [NAME]}):
        assert whole.ask("PUT", f"/api/v1/kit-orders/{uuid4()}", json=bad).status_code == 400
    broken = f'{{"orderNumber": "{NAME}", "kits": [{MAIL}'
    assert whole.ask("PUT", f"/api/v1/kit-orders/{uuid4()}", content=broken).status_code in (400, 415)


def pharmacy_order(whole: Whole, number: str) -> str:
    order_id = str(uuid4())
    document = {
        "orderNumber": number,
        "pharmacy": "AL-NOOR",
        "patient": {"name": OTHER_NAME, "phone": COURIER_PHONE, "email": COURIER_MAIL},
        "delivery": {"address": STREET, "latitude": 25.08, "longitude": 55.14, "note": NOTE},
        "items": [{"name": ITEM, "quantity": 1}],
        "currency": "AED",
        "totalMinor": 4500,
    }
    whole.call("PUT", f"/orders/{order_id}", json=document)
    whole.call("PUT", f"/orders/{order_id}/payment", json={"status": "Paid", "reference": "pay-1"})
    whole.call("POST", f"/orders/{order_id}/ready")
    assert whole.ask("PUT", f"/api/v1/orders/{order_id}", json={**document, "currency": NAME}).status_code == 400
    return order_id


def courier(whole: Whole) -> list[str]:
    """One order is delivered, one refused; the codes that the patient got come back."""
    refusal = {"code": "REFUSED", "message": f"no way to {OTHER_NAME}, {STREET}, {COURIER_PHONE}"}
    order_id = pharmacy_order(whole, "PO-1")

    def dispatch() -> dict[str, Any]:
        return dict(whole.call("GET", f"/orders/{order_id}")["order"]["dispatch"] or {})

    wait_for(lambda: bool(dispatch().get("courierReference")))
    for stage in (Stage.ASSIGNED, Stage.PICKED_UP, Stage.IN_TRANSIT):
        assert whole.courier.world.move(dispatch()["courierReference"], stage) is not None
    codes: list[str] = []

    def arrived() -> bool:
        for mail in whole.mail.to(COURIER_MAIL):
            plain = next(part for part in mail.walk() if part.get_content_type() == "text/plain")
            body = plain.get_payload(decode=True)
            assert isinstance(body, bytes)
            codes.extend(re.findall(r"^(\d{6})\s*$", body.decode(), re.MULTILINE))
        return bool(codes)

    wait_for(arrived)
    dispatch_id = dispatch()["dispatchId"]
    wrong = str((int(codes[-1]) + 1) % 1_000_000).zfill(6)
    verify = f"/api/v1/dispatch/{dispatch_id}/otp/verify"
    assert not whole.ask("POST", verify, json={"code": wrong}).is_success
    assert whole.ask("POST", verify, json={"code": codes[-1]}).is_success
    whole.courier.script.load({"standing": {"book": {"do": "status", "status": 422, "body": refusal}}})
    pharmacy_order(whole, "PO-2")
    wait_for(lambda: statuses("courier_bookings") == ["SENT", "FAILED"])
    for headers in ({}, {"Courier-Signature": "t=1,v1=00"}):
        told = {"event_id": "e1", "status": "delivered", "note": NAME, "phone": COURIER_PHONE}
        assert whole.ask("POST", "/webhooks/courier/generic", json=told, headers=headers).status_code in (400, 401)
    return [*codes, wrong]


def tickets(whole: Whole) -> None:
    ids = {kind: str(uuid4()) for kind in ("doctor", "pharmacy", "patient")}
    names = {"doctor": (NAME, DOCTOR_MAIL), "pharmacy": (OTHER_NAME, PHARMACY_MAIL), "patient": (NAME, PATIENT_MAIL)}
    for kind, (name, address) in names.items():
        whole.call("PUT", f"/parties/{ids[kind]}", json={"kind": kind, "name": name, "email": address})
        whole.call("PUT", f"/people/{ids[kind]}", json={"name": name})
    token = whole.call("POST", f"/people/{ids['doctor']}/access-token")["token"]
    chosen = {"appointmentId": str(uuid4()), "patientId": ids["patient"], "secondaryProviderId": ids["pharmacy"]}
    ticket = whole.call("POST", "/tickets", json=chosen, token=token)["ticket"]
    written = {"items": [{"name": MEDICINE, "dosage": "one", "instructions": INSTRUCTION}], "notes": NOTE}
    path = f"/api/v1/tickets/{ticket['ticketId']}/prescription"
    assert whole.ask("PUT", path, json={**written, "items": [{"name": MEDICINE}]}, token=token).status_code == 400
    assert whole.ask("PUT", path, json=written, token=token).is_success
    thread = whole.call("GET", f"/threads?ticketId={ticket['ticketId']}", token=token)
    said = {"clientMessageId": str(uuid4()), "body": CHAT}
    messages = f"/api/v1/threads/{thread['threadId']}/messages"
    assert whole.ask("POST", messages, json=said, token=token).is_success
    assert not whole.ask("POST", messages, json={**said, "body": CHAT + NAME}, token=token).is_success
    assert not whole.ask("POST", f"/api/v1/threads/{uuid4()}/messages", json=said, token=token).is_success
    wait_for(lambda: bool(whole.mail.to(PHARMACY_MAIL)))


def visits(whole: Whole) -> None:
    student = {**report()["student"], "id": "S-1", "familyName": STUDENT, "givenName": NAME, "email": MAIL}
    student |= {"emiratesId": EMIRATES_ID, "guardian": {**student["guardian"], "givenName": GUARDIAN}}
    student["address"] = {**student["address"], "street": STREET}
    words = f"{STUDENT} {NAME} of {STREET} is unknown"
    whole.exchange.script.set([], rules=[Rule(Answer(code="AE", error="204", text=words, accept=False), patient="S-2")])
    for number in ("S-1", "S-2"):
        document = report(student={**student, "id": number}, number=f"V-{number}")
        assert whole.ask("POST", "/api/v1/visits", json=document).status_code == 201
    wait_for(lambda: sorted(statuses("hl7_messages")) == ["FAILED", "SENT"])
    for change in ({"birthDate": NAME}, {"emiratesId": NAME}, {"sex": STUDENT}):
        assert whole.ask("POST", "/api/v1/visits", json=report(student={**student, **change})).status_code == 400


def outreach(whole: Whole) -> None:
    patients = {}
    for number in (PHONE, OTHER_PHONE):
        patients[number] = str(uuid4())
        patient = {"id": patients[number], "name": NAME, "organization_id": CLINIC, "provider_id": DOCTOR}
        contact = {"phone": number, "timezone": "America/New_York", "country": "US", "language": "en"}
        whole.tell("patient.updated", {**patient, **contact})
    template = {
        "name": "Results",
        "purpose": "urgent",
        "channel": "sms",
        "body": "{{ organization_name }}: the result of {{ test_name }} is here. {{ opt_out_hint }}",
        "variables": [{"name": "test_name", "is_phi": True, "example": "blood count"}],
        "organization_id": CLINIC,
    }
    whole.call("POST", "/comm/templates", json=template)
    whole.texts.script.load({"replies": [{"to": PHONE, "answer": ANSWER, "after_seconds": 0.1}]})

    def wanted(number: str) -> str:
        asked = {
            "patient_id": patients[number],
            "purpose": "urgent",
            "is_urgent": True,
            "variables": {"test_name": TEST},
        }
        return str(whole.call("POST", "/comm/schedule", json=asked)["job_id"])

    def status(job_id: str) -> str:
        return str(whole.call("GET", f"/comm/jobs/{job_id}")["job"]["status"])

    sent = wanted(PHONE)
    wait_for(lambda: status(sent) in ("delivered", "replied"))
    [text] = [each.text for each in whole.texts.traffic.messages() if each.to == PHONE and not each.inbound]
    link = re.search(r"http\S+/p/[A-Za-z0-9_-]{43}", text)
    assert link is not None
    assert TEST in httpx.get(link[0]).text
    wait_for(lambda: _answers() > 0)
    words = {"code": 21211, "message": f"{OTHER_PHONE} of {NAME} is no number", "status": 400}
    whole.texts.script.load({"standing": {"twilio.send": {"do": "status", "status": 400, "body": words}}})
    refused = wanted(OTHER_PHONE)
    wait_for(lambda: status(refused) == "failed")
    bad = {"patient_id": patients[PHONE], "purpose": NAME, "variables": {"test_name": TEST}}
    assert not whole.ask("POST", "/api/v1/comm/schedule", json=bad).is_success
    form = {"From": PHONE, "To": "+12025550199", "Body": ANSWER, "MessageSid": "SM1"}
    forged = {"X-Twilio-Signature": "bm8="}
    assert whole.ask("POST", "/webhooks/twilio/inbound", data=form, headers=forged).status_code == 401
    told = {"provider": "twilio", "from": PHONE, "to": "+12025550199", "body": ANSWER, "message_id": "SM2"}
    generic = "/api/v1/comm/webhook/inbound"
    assert whole.ask("POST", generic, json=told, headers={"Comm-Signature": "t=1,v1=00"}).status_code == 401
    assert whole.ask("POST", generic, content=f"{NAME} {PHONE}").status_code in (400, 401, 415)


def _answers() -> int:
    with connected():
        return int(fetch_one("SELECT count(*) FROM comm_inbound WHERE processed OR waits_for_person")[0])


def searches(whole: Whole) -> None:
    for wanted in (MAIL, PHONE, NAME, COURIER_MAIL):
        for path in ("dispatches?key=", "dispatches?cause=", "orders?status="):
            whole.ask("GET", f"/api/v1/{path}{quote_plus(wanted)}")


def database_away(whole: Whole, database_url: str) -> None:
    """PostgreSQL ends every session while people are reported."""
    for number in range(3):
        with owner(database_url) as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name LIKE 'dispatchlog %%' AND pid <> pg_backend_pid()"
            )
        document = {"orderNumber": f"VT-9{number}", "kits": [{"kitId": "KIT-9", "recipientEmail": MAIL}]}
        whole.ask("PUT", f"/api/v1/kit-orders/{uuid4()}", json=document)
    with owner(database_url) as cursor:
        cursor.execute("ALTER TABLE visits ADD CONSTRAINT never CHECK (number <> 'V-NEVER') NOT VALID")
    student = {**report()["student"], "familyName": STUDENT, "givenName": NAME}
    assert whole.ask("POST", "/api/v1/visits", json=report(student=student, number="V-NEVER")).status_code >= 500


def test_no_canary_is_where_it_should_not_be(whole: Whole, settings_env: Settings, database_url: str) -> None:
    with listening(settings_env.redis_url) as commands:
        kits(whole)
        codes = courier(whole)
        tickets(whole)
        visits(whole)
        outreach(whole)
        searches(whole)
        wait_for(lambda: sorted(statuses("health_information_dispatch_logs")) == ["FAILED", "SENT"])
        wait_for(lambda: bool(whole.mail.to(OPERATORS)))
        measured = httpx.get(f"{whole.url}/metrics").text
        memory = held(settings_env.redis_url)
        database_away(whole, database_url)
        time.sleep(1.1)  # what is counted is written a second later

    # They got where they belong, so they were there to be found.
    assert whole.mail.to(MAIL)
    assert any(found_in(received.body.decode()) for received in whole.exchange.received)
    assert found_in(" ".join(path for path, _ in whole.heard)) == []

    texts = {f"{name}.log": whole.log(name) for name in ("dashboard", "worker", "scheduler", "sockets")}
    assert all(len(text) > 100 for name, text in texts.items() if name != "sockets.log")
    assert '"PUT /api/v1/kit-orders/' in texts["dashboard.log"], "with gunicorn's log of addresses"
    texts["what Valkey was told"] = "\n".join(commands)
    assert "dispatchlog:" in texts["what Valkey was told"]
    texts["what Valkey holds"] = memory
    texts["metrics"] = measured
    texts["spans"] = whole.spans.text()
    assert "dispatchlog.gateway" in texts["spans"]
    assert "dispatchlog_attempts_total" in measured or "dispatchlog_sent_total" in measured
    alerts = [str(mail) for mail in whole.mail.to(OPERATORS)]
    texts["alerts"] = "\n".join(alerts)
    errors = [answer for answer in whole.answers if not answer.is_success]
    assert len(errors) >= 15
    texts["errors"] = "\n".join(f"{answer.text} {dict(answer.headers)}" for answer in errors)
    assert {name: found for name, text in texts.items() if (found := found_in(text))} == {}
    for code in codes:
        alone = re.compile(rf"(?<![\w.-]){code}(?![\w.-])")
        assert [name for name, text in texts.items() if alone.search(text)] == []

    assert columns_with(database_url, CANARIES).keys() == STILL_PLAIN
    seal_all(Horizon(), who="tests")
    assert verify(who="tests").is_good
    with connected():
        for table in ("patient_reads", "audit_seals", "audit_checks", "operator_actions", "data_keys"):
            assert fetch_one(f"SELECT count(*) FROM {table}")[0] > 0, "there was something to look through"
