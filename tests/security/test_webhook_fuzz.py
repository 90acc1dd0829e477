"""Items 30 to 33: whatever is sent to a webhook is answered with a code, never with a fault, and never half stored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr
from werkzeug.test import TestResponse

from dashboard import create_app
from dashboard.api.errors import ERRORS
from dispatchlog.engine.database import connected, database, fetch_all, fetch_one
from dispatchlog.gateways import courier_signature, provider_signatures
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.courier import couriers
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.test_outreach_webhooks import of_whatsapp
from tests.outreach.provider_signing import (
    AT,
    COMM_SECRETS,
    FORM,
    JSON,
    TWILIO_TOKEN,
    VERIFY_TOKEN,
    generic,
    sendgrid,
    whatsapp,
    with_providers,
)

COURIER_SECRET = "the courier's secret of tests"
JOB = UUID("5f0c2c52-6a7e-4d57-9d1c-6a5d6a3a8b11")
Sent = tuple[bytes, Mapping[str, str]]


def courier(body: bytes) -> Sent:
    at = int(time.time())
    return body, {"Content-Type": JSON, courier_signature.HEADER: courier_signature.sign([COURIER_SECRET], body, at=at)}


def twilio_at(path: str) -> Callable[[bytes], Sent]:
    """Signs whatever stands in a form, under the names and values that it is read as."""

    def signed(body: bytes) -> Sent:
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            said = None
        fields = {str(k): str(v) for k, v in said.items()} if isinstance(said, dict) else {"x": repr(body)}
        fields = {
            k.encode("utf-8", "replace").decode(): v.encode("utf-8", "replace").decode() for k, v in fields.items()
        }
        signature = provider_signatures.sign_twilio(TWILIO_TOKEN, f"{AT}{path}", fields)
        return urlencode(fields).encode(), {"Content-Type": FORM, provider_signatures.TWILIO_HEADER: signature}

    return signed


STATUS, INBOUND = f"/webhooks/twilio/status/{JOB}", "/webhooks/twilio/inbound"
# Every webhook, with who signs what is sent there.
DOORS: dict[str, Callable[[bytes], Sent]] = {
    "/webhooks/courier/generic": courier,
    STATUS: twilio_at(STATUS),
    INBOUND: twilio_at(INBOUND),
    "/webhooks/sendgrid/events": sendgrid,
    "/webhooks/whatsapp": whatsapp,
    "/api/v1/comm/webhook/outbound-status": generic,
    "/api/v1/comm/webhook/inbound": generic,
}
# Kwik signs nothing, so nothing of it is believed.
UNSIGNED = ("/webhooks/courier/kwik",)
AT_NOON = "2026-05-04T12:00:00Z"
# What each takes, so that what is nearly right is sent too.
RIGHT: dict[str, Any] = {
    "/webhooks/courier/generic": {
        "events": [
            {
                "eventId": "e",
                "jobId": "J-1",
                "status": "IN_TRANSIT",
                "occurredAt": AT_NOON,
                "etaAt": AT_NOON,
                "trackingUrl": "https://courier.example.org/J-1",
                "driver": {"name": "Bola Driver", "phone": "+1"},
                "failure": {"code": "NOBODY_THERE", "reason": "closed"},
            },
            {"eventId": "f", "jobId": "J-2", "status": "BOOKED"},
        ]
    },
    STATUS: {"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+12025550123"},
    INBOUND: {"MessageSid": "SM2", "From": "+12025550123", "To": "+12025550100", "Body": "yes"},
    "/webhooks/sendgrid/events": [
        {
            "event": "delivered",
            "sg_event_id": "e1",
            "sg_message_id": "abc.1",
            "timestamp": 1_770_000_000,
            "job": str(JOB),
        }
    ],
    "/webhooks/whatsapp": of_whatsapp(
        statuses=[{"id": "w", "status": "read", "timestamp": "1770000000", "recipient_id": "1202"}],
        messages=[{"from": "1202", "id": "v", "timestamp": "1770000000", "type": "text", "text": {"body": "x"}}],
    ),
    "/api/v1/comm/webhook/outbound-status": {
        "provider": "twilio",
        "message_id": "SM1",
        "status": "delivered",
        "timestamp": AT_NOON,
        "event_data": {},
    },
    "/api/v1/comm/webhook/inbound": {
        "provider": "whatsapp",
        "from": "1202",
        "to": "1203",
        "body": "yes",
        "timestamp": AT_NOON,
        "message_id": "m",
    },
}
REFUSALS = {
    400: {"WEBHOOK_MALFORMED", "WEBHOOK_STALE", "BAD_REQUEST"},
    401: {"WEBHOOK_SIGNATURE_INVALID"},
    413: {"BODY_TOO_LARGE"},
    415: {"UNSUPPORTED_MEDIA_TYPE"},
}
many = settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    derandomize=True,
)
texts = st.text(max_size=40) | st.sampled_from(
    [
        "\x00",
        "\ud800",
        "\u202e",
        "%s%n",
        "'; DROP TABLE x; --",
        "../..",
        "{{7*7}}",
        "9" * 400,
        "e1",
        str(JOB),
        "+1",
        "read",
    ]
)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from([10**400, -1, 0, 1e308, float("nan"), float("inf"), 253402300800, -(10**15), 2**63])
    | texts
)
documents = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)


@dataclass(frozen=True)
class Door:
    """The application, and what its webhooks have stored."""

    app: Flask

    def post(self, path: str, sent: Sent) -> TestResponse:
        body, headers = sent
        return self.app.test_client().post(path, data=body, headers=dict(headers))

    @staticmethod
    def stored() -> int:
        with connected():
            (count,) = fetch_one(
                "SELECT (SELECT count(*) FROM courier_events) + (SELECT count(*) FROM comm_events)"
                " + (SELECT count(*) FROM comm_inbound)"
            )
        return int(count)


@pytest.fixture
def door(settings_env: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    for name, value in {
        "COURIER_URL": "http://127.0.0.1:1",
        "COURIER_WEBHOOK_SECRET": COURIER_SECRET,
        "KWIK_URL": "http://127.0.0.1:1",
        "KWIK_DOMAIN_NAME": "clinic",
        "KWIK_EMAIL": "desk@example.org",
        "KWIK_PASSWORD": "kwik's password of tests",
    }.items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    get_settings.cache_clear()
    couriers.forget()
    forget_process_state()
    known = with_providers(get_settings(), webhook_rate_per_second=0.0)
    yield Door(create_app(known))
    couriers.forget()
    database.close_all()
    forget_process_state()


def check(door: Door, path: str, answer: TestResponse, before: int) -> None:
    """It was taken as a whole, or refused with a code and nothing of it was stored."""
    now = door.stored()
    if answer.status_code == 200:
        told = answer.get_json(silent=True)
        assert told is None or now - before == told.get("new", now - before) <= told["received"], answer.text
        return
    assert answer.status_code < 500, (path, answer.status_code, answer.text)
    error = answer.get_json()["error"]
    allowed = REFUSALS[answer.status_code] | (set(ERRORS) if path.startswith("/api/") else set())
    assert error["code"] in allowed, (path, answer.status_code, error)
    assert now == before, (path, error)


@pytest.mark.parametrize("path", [*DOORS, *UNSIGNED])
def test_item_30_whatever_nobody_signed_is_refused(door: Door, path: str) -> None:
    names = (
        provider_signatures.TWILIO_HEADER,
        provider_signatures.SENDGRID_HEADER,
        provider_signatures.SENDGRID_TIMESTAMP_HEADER,
        provider_signatures.WHATSAPP_HEADER,
        courier_signature.HEADER,
        "Comm-Signature",
    )
    header = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60)
    prefixes = st.sampled_from(["", "sha256=", "t=1,v1=", f"t={int(time.time())},v1=", "v1="])

    @many
    @given(
        body=st.binary(max_size=200) | documents.map(dumped),
        kind=st.sampled_from([FORM, JSON, "text/plain", "application/json; charset=utf-7", "multipart/form-data", ""]),
        headers=st.dictionaries(st.sampled_from(names), st.tuples(prefixes, header).map("".join)),
    )
    def refused(body: bytes, kind: str, headers: dict[str, str]) -> None:
        before = door.stored()
        answer = door.post(path, (body, {**headers, "Content-Type": kind}))
        assert answer.status_code in (400, 401, 415), (answer.status_code, answer.text)
        check(door, path, answer, before)

    refused()


@pytest.mark.parametrize("path", DOORS)
def test_item_30_nonsense_that_was_signed_rightly_has_a_code_and_leaves_nothing_behind(door: Door, path: str) -> None:
    @many
    @given(body=st.binary(max_size=200) | documents.map(dumped))
    def answered(body: bytes) -> None:
        before = door.stored()
        check(door, path, door.post(path, DOORS[path](body)), before)

    answered()


@pytest.mark.parametrize("path", DOORS)
def test_item_30_what_is_nearly_right_is_taken_or_refused_as_a_whole(door: Door, path: str) -> None:
    @many
    @given(data=st.data())
    def answered(data: st.DataObject) -> None:
        before = door.stored()
        said = json.loads(json.dumps(RIGHT[path]))
        spot = data.draw(st.sampled_from(list(places(said))))
        change(said, spot, data.draw(documents))
        check(door, path, door.post(path, DOORS[path](dumped(said))), before)

    before = door.stored()
    assert door.post(path, DOORS[path](dumped(RIGHT[path]))).status_code == 200
    assert door.stored() > before
    answered()


def dumped(document: Any) -> bytes:
    """As JSON, with what Python's reader takes beyond it: NaN, lone surrogates."""
    return json.dumps(document).encode()


def places(document: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in the document."""
    keys = document if isinstance(document, dict) else range(len(document)) if isinstance(document, list) else ()
    for key in keys:
        yield (*so_far, key)
        yield from places(document[key], (*so_far, key))


def change(document: Any, spot: tuple[Any, ...], value: Any) -> None:
    for key in spot[:-1]:
        document = document[key]
    document[spot[-1]] = value


DEEP = 100_000
HUGE: dict[str, bytes] = {
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "an unclosed one": b"[" * DEEP,
    "many keys": json.dumps({f"k{n}": n for n in range(20_000)}).encode(),
    "one key many times": b"{" + b'"eventId":"x",' * 10_000 + b'"eventId":"y"}',
    "a long number": b'{"entry": ' + b"9" * 100_000 + b"}",
    "a long text": json.dumps({"body": "x" * 200_000}).encode(),
    "many elements": b"[" + b"{}," * 50_000 + b"{}]",
    "UTF-16": json.dumps({"a": "é"}).encode("utf-16"),
    "UTF-32": json.dumps({"a": "é"}).encode("utf-32"),
    "a byte order mark": b"\xef\xbb\xbf{}",
    "Latin-1": '{"a": "é"}'.encode("latin-1"),
    "nothing": b"",
}


@pytest.mark.parametrize("path", DOORS)
def test_item_33_what_is_huge_deep_or_in_another_charset_is_refused_with_a_code(door: Door, path: str) -> None:
    for name, body in HUGE.items():
        before = door.stored()
        answer = door.post(path, DOORS[path](body))
        said = answer.get_json()
        assert answer.status_code in (400, 413) or said["received"] == 0, (name, answer.status_code, answer.text)
        check(door, path, answer, before)


@pytest.mark.parametrize("path", [*DOORS, *UNSIGNED])
def test_item_33_a_body_beyond_every_limit_is_refused_before_it_is_looked_at(door: Door, path: str) -> None:
    answer = door.app.test_client().post(path, data=b"x" * (4 * 1024 * 1024), headers={"Content-Type": JSON})
    assert (answer.status_code, answer.get_json()["error"]["code"]) == (413, "BODY_TOO_LARGE")


def test_item_33_the_challenge_of_meta_is_answered_with_a_code_whatever_is_asked(door: Door) -> None:
    @many
    @given(
        asked=st.dictionaries(st.sampled_from(["hub.mode", "hub.verify_token", "hub.challenge", "x"]), texts),
        knows=st.booleans(),
    )
    def answered(asked: dict[str, str], knows: bool) -> None:
        query = {name: text.encode("utf-8", "replace").decode() for name, text in asked.items()}
        if knows:
            query |= {"hub.verify_token": VERIFY_TOKEN}
        answer = door.app.test_client().get("/webhooks/whatsapp", query_string=query)
        assert answer.status_code == (400 if knows else 401), (query, answer.text)
        assert answer.get_json()["error"]["code"] in ("WEBHOOK_MALFORMED", "WEBHOOK_SIGNATURE_INVALID")

    answered()


def test_item_32_two_live_secrets_sign_until_one_is_taken_away(settings_env: Settings) -> None:
    path, said = "/api/v1/comm/webhook/inbound", RIGHT["/api/v1/comm/webhook/inbound"]
    old, new = COMM_SECRETS
    for secrets, old_counts in ((f"{new}, {old}", True), (new, False)):
        forget_process_state()
        app = create_app(with_providers(settings_env, comm_webhook_secret=SecretStr(secrets)))
        for secret, counts in ((old, old_counts), (new, True)):
            body, headers = generic(said, secret=secret)
            status = app.test_client().post(path, data=body, headers=headers).status_code
            assert status == (200 if counts else 401), (secrets, secret)
        database.close_all()
    forget_process_state()
    with connected():
        assert fetch_all("SELECT count(*) FROM comm_inbound") == [(1,)]
