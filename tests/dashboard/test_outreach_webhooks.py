"""The providers' door: what they signed is stored once before it is answered; anything else leaves nothing behind."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from structlog.testing import capture_logs
from werkzeug.test import TestResponse

from dashboard import create_app, outreach_webhooks
from dispatchlog.engine.database import connected, database, fetch_dicts
from dispatchlog.gateways import provider_signatures
from dispatchlog.row_content import COMM_INBOUND
from dispatchlog.settings import Settings
from tests.dashboard.api_support import forget_process_state
from tests.outreach.provider_signing import (
    FORM,
    JSON,
    VERIFY_TOKEN,
    Signed,
    generic,
    sendgrid,
    twilio,
    whatsapp,
    with_providers,
)

JOB = UUID("5f0c2c52-6a7e-4d57-9d1c-6a5d6a3a8b11")
STATUS = f"/webhooks/twilio/status/{JOB}"
INBOUND, SENDGRID, WHATSAPP = "/webhooks/twilio/inbound", "/webhooks/sendgrid/events", "/webhooks/whatsapp"
OUTBOUND_STATUS, ANY_INBOUND = "/api/v1/comm/webhook/outbound-status", "/api/v1/comm/webhook/inbound"
PERSON, NUMBER, TEXT = "jo.sample@example.org", "+12025550123", "SI CONFIRMO mi cita"
DELIVERED = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": NUMBER, "AccountSid": "AC1", "NewField": "x"}
WRITTEN = {"MessageSid": "SM2", "From": NUMBER, "To": "+12025550100", "Body": TEXT, "OptOutType": ""}
SAID = {
    "event": "delivered",
    "sg_event_id": "e1",
    "sg_message_id": "abc.filterdrecv-1.0",
    "timestamp": 1_770_000_000,
    "email": PERSON,
    "job": str(JOB),
    "response": f"250 OK {PERSON}",
    "a_new_field": {"x": 1},
}
TOLD = {
    "provider": "twilio",
    "message_id": "SM1",
    "status": "delivered",
    "timestamp": "2026-03-01T09:30:00Z",
    "event_data": {"job_id": str(JOB), "To": NUMBER},
}
ANSWERED = {
    "provider": "whatsapp",
    "from": "12025550123",
    "to": "12025550100",
    "body": TEXT,
    "timestamp": "2026-03-01T09:30:00Z",
    "message_id": "wamid.1",
}


def of_whatsapp(**value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": "12025550100", "phone_number_id": "1"}
    change = {"field": "messages", "value": {"messaging_product": "whatsapp", "metadata": metadata, **value}}
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": [change]}]}


READ = {"id": "wamid.9", "status": "read", "timestamp": "1770000000", "recipient_id": "12025550123",
        "biz_opaque_callback_data": str(JOB)}  # fmt: skip
SAYS = {"from": "12025550123", "id": "wamid.8", "timestamp": "1770000000", "type": "text", "text": {"body": TEXT}}
EVERYTHING: list[tuple[str, Signed, int]] = [
    (STATUS, twilio(STATUS, DELIVERED), 1),
    (INBOUND, twilio(INBOUND, WRITTEN), 1),
    (SENDGRID, sendgrid([SAID, {**SAID, "sg_event_id": "e2", "event": "open"}, SAID]), 3),
    (WHATSAPP, whatsapp(of_whatsapp(statuses=[READ], messages=[SAYS])), 2),
    (OUTBOUND_STATUS, generic(TOLD), 1),
    (ANY_INBOUND, generic(ANSWERED), 1),
]


@pytest.fixture
def known(settings_env: Settings) -> Settings:
    return with_providers(settings_env)


@pytest.fixture
def app(known: Settings) -> Iterator[Flask]:
    forget_process_state()
    yield create_app(known)
    database.close_all()
    forget_process_state()


def post(app: Flask, path: str, signed: Signed, **headers: str) -> TestResponse:
    body, said = signed
    return app.test_client().post(path, data=body, headers={**said, **headers})


def events() -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts("SELECT * FROM comm_events ORDER BY id")


def answers() -> list[dict[str, Any]]:
    with connected():
        return [
            dict(COMM_INBOUND.opened(row)) for row in fetch_dicts("SELECT * FROM comm_inbound ORDER BY created_at, id")
        ]


def code(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, answer.get_json()["error"]["code"]


def test_what_is_signed_is_stored_once_and_answered_alike_however_often_it_comes(app: Flask) -> None:
    fresh = {SENDGRID: sendgrid(json.loads(EVERYTHING[2][1][0]))}
    for path, was, received in EVERYTHING:
        signed = fresh.get(path, was)
        signed = generic(json.loads(was[0])) if path.startswith("/api") else signed
        for new in (2 if path == SENDGRID else received, 0):
            answer = post(app, path, signed)
            assert answer.status_code == 200, answer.text
            if path == INBOUND:
                assert (answer.text, answer.mimetype) == ("<Response/>", "text/xml")
            else:
                assert answer.get_json() == {"received": received, "new": new}
            assert "Set-Cookie" not in answer.headers
    told = [
        (row["provider"], row["source"], row["status"], row["provider_message_id"], row["job_id"]) for row in events()
    ]
    assert told == [
        ("twilio", "native", "delivered", "SM1", JOB),
        ("sendgrid", "native", "delivered", "abc", JOB),
        ("sendgrid", "native", "opened", "abc", JOB),
        ("whatsapp", "native", "opened", "wamid.9", JOB),
        ("twilio", "generic", "delivered", "SM1", JOB),
    ]
    wrote = [(row["provider"], row["channel"], row["from_address"], row["body"], row["source"]) for row in answers()]
    assert wrote == [
        ("twilio", "sms", NUMBER, TEXT, "native"),
        ("whatsapp", "whatsapp", NUMBER, TEXT, "native"),
        ("whatsapp", "whatsapp", NUMBER, TEXT, "generic"),
    ]


def test_neither_the_log_nor_what_is_kept_of_an_event_names_anybody(app: Flask) -> None:
    bounced = {**SAID, "event": "bounce", "reason": f"550 5.1.1 <{PERSON}>: no such user {NUMBER}", "status": "5.1.1"}
    clicked = {**SAID, "event": "click", "sg_event_id": "e3", "url": "https://desk.example.org/p/secret-token"}
    with capture_logs() as logs:
        post(app, STATUS, twilio(STATUS, DELIVERED))
        post(app, INBOUND, twilio(INBOUND, WRITTEN))
        post(app, INBOUND, twilio(STATUS, WRITTEN))
        post(app, SENDGRID, sendgrid([bounced, clicked]))
        post(app, ANY_INBOUND, generic(ANSWERED))
        post(app, ANY_INBOUND, generic({**ANSWERED, "provider": PERSON}))
    kept = str([row["body"] for row in events()])
    for secret in (PERSON, NUMBER, NUMBER[1:], TEXT, "secret-token"):
        assert secret not in str(logs)
        assert secret not in kept
    assert "550 5.1.1 <(address)>: no such user (number)" in kept


FORGED: list[tuple[str, Signed]] = [
    (STATUS, twilio(STATUS, DELIVERED, signed_for=f"/webhooks/twilio/status/{uuid4()}")),
    (f"{STATUS}?x=1", twilio(STATUS, DELIVERED)),
    (INBOUND, twilio(STATUS, WRITTEN)),
    (STATUS, (b"MessageSid=SM1&MessageStatus=read", twilio(STATUS, DELIVERED)[1])),
    (SENDGRID, (b"[]", sendgrid([SAID])[1])),
    (SENDGRID, (sendgrid([SAID])[0], {"Content-Type": JSON})),
    (WHATSAPP, (b"{}", whatsapp(of_whatsapp())[1])),
    (WHATSAPP, (b"{}", {provider_signatures.WHATSAPP_HEADER: "sha256=\u00e9"})),
    (OUTBOUND_STATUS, generic(TOLD, secret="a guess")),
    (ANY_INBOUND, (generic(ANSWERED)[0], {**generic({})[1]})),
]


@pytest.mark.parametrize(("path", "signed"), FORGED)
def test_what_its_provider_did_not_sign_is_not_taken(app: Flask, path: str, signed: Signed) -> None:
    assert code(post(app, path, signed)) == (401, "WEBHOOK_SIGNATURE_INVALID")
    assert (events(), answers()) == ([], [])


def test_a_signature_of_the_address_with_its_query_counts_and_no_header_moves_the_address(app: Flask) -> None:
    path = f"{STATUS}?attempt=1&x=%20y"
    headers = {"X-Forwarded-Host": "evil.example", "Host": "evil.example", "X-Forwarded-Proto": "http"}
    assert post(app, path, twilio(path, DELIVERED), **headers).status_code == 200


@pytest.mark.parametrize("age", [301, 3_600, -302])
def test_what_was_signed_long_ago_or_for_later_is_stale(app: Flask, age: int) -> None:
    for path, signed in (
        (SENDGRID, sendgrid([SAID], age_seconds=age)),
        (OUTBOUND_STATUS, generic(TOLD, age_seconds=age)),
        (ANY_INBOUND, generic(ANSWERED, age_seconds=age)),
    ):
        assert code(post(app, path, signed)) == (400, "WEBHOOK_STALE")
    assert (events(), answers()) == ([], [])


def test_while_a_secret_is_replaced_both_count(app: Flask) -> None:
    assert post(app, OUTBOUND_STATUS, generic(TOLD, secret="the old secret of tests")).status_code == 200


DEEP = b'{"entry":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
MALFORMED: list[tuple[str, Signed]] = [
    (STATUS, twilio(STATUS, {"MessageSid": "SM1"})),
    (INBOUND, twilio(INBOUND, {"MessageSid": "SM1", "Body": "x"})),
    (SENDGRID, sendgrid({"event": "open"})),
    (SENDGRID, sendgrid([[]])),
    (SENDGRID, sendgrid([{"event": "open"}])),
    (SENDGRID, sendgrid(DEEP)),
    (WHATSAPP, whatsapp([])),
    (WHATSAPP, whatsapp({"entry": [1]})),
    (WHATSAPP, whatsapp({"entry": [{"changes": [{"value": "x"}]}]})),
    (WHATSAPP, whatsapp(of_whatsapp(statuses=[{"status": "read"}]))),
    (WHATSAPP, whatsapp(DEEP)),
    (WHATSAPP, whatsapp(b'{"entry": ' + b"9" * 10_000 + b"}")),
    (WHATSAPP, whatsapp(b"\xff\xfe")),
]


@pytest.mark.parametrize(("path", "signed"), MALFORMED)
def test_a_signed_body_that_is_none_of_the_providers_is_malformed(app: Flask, path: str, signed: Signed) -> None:
    signed = sendgrid(signed[0]) if path == SENDGRID else signed
    assert code(post(app, path, signed)) == (400, "WEBHOOK_MALFORMED")
    assert (events(), answers()) == ([], [])


@pytest.mark.parametrize(
    ("path", "said", "refusal", "field"),
    [
        (OUTBOUND_STATUS, {**TOLD, "provider": "pigeon"}, "UNKNOWN_VALUE", "provider"),
        (OUTBOUND_STATUS, {**TOLD, "message_id": ""}, "INVALID_VALUE", "message_id"),
        (OUTBOUND_STATUS, {**TOLD, "timestamp": "2026-03-01T09:30:00"}, "NAIVE_DATE", "timestamp"),
        (OUTBOUND_STATUS, {**TOLD, "messageId": "x"}, "UNKNOWN_FIELD", "messageId"),
        (OUTBOUND_STATUS, {k: v for k, v in TOLD.items() if k != "status"}, "MISSING_FIELD", "status"),
        (OUTBOUND_STATUS, {**TOLD, "event_data": []}, "WRONG_TYPE", "event_data"),
        (ANY_INBOUND, {**ANSWERED, "provider": "sendgrid"}, "UNKNOWN_VALUE", "provider"),
        (ANY_INBOUND, {**ANSWERED, "body": None}, "WRONG_TYPE", "body"),
        (ANY_INBOUND, {**ANSWERED, "body": "x" * 8_001}, "TOO_LONG", "body"),
        (ANY_INBOUND, {**ANSWERED, "from": "x\r\ny"}, "INVALID_VALUE", "from"),
        (ANY_INBOUND, {**ANSWERED, "sender": "x"}, "UNKNOWN_FIELD", "sender"),
        (ANY_INBOUND, b"no JSON", "INVALID_JSON", None),
    ],
)
def test_the_specifications_documents_are_refused_with_code_and_field(
    app: Flask, path: str, said: Any, refusal: str, field: str | None
) -> None:
    answer = post(app, path, generic(said))
    assert code(answer) == (400, refusal)
    assert answer.get_json()["error"]["field"] == field
    assert (events(), answers()) == ([], [])


def test_a_body_that_is_too_long_is_not_read(app: Flask) -> None:
    long = b"x" * (10 * 1024 * 1024)
    for path in (STATUS, SENDGRID, WHATSAPP, OUTBOUND_STATUS):
        assert code(app.test_client().post(path, data=long, headers={"Content-Type": FORM})) == (413, "BODY_TOO_LARGE")
    most = outreach_webhooks.MOST_BYTES["whatsapp"]
    padded = json.dumps(of_whatsapp(messages=[SAYS])).encode()
    padded += b" " * (most - len(padded))
    assert post(app, WHATSAPP, whatsapp(padded)).status_code == 200
    assert code(post(app, WHATSAPP, whatsapp(padded + b" "))) == (413, "BODY_TOO_LARGE")


def test_what_has_another_content_type_is_not_guessed_at(app: Flask) -> None:
    form = twilio(STATUS, DELIVERED)
    assert code(post(app, STATUS, (form[0], {**form[1], "Content-Type": JSON}))) == (415, "UNSUPPORTED_MEDIA_TYPE")
    said = generic(TOLD)
    assert code(post(app, OUTBOUND_STATUS, (said[0], {**said[1], "Content-Type": FORM}))) == (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )


def test_who_is_not_configured_is_unknown_and_no_empty_secret_signs(settings_env: Settings) -> None:
    forget_process_state()
    app = create_app(settings_env)
    for path, signed, _ in EVERYTHING:
        assert code(post(app, path, signed)) == (404, "UNKNOWN_PROVIDER")
    assert app.test_client().get(f"{WHATSAPP}?hub.mode=subscribe&hub.verify_token=&hub.challenge=1").status_code == 404
    assert app.test_client().post("/webhooks/pigeon").status_code == 404
    database.close_all()
    forget_process_state()


def test_each_address_is_at_its_own_door_alone(app: Flask) -> None:
    for path in ("/webhooks/outbound-status", "/api/v1/comm/webhook/whatsapp", "/webhooks/twilio/status/none"):
        assert code(post(app, path, generic(TOLD))) == (404, "NOT_FOUND")
    assert code(app.test_client().get(STATUS)) == (405, "METHOD_NOT_ALLOWED")


def test_meta_gets_its_challenge_back_for_the_agreed_word_alone(app: Flask) -> None:
    def ask(**said: str) -> TestResponse:
        asked = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "<b>1158</b>"}
        return app.test_client().get(WHATSAPP, query_string={**asked, **{f"hub.{k}": v for k, v in said.items()}})

    answer = ask()
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "<b>1158</b>", "text/plain")
    assert code(ask(verify_token="guessed")) == (401, "WEBHOOK_SIGNATURE_INVALID")
    assert code(ask(mode="unsubscribe")) == (400, "WEBHOOK_MALFORMED")


def test_more_than_a_provider_may_send_is_put_off_and_no_stranger_uses_its_room_up(settings_env: Settings) -> None:
    forget_process_state()
    app = create_app(with_providers(settings_env, webhook_rate_per_second=0.001))
    for _ in range(3):
        assert code(post(app, *FORGED[0]))[0] == 401
    assert post(app, STATUS, twilio(STATUS, DELIVERED)).status_code == 200
    answer = post(app, STATUS, twilio(STATUS, {**DELIVERED, "MessageStatus": "read"}))
    assert code(answer) == (429, "WEBHOOK_RATE_EXCEEDED")
    assert 0 < int(answer.headers["Retry-After"]) <= 1_000
    assert post(app, WHATSAPP, whatsapp(of_whatsapp(statuses=[READ]))).status_code == 200
    assert [row["raw_status"] for row in events()] == ["delivered", "read"]
    database.close_all()
    forget_process_state()


def test_without_redis_and_without_a_rate_webhooks_are_taken_all_the_same(settings_env: Settings) -> None:
    forget_process_state()
    app = create_app(with_providers(settings_env, redis_url="redis://127.0.0.1:1/0"))
    assert code(post(app, *FORGED[0]))[0] == 401
    for word in ("sent", "delivered", "read"):
        assert post(app, STATUS, twilio(STATUS, {**DELIVERED, "MessageStatus": word})).status_code == 200
    assert len(events()) == 3
    database.close_all()
    forget_process_state()


def test_headers_of_a_stranger_reach_no_header_of_ours(app: Flask) -> None:
    answer = post(app, STATUS, twilio(STATUS, DELIVERED), **{"X-Trace-Id": "a b", "Cookie": "session=x"})
    assert answer.headers["X-Trace-Id"] not in ("a b", "")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"


def test_without_the_database_nothing_is_answered_with_yes(settings_env: Settings) -> None:
    forget_process_state()
    elsewhere = f"{settings_env.database_url.rpartition('/')[0]}/no_such_database"
    app = create_app(with_providers(settings_env, database_url=elsewhere))
    for path, signed in ((STATUS, twilio(STATUS, DELIVERED)), (INBOUND, twilio(INBOUND, WRITTEN))):
        assert code(post(app, path, signed)) == (503, "DATABASE_UNAVAILABLE")
    database.close_all()
    forget_process_state()
