"""The stand-in for Twilio, SendGrid and WhatsApp: signed webhooks in and out of order, answers of patients, its page."""

from __future__ import annotations

import base64
import http.client
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID, uuid4

import pytest
from sendgrid.helpers.eventwebhook import EventWebhook
from twilio.request_validator import RequestValidator

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import Permanent
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways import provider_signatures as signatures
from dispatchlog.gateways.outreach_letters import compose_twilio, compose_whatsapp
from dispatchlog.gateways.outreach_sandbox import Options, Sandbox
from dispatchlog.gateways.outreach_sandbox_script import Script

from .courier_servers import WebhookTaker, wait_for
from .rigs import SECRET, comm_job, parcel_of, text_parcel
from .servers import LOOPBACK
from .test_outreach_gateways import opened

KEY = signatures.new_sendgrid_key()
TO = "+12025550123"


@contextmanager
def standing(taker: WebhookTaker, **script: Any) -> Iterator[Sandbox]:
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(taker.url))
    running = Sandbox(
        Options(
            webhook_url=origin,
            twilio_auth_token=SECRET,
            sendgrid_api_key=SECRET,
            sendgrid_signing_key=KEY,
            whatsapp_token=SECRET,
            whatsapp_app_secret=SECRET,
        )
    )
    running.script.load({"usual": {"step_seconds": 0, "ends": "read"}, **script})
    try:
        yield running
    finally:
        running.close()


def send(running: Sandbox, provider: str, parcel: Parcel) -> None:
    gateway = opened(provider, running)
    try:
        gateway.send(parcel, deadline=Deadline(30), before_write=lambda: None)
    finally:
        gateway.close()


def text(taker: WebhookTaker, channel: str = "sms", **columns: Any) -> tuple[Parcel, str]:
    """A message by Twilio, and where its status is told."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(taker.url))
    job = comm_job(uuid4(), channel, **columns)
    parts = compose_twilio(job, sender="+12025550199", status_url=origin, in_conversation=True)
    return parcel_of(parts, job["id"]), f"{origin}/webhooks/twilio/status/{job['id']}"


def forms(taker: WebhookTaker) -> list[dict[str, str]]:
    return [dict(parse_qsl(body.decode(), keep_blank_values=True)) for _, body in taker.took]


def statuses(taker: WebhookTaker) -> list[str]:
    return [form["MessageStatus"] for form in forms(taker)]


def test_an_sms_is_told_in_order_by_webhooks_that_twilios_library_accepts() -> None:
    with WebhookTaker() as taker, standing(taker) as running:
        parcel, url = text(taker)
        send(running, "twilio", parcel)
        wait_for(lambda: len(taker.took) == 3)
        assert statuses(taker) == ["queued", "sent", "delivered"]
        for (headers, _), form in zip(taker.took, forms(taker), strict=True):
            assert RequestValidator(SECRET).validate(url, form, headers["X-Twilio-Signature"])
            assert form["MessageSid"] == running.traffic.messages()[0].message_id
            assert form["To"] == TO


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ({"ends": "waits"}, ["queued"]),
        ({"ends": "sent"}, ["queued", "sent"]),
        ({"ends": "failed", "code": 30005}, ["queued", "sent", "undelivered"]),
        ({"swapped": True}, ["sent", "queued", "delivered"]),
        ({"copies": 2}, ["queued", "queued", "sent", "sent", "delivered", "delivered"]),
        ({"lost": ["sent", "queued"]}, ["delivered"]),
    ],
)
def test_webhooks_fail_are_doubled_swapped_and_lost_as_scripted(scenario: dict[str, Any], expected: list[str]) -> None:
    with WebhookTaker() as taker, standing(taker, numbers={TO: {"step_seconds": 0, **scenario}}) as running:
        send(running, "twilio", text(taker)[0])
        # What goes to another number afterwards shows that nothing more came of the first.
        parcel, _ = text(taker, recipient="+12025550124")
        send(running, "twilio", parcel)
        wait_for(lambda: [form["To"] for form in forms(taker)].count("+12025550124") == 3)
        first = [form for form in forms(taker) if form["To"] == TO]
        assert [form["MessageStatus"] for form in first] == expected
        assert first[-1].get("ErrorCode") == (str(scenario["code"]) if "code" in scenario else None)


def test_a_webhook_that_is_refused_comes_again_with_the_same_content() -> None:
    with WebhookTaker(500) as taker, standing(taker, numbers={TO: {"ends": "waits", "step_seconds": 0}}) as running:
        send(running, "twilio", text(taker)[0])
        wait_for(lambda: len(taker.took) == 2)
        assert taker.took[0][1] == taker.took[1][1]


def test_a_mails_events_are_accepted_by_sendgrids_library_and_name_our_job() -> None:
    job_id = uuid4()
    with WebhookTaker() as taker, standing(taker) as running:
        send(running, "sendgrid", text_parcel("sendgrid", job_id))
        wait_for(lambda: len(taker.took) == 3)
        official = EventWebhook(signatures.sendgrid_public_key(KEY))
        for headers, body in taker.took:
            signature, timestamp = (
                headers[name] for name in (signatures.SENDGRID_HEADER, signatures.SENDGRID_TIMESTAMP_HEADER)
            )
            assert official.verify_signature(body.decode(), signature, timestamp)
        events = [event for _, body in taker.took for event in json.loads(body)]
        assert [event["event"] for event in events] == ["processed", "delivered", "open"]
        assert {event["job"] for event in events} == {str(job_id)}
        assert len({event["sg_event_id"] for event in events}) == 3
        (message,) = running.traffic.messages()
        assert all(event["sg_message_id"].startswith(message.message_id) for event in events)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("failed", ["processed", "bounce"]),
        ("dropped", ["dropped"]),
        ("spamreport", ["processed", "delivered", "open", "spamreport"]),
        ("unsubscribed", ["processed", "delivered", "open", "unsubscribe"]),
        ("clicked", ["processed", "delivered", "open", "click"]),
    ],
)
def test_a_mail_ends_as_scripted(ends: str, expected: list[str]) -> None:
    with (
        WebhookTaker() as taker,
        standing(taker, numbers={"sample@home.test": {"ends": ends, "step_seconds": 0}}) as running,
    ):
        send(running, "sendgrid", text_parcel("sendgrid", uuid4()))
        wait_for(lambda: len(taker.took) == len(expected))
        assert [json.loads(body)[0]["event"] for _, body in taker.took] == expected


def values(taker: WebhookTaker) -> list[Mapping[str, Any]]:
    for headers, body in taker.took:
        assert signatures.verify_whatsapp(SECRET, body, headers["X-Hub-Signature-256"])
    return [json.loads(body)["entry"][0]["changes"][0]["value"] for _, body in taker.took]


def test_whatsapps_statuses_bring_our_id_back_and_free_text_needs_an_open_window() -> None:
    job = comm_job(uuid4(), "whatsapp")
    free, template = (parcel_of(compose_whatsapp(job, in_conversation=within), job["id"]) for within in (True, False))
    with WebhookTaker() as taker, standing(taker) as running:
        send(running, "whatsapp", free)
        wait_for(lambda: len(taker.took) == 1)
        (closed,) = values(taker)[0]["statuses"]
        assert (closed["status"], closed["errors"][0]["code"]) == ("failed", 131047)
        send(running, "whatsapp", template)
        wait_for(lambda: len(taker.took) == 4)
        told = [value["statuses"][0] for value in values(taker)[1:]]
        assert [each["status"] for each in told] == ["sent", "delivered", "read"]
        assert {each["biz_opaque_callback_data"] for each in told} == {str(job["id"])}
        running.traffic.answering["whatsapp"](running.traffic.messages()[0], "OK")
        send(running, "whatsapp", free)
        wait_for(lambda: len(taker.took) == 8)
        assert [value["statuses"][0]["status"] for value in values(taker)[5:]] == ["sent", "delivered", "read"]


@pytest.mark.parametrize(("asks", "answer"), [("YES", "YES"), ("yes", "SÍ"), ("", "STOP")])
def test_a_patient_answers_by_rule_after_the_text_has_arrived(asks: str, answer: str) -> None:
    rules = [{"to": "+1", "answer": "never"}, {"asks": asks, "answer": answer, "after_seconds": 0}]
    with WebhookTaker() as taker, standing(taker, replies=rules) as running:
        send(running, "twilio", text(taker)[0])
        wait_for(lambda: len(taker.took) == 4)
        (inbound,) = [form for form in forms(taker) if "MessageStatus" not in form]
        assert (inbound["From"], inbound["To"], inbound["Body"]) == (TO, "+12025550199", answer)
        headers = taker.took[forms(taker).index(inbound)][0]
        origin = "{0.scheme}://{0.netloc}".format(urlsplit(taker.url))
        signed = headers["X-Twilio-Signature"]
        assert RequestValidator(SECRET).validate(f"{origin}/webhooks/twilio/inbound", inbound, signed)


def test_who_told_twilio_to_stop_gets_no_further_text_until_start() -> None:
    with WebhookTaker() as taker, standing(taker) as running:
        send(running, "twilio", text(taker)[0])
        message = running.traffic.messages()[0]
        running.traffic.answering["twilio"](message, " stop ")
        with pytest.raises(Permanent) as refused:
            send(running, "twilio", text(taker)[0])
        assert refused.value.code == "OPTED_OUT"
        running.traffic.answering["twilio"](message, "START")
        send(running, "twilio", text(taker)[0])
        wait_for(lambda: [form.get("OptOutType") for form in forms(taker) if "Body" in form] == ["STOP", "START"])


def test_whatsapps_patient_answers_with_a_signed_message() -> None:
    job = comm_job(uuid4(), "whatsapp")
    parcel = parcel_of(compose_whatsapp(job, in_conversation=False), job["id"])
    with WebhookTaker() as taker, standing(taker, replies=[{"answer": "SÍ", "after_seconds": 0}]) as running:
        send(running, "whatsapp", parcel)
        wait_for(lambda: len(taker.took) == 4)
        (said,) = [value["messages"][0] for value in values(taker) if "messages" in value]
        assert (said["from"], said["text"]["body"]) == (TO.lstrip("+"), "SÍ")


def ask(running: Sandbox, method: str, path: str, body: bytes = b"") -> tuple[int, str]:
    connection = http.client.HTTPConnection(LOOPBACK, running.port, timeout=10)
    connection.request(method, path, body)
    answer = connection.getresponse()
    found = answer.status, answer.read().decode()
    connection.close()
    return found


def test_the_page_shows_texts_escaped_and_lets_a_person_answer_as_the_patient() -> None:
    with WebhookTaker() as taker, standing(taker) as running:
        assert "Nothing has gone out yet" in ask(running, "GET", "/messages")[1]
        send(running, "twilio", text(taker, body="See <you> & co")[0])
        status, page = ask(running, "GET", "/messages")
        assert status == 200
        assert "See &lt;you&gt; &amp; co" in page
        assert ask(running, "POST", "/messages/1/answer", b"text=")[0] == 400
        assert ask(running, "POST", "/messages/9/answer", b"text=YES")[0] == 404
        assert ask(running, "POST", "/messages/1/answer", b"text=YES+please")[0] == 303
        listed = json.loads(ask(running, "GET", "/messages.json")[1])
        assert [(each["inbound"], each["text"]) for each in listed] == [(False, "See <you> & co"), (True, "YES please")]
        wait_for(lambda: any(form.get("Body") == "YES please" for form in forms(taker)))


@pytest.mark.parametrize(
    "path", ["/nothing", "/twilio/none", "/sendgrid/v3/none", "/whatsapp/v25.0/none", "/sandbox/none"]
)
def test_what_there_is_not_is_404(path: str) -> None:
    with WebhookTaker() as taker, standing(taker) as running:
        assert ask(running, "POST", path, b"{}")[0] == 404


@pytest.mark.parametrize(
    ("path", "key", "code"),
    [
        ("/sendgrid/v3/mail/send", "wrong", 401),
        ("/sendgrid/v3/mail/send", SECRET, 400),
        ("/whatsapp/v25.0/100000000000001/messages", "wrong", 401),
        ("/whatsapp/v25.0/100000000000001/messages", SECRET, 400),
        ("/whatsapp/v25.0/2/messages", SECRET, 400),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b'{"personalizations":[],"messaging_product":"x"}', b"[" * 9_000]
)
def test_providers_refuse_nonsense_and_wrong_keys_in_their_own_words(
    path: str, key: str, code: int, body: bytes
) -> None:
    with WebhookTaker() as taker, standing(taker) as running:
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{running.port}{path}", body, {"Authorization": f"Bearer {key}"}
        )
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=10)  # noqa: S310  (our own server)
        said = json.loads(refused.value.read())
        assert refused.value.code == code
        assert said["errors"][0]["message"] if "sendgrid" in path else said["error"]["code"]
        assert running.traffic.messages() == []


@pytest.mark.parametrize(
    "document",
    [
        {"odd": 1},
        {"plays": {"twilio.none": []}},
        {"plays": {"twilio.send": [{"do": "nothing"}]}},
        {"usual": {"ends": "never"}},
        {"numbers": {TO: {"odd": 1}}},
        {"replies": [{"to": TO}]},
    ],
)
def test_a_script_with_something_unknown_is_refused_whole(document: dict[str, Any]) -> None:
    script = Script()
    script.load({"usual": {"ends": "sent"}, "replies": [{"answer": "A"}]})
    with pytest.raises(ValueError, match=r".+"):
        script.load({"replies": [], "usual": {"ends": "read"}, **document})
    assert script.scenario(TO).ends == "sent"
    assert script.reply(TO, "x") is not None


def test_the_process_serves_says_no_number_and_ends_when_told(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_text(KEY)
    command = [
        sys.executable,
        "-m",
        "dispatchlog.cli",
        "outreach",
        "sandbox",
        "--port",
        "0",
        "--sendgrid-key-file",
        str(key),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = json.loads(process.stdout.readline())["port"]
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{port}/twilio/2010-04-01/Accounts/AC{'5a' * 16}/Messages.json",
            f"To=%2B{TO[1:]}&From=%2B12025550199&Body=Hello".encode(),
            {"Authorization": "Basic " + base64.b64encode(b"a:b").decode()},
        )
        assert json.loads(urllib.request.urlopen(request, timeout=10).read())["status"] == "queued"  # noqa: S310
        lines = [process.stdout.readline() for _ in range(2)]
    finally:
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert not _told_of([*lines, rest], TO.lstrip("+"), "Hello")


def _told_of(lines: Sequence[str], *words: str) -> bool:
    return any(word in line for line in lines for word in words)


def test_ids_of_jobs_are_known_by_their_reference() -> None:
    with WebhookTaker() as taker, standing(taker) as running:
        parcel, _ = text(taker)
        send(running, "twilio", parcel)
        assert UUID(running.traffic.messages()[0].reference) == parcel.dispatch_id
