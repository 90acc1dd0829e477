"""Twilio, SendGrid and WhatsApp: what goes over the wire, what each answer means, and what a look-up may conclude."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID, uuid4

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import GatewayError, Health, OutcomeUnknown, Permanent, Transient
from dispatchlog.engine.gateway import Gateway, LookUpAnswer, Parcel
from dispatchlog.gateways.http_replies import HttpReply
from dispatchlog.gateways.outreach_codes import Meaning, twilio_meaning, whatsapp_meaning
from dispatchlog.gateways.outreach_letters import compose_twilio
from dispatchlog.gateways.outreach_replies import refusal
from dispatchlog.gateways.outreach_sandbox import ACCOUNT_SID, PHONE_NUMBER_ID, Options, Sandbox
from dispatchlog.gateways.outreach_sandbox_messages import Message
from dispatchlog.gateways.sendgrid import SendGridGateway
from dispatchlog.gateways.twilio import TwilioGateway
from dispatchlog.gateways.whatsapp_cloud import WhatsAppCloudGateway
from tests.lateness import within

from .courier_servers import wait_for
from .rigs import OUTREACH_RIGS, SECRET, comm_job, parcel_of, text_parcel
from .servers import LOOPBACK, RawServer, drip, raw_server, reset

PROVIDERS = tuple(name.removeprefix("outreach-") for name in OUTREACH_RIGS)
TO, FROM = "+12025550123", "+12025550199"


def gateway_at(provider: str, base: str) -> Gateway:
    if provider == "twilio":
        return TwilioGateway(base, ACCOUNT_SID, SECRET)
    if provider == "sendgrid":
        return SendGridGateway(base, SECRET)
    return WhatsAppCloudGateway(f"{base}/v25.0", SECRET, PHONE_NUMBER_ID)


@contextmanager
def sandbox() -> Iterator[Sandbox]:
    running = Sandbox(Options(twilio_auth_token=SECRET, sendgrid_api_key=SECRET, whatsapp_token=SECRET))
    running.script.load({"usual": {"step_seconds": 0}})
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def running() -> Iterator[Sandbox]:
    with sandbox() as opened:
        yield opened


def opened(provider: str, running: Sandbox) -> Gateway:
    return gateway_at(provider, f"http://{LOOPBACK}:{running.port}/{provider}")


def send(gateway: Gateway, parcel: Parcel, *, seconds: float = 30.0) -> Any:
    return gateway.send(parcel, deadline=Deadline(seconds), before_write=lambda: None)


def refused(provider: str, running: Sandbox, status: int, body: Any, **play: Any) -> GatewayError:
    plays = [{"do": "status", "status": status, "body": body, **play}]
    running.script.load({"plays": {f"{provider}.send": plays}})
    gateway = opened(provider, running)
    with pytest.raises(GatewayError) as error:
        send(gateway, text_parcel(provider, uuid4()))
    gateway.close()
    return error.value


# What our requests are, beside those of Twilio's own library.


class SdkToSandbox(TwilioHttpClient):
    """Twilio's library with its own HTTP, to another address; keeps what it sent."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def request(self, method: str, url: str, *args: Any, **named: Any) -> Any:
        return super().request(method, url.replace("https://api.twilio.com", self._base), *args, **named)


def seen_by_a_server(talk: Callable[[str], None]) -> tuple[str, str, dict[str, str], list[tuple[str, str]]]:
    """Method, path, headers and form fields of the one request that `talk` makes to a base URL."""
    answer = b'{"sid":"SM1","status":"queued"}'
    whole: list[bytes] = []

    def serve(connection: socket.socket, _server: RawServer) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65_536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        while len(body) < length:
            body += connection.recv(65_536)
        whole.append(head + b"\r\n\r\n" + body)
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

    with raw_server(serve) as server:
        talk(f"http://{LOOPBACK}:{server.port}")
    head, _, body = whole[0].decode().partition("\r\n\r\n")
    first, *lines = head.split("\r\n")
    method, path, _ = first.split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return method, path, headers, sorted(parse_qsl(body, keep_blank_values=True))


@pytest.mark.parametrize(
    ("columns", "sender", "asked"),
    [
        ({}, FROM, {"from_": FROM, "to": TO}),
        ({"body": "Ça va? נתראה + 100% & more = 😀\nsecond line"}, FROM, {"from_": FROM, "to": TO}),
        ({}, "MG" + "0" * 32, {"messaging_service_sid": "MG" + "0" * 32, "to": TO}),
        ({"channel": "whatsapp"}, FROM, {"from_": f"whatsapp:{FROM}", "to": f"whatsapp:{TO}"}),
    ],
)
def test_our_request_is_that_of_twilios_own_library(
    columns: dict[str, Any], sender: str, asked: dict[str, str]
) -> None:
    job = comm_job(uuid4(), **columns)
    callback = f"https://desk.example.org/webhooks/twilio/status/{job['id']}"
    parts = compose_twilio(job, sender=sender, status_url="https://desk.example.org/", in_conversation=True)

    def ours(base: str) -> None:
        gateway = TwilioGateway(base, ACCOUNT_SID, SECRET)
        send(gateway, parcel_of(parts, job["id"]))
        gateway.close()

    def theirs(base: str) -> None:
        client = Client(ACCOUNT_SID, SECRET, http_client=SdkToSandbox(base))
        valid = {"validity_period": 600} if job["channel"] == "sms" else {}
        client.messages.create(body=job["body"], status_callback=callback, **valid, **asked)

    (method, path, headers, fields), wanted = seen_by_a_server(ours), seen_by_a_server(theirs)
    assert (method, path, fields) == (wanted[0], wanted[1], wanted[3])
    for name in ("authorization", "content-type"):
        assert headers[name] == wanted[2][name]


def test_a_whatsapp_template_by_twilio_is_that_of_its_own_library() -> None:
    template = {"content_sid": "HX" + "1" * 32, "parameters": ["3 March", "Sam  \n Alfa"]}
    job = comm_job(uuid4(), "whatsapp", provider_template=template)
    parts = compose_twilio(job, sender=FROM, status_url="")
    variables = json.dumps({"1": "3 March", "2": "Sam Alfa"}, separators=(",", ":"))

    def theirs(base: str) -> None:
        client = Client(ACCOUNT_SID, SECRET, http_client=SdkToSandbox(base))
        client.messages.create(
            to=f"whatsapp:{TO}", from_=f"whatsapp:{FROM}", content_sid="HX" + "1" * 32, content_variables=variables
        )

    assert sorted(parse_qsl(parts.body.decode())) == seen_by_a_server(theirs)[3]


def test_twilios_own_library_sends_lists_and_fetches_at_the_sandbox(running: Sandbox) -> None:
    client = Client(ACCOUNT_SID, SECRET, http_client=SdkToSandbox(f"http://{LOOPBACK}:{running.port}/twilio"))
    made = client.messages.create(to=TO, from_=FROM, body="Hello")
    assert (made.status, made.direction, made.error_code) == ("queued", "outbound-api", None)
    assert made.date_created is not None
    wait_for(lambda: client.messages(made.sid).fetch().status == "delivered")
    for index in range(4):
        client.messages.create(to="+12025550124", from_=FROM, body=str(index))
    assert [each.sid for each in client.messages.list(to=TO)] == [made.sid]
    assert [each.body for each in client.messages.list(to="+12025550124", page_size=2)] == ["3", "2", "1", "0"]
    assert client.messages.list(to=TO, date_sent_after=datetime.now(UTC) + timedelta(hours=1)) == []
    with pytest.raises(TwilioRestException) as wrong:
        client.messages.create(to="12", from_=FROM, body="Hello")
    assert (wrong.value.status, wrong.value.code) == (400, 21211)
    with pytest.raises(TwilioRestException) as unknown:
        Client(ACCOUNT_SID, "wrong", http_client=client.http_client).messages.create(to=TO, from_=FROM, body="x")
    assert (unknown.value.status, unknown.value.code) == (401, 20003)


# What answers mean.


@pytest.mark.parametrize(
    ("status", "number", "kind", "code"),
    [
        (400, 21610, Permanent, "OPTED_OUT"),
        (400, 63016, Permanent, "WINDOW_CLOSED"),
        *((400, number, Permanent, f"TWILIO_{number}") for number in (21211, 21606, 21612, 21614, 21617, 99999)),
        (403, 21408, Permanent, "TWILIO_21408"),
        *((400, number, Permanent, f"TWILIO_{number}") for number in (30004, 30005, 30006, 30007, 63003, 63024)),
        *((400, number, Transient, f"TWILIO_{number}") for number in (21611, 30001, 63018, 30003, 30008)),
        (429, 20429, Transient, "TWILIO_20429"),
        (401, 20003, Transient, "UNAUTHORISED"),
        (404, 20404, Transient, "UNAUTHORISED"),
        (500, 20500, OutcomeUnknown, "TWILIO_20500"),
        (503, 20503, OutcomeUnknown, "TWILIO_20503"),
    ],
)
def test_each_code_of_twilio_means_what_the_table_says(
    running: Sandbox, status: int, number: int, kind: type[GatewayError], code: str
) -> None:
    body = {"code": number, "message": f"About {TO} (a@home.test)", "more_info": "", "status": status}
    error = refused("twilio", running, status, body)
    assert (type(error), error.code, error.evidence["code"]) == (kind, code, str(number))
    assert error.evidence["message"] == "About … (…)"


@pytest.mark.parametrize(
    ("status", "number", "kind", "code"),
    [
        (400, 131047, Permanent, "WINDOW_CLOSED"),
        (400, 131050, Permanent, "OPTED_OUT_MARKETING"),
        (400, 131026, Permanent, "WHATSAPP_131026"),
        (404, 132001, Permanent, "WHATSAPP_132001"),
        *((400, number, Transient, f"WHATSAPP_{number}") for number in (4, 80007, 130429, 131048, 131056)),
        (401, 190, Transient, "UNAUTHORISED"),
        (403, 10, Transient, "UNAUTHORISED"),
        (500, 131000, OutcomeUnknown, "WHATSAPP_131000"),
        (503, 2, OutcomeUnknown, "WHATSAPP_2"),
    ],
)
def test_each_code_of_whatsapp_means_what_the_table_says(
    running: Sandbox, status: int, number: int, kind: type[GatewayError], code: str
) -> None:
    error = refused("whatsapp", running, status, {"error": {"code": number, "message": "m", "type": "OAuthException"}})
    assert (type(error), error.code) == (kind, code)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, Permanent, "HTTP_400"),
        (413, Permanent, "HTTP_413"),
        (401, Transient, "UNAUTHORISED"),
        (403, Transient, "UNAUTHORISED"),
        (408, Transient, "HTTP_408"),
        (409, OutcomeUnknown, "HTTP_409"),
        (429, Transient, "HTTP_429"),
        (500, OutcomeUnknown, "HTTP_500"),
        (503, OutcomeUnknown, "HTTP_503"),
        (302, OutcomeUnknown, "MALFORMED_REPLY"),
        (204, OutcomeUnknown, "MALFORMED_REPLY"),
    ],
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_status_without_a_known_code_means_the_same_for_all_three(
    running: Sandbox, provider: str, status: int, kind: type[GatewayError], code: str
) -> None:
    error = refused(provider, running, status, "" if status == 204 else {"errors": [{"message": "no", "field": None}]})
    assert (type(error), error.code, error.evidence["status"]) == (kind, code, status)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_busy_providers_pause_is_kept_and_is_its_own_affair(running: Sandbox, provider: str) -> None:
    error = refused(provider, running, 429, {}, headers={"Retry-After": "17"})
    assert (error.retry_after_seconds, error.health) == (17.0, Health.BUSY)


@pytest.mark.parametrize(
    "answer",
    [
        "[",
        "null",
        "[]",
        "7",
        '{"messages":[]}',
        '{"messages":[{"id":7.5}]}',
        '{"sid":null}',
        '{"sid":"","messages":"x"}',
        "[" * 9_000,
    ],
)
@pytest.mark.parametrize("provider", ["twilio", "whatsapp"])
def test_a_yes_without_a_message_id_proves_nothing(running: Sandbox, provider: str, answer: str) -> None:
    error = refused(provider, running, 201 if provider == "twilio" else 200, answer)
    assert (type(error), error.code) == (OutcomeUnknown, "MALFORMED_REPLY")


def test_sendgrids_202_is_a_yes_also_without_a_message_id(running: Sandbox) -> None:
    running.script.load({"plays": {"sendgrid.send": [{"do": "status", "status": 202, "body": ""}]}})
    gateway = opened("sendgrid", running)
    assert send(gateway, text_parcel("sendgrid", uuid4())).provider_message_id is None
    gateway.close()


def test_codes_are_read_from_webhooks_as_well_where_they_are_texts() -> None:
    assert twilio_meaning("21610") is Meaning.OPTED_OUT
    assert whatsapp_meaning(131050) is Meaning.OPTED_OUT_MARKETING
    for odd in (None, "", True, "²", "1" * 50, "x", 1.5, []):
        assert twilio_meaning(odd) is None


# Faults on real sockets.


def huge(connection: socket.socket, _: RawServer) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n")
    while True:
        connection.sendall(b" " * 65_536)


def reset_after_the_first_byte(connection: socket.socket, _: RawServer) -> None:
    connection.recv(1)
    reset(connection)


def reset_after_half_an_answer(connection: socket.socket, _: RawServer) -> None:
    connection.recv(65_536)
    connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 40\r\n\r\n{"sid":"SM1"')
    reset(connection)


@pytest.mark.parametrize(
    ("talk", "code"),
    [
        (huge, "REPLY_TOO_LARGE"),
        (reset_after_the_first_byte, "CONNECTION_LOST"),
        (reset_after_half_an_answer, "CONNECTION_LOST"),
    ],
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_giant_or_broken_answer_leaves_a_doubt(
    provider: str, talk: Callable[[socket.socket, RawServer], None], code: str
) -> None:
    with raw_server(talk) as server:
        gateway = gateway_at(provider, f"http://{LOOPBACK}:{server.port}")
        with pytest.raises(OutcomeUnknown) as broken:
            send(gateway, text_parcel(provider, uuid4()))
        gateway.close()
    assert broken.value.code == code


def dripping(connection: socket.socket, server: RawServer) -> None:
    connection.recv(65_536)
    drip(connection, b"HTTP/1.1 201 Created\r\nX-Filler: " + b"x" * 10_000, server)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_dripping_answer_ends_at_the_deadline(provider: str) -> None:
    with raw_server(dripping) as server:
        gateway = gateway_at(provider, f"http://{LOOPBACK}:{server.port}")
        with within(1.5, least_seconds=0.9), pytest.raises(OutcomeUnknown) as late:
            send(gateway, text_parcel(provider, uuid4()), seconds=1)
        gateway.close()
    assert late.value.code == "TIMEOUT"


def test_a_providers_long_words_take_no_long_reading() -> None:
    reply = HttpReply(400, {}, b"")
    before = time.thread_time()
    error = refusal(reply, who="Twilio", message="a" * 30_000)
    assert time.thread_time() - before < 3  # of computing, whatever else runs here
    assert len(error.evidence["message"]) <= 200


# Looking up at Twilio.


def asked(running: Sandbox, parcel: Parcel, *, since: datetime | None = None) -> Any:
    gateway = opened("twilio", running)
    since = since or datetime.now(UTC) - timedelta(minutes=5)
    found = gateway.look_up(parcel, since=since, deadline=Deadline(30))
    gateway.close()
    return found


def sent_without_an_answer(running: Sandbox, **columns: Any) -> tuple[Parcel, Message]:
    parcel = text_parcel("twilio", uuid4(), **columns)
    running.script.load({"plays": {"twilio.send": [{"do": "status", "status": 500, "accept": True}]}})
    gateway = opened("twilio", running)
    with pytest.raises(OutcomeUnknown):
        send(gateway, parcel)
    gateway.close()
    return parcel, running.traffic.messages()[-1]


@pytest.mark.parametrize("ends", ["delivered", "waits", "failed"])
def test_what_was_taken_before_a_500_is_found_also_while_it_waits_there(running: Sandbox, ends: str) -> None:
    running.script.load({"usual": {"ends": ends, "step_seconds": 0}})
    parcel, message = sent_without_an_answer(running)
    found = asked(running, parcel)
    assert (found.answer, found.provider_message_id) == (LookUpAnswer.FOUND, message.message_id)


def test_a_text_that_twilio_spelt_more_plainly_is_recognised(running: Sandbox) -> None:
    parcel, message = sent_without_an_answer(
        running, body="Sample Clinic \u2013 it\u2019s \u201ctomorrow\u201d\u2026 YES?"
    )
    message.text = 'Sent from your Twilio trial account - Sample Clinic - it\'s "tomorrow"... YES?'
    assert asked(running, parcel).answer is LookUpAnswer.FOUND


def test_another_text_to_the_number_or_an_older_same_one_is_not_ours(running: Sandbox) -> None:
    _, older = sent_without_an_answer(running, body="The same text")
    wait_for(lambda: older.status == "delivered")
    older.at = older.sent_at = datetime.now(UTC) - timedelta(hours=1)
    sent_without_an_answer(running, body="Another text")
    sent_without_an_answer(running, body="The same text", recipient="+12025550124")
    assert asked(running, text_parcel("twilio", uuid4(), body="The same text")).answer is LookUpAnswer.ABSENT


def test_two_equal_texts_and_a_template_beside_others_leave_it_to_a_person(running: Sandbox) -> None:
    parcel, _ = sent_without_an_answer(running, body="The same text")
    sent_without_an_answer(running, body="The same text")
    assert asked(running, parcel).answer is LookUpAnswer.UNSURE
    job = comm_job(uuid4(), "whatsapp", provider_template={"content_sid": "HX" + "1" * 32})
    template = parcel_of(compose_twilio(job, sender=FROM, status_url=""), job["id"])
    assert asked(running, template).answer is LookUpAnswer.ABSENT  # nothing went there by WhatsApp
    gateway = opened("twilio", running)
    send(gateway, template)
    gateway.close()
    assert asked(running, template).answer is LookUpAnswer.UNSURE


def test_texts_that_twilio_does_not_keep_leave_it_to_a_person(running: Sandbox) -> None:
    parcel, message = sent_without_an_answer(running)
    message.text = ""
    assert asked(running, parcel).answer is LookUpAnswer.UNSURE


def test_an_answer_of_the_patient_is_not_taken_for_our_text(running: Sandbox) -> None:
    parcel, message = sent_without_an_answer(running, body="YES")
    running.traffic.answering["twilio"](message, "YES")
    assert asked(running, parcel).provider_message_id == message.message_id


def test_a_long_list_is_read_page_by_page_and_an_endless_one_proves_nothing(running: Sandbox) -> None:
    parcel, message = sent_without_an_answer(running)
    for number in range(250):
        running.traffic.keep(
            provider="twilio", channel="sms", message_id=f"SM{number}", to=TO, sender=FROM, text=f"Other {number}"
        )
    found = asked(running, parcel)
    assert (found.answer, found.provider_message_id) == (LookUpAnswer.FOUND, message.message_id)
    again = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json?again"
    endless = {"do": "status", "status": 200, "body": {"messages": [], "next_page_uri": again}}
    running.script.load({"standing": {"twilio.list": endless}})
    assert asked(running, text_parcel("twilio", uuid4(), body="Unknown")).answer is LookUpAnswer.UNSURE


@pytest.mark.parametrize(
    "play",
    [
        {"do": "status", "status": 500, "body": {}},
        {"do": "status", "status": 401, "body": {}},
        {"do": "status", "status": 404, "body": {}},
        {"do": "status", "status": 200, "body": {"messages": "none"}},
        {"do": "status", "status": 200, "body": {"messages": ["none"]}},
        {"do": "reset"},
    ],
)
def test_a_list_that_cannot_be_read_is_never_taken_for_absence(running: Sandbox, play: dict[str, Any]) -> None:
    running.script.load({"standing": {"twilio.list": play}})
    with pytest.raises(Transient):
        asked(running, text_parcel("twilio", UUID(int=1)))
