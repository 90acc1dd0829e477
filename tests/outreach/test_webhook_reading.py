"""What providers' webhooks say: their words in ours, patients' answers in any form, and nothing personal kept."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from dispatchlog.comm_webhook_documents import StatusDocument
from dispatchlog.order_documents import read_document
from dispatchlog.systems.outreach import sendgrid_webhooks, twilio_webhooks, whatsapp_webhooks
from dispatchlog.systems.outreach.provider_words import kept, withdrawal
from dispatchlog.systems.outreach.states import Channel, Heard, PurposeClass

JOB = UUID("0b6f5a0e-6f35-4b5a-9a57-6f6c8f3f2a10")


@pytest.mark.parametrize(
    ("word", "heard"),
    [
        ("queued", None),
        ("accepted", None),
        ("sending", None),
        ("sent", Heard.SENT),
        ("delivered", Heard.DELIVERED),
        ("read", Heard.OPENED),
        ("undelivered", Heard.BOUNCED),
        ("failed", Heard.BOUNCED),
        ("a word of tomorrow", None),
    ],
)
def test_twilios_words(word: str, heard: Heard | None) -> None:
    report = twilio_webhooks.read_status({"MessageSid": "SM1", "MessageStatus": word, "ErrorCode": "30003"}, JOB)
    assert (report.heard, report.raw_status, report.event_key, report.job_id) == (heard, word, f"SM1:{word}", JOB)
    assert report.code == "30003"


def test_twilio_passes_its_own_word_of_an_opt_out_on_and_whatsapp_by_twilio_is_whatsapp() -> None:
    message = twilio_webhooks.read_inbound(
        {
            "MessageSid": "SM1",
            "From": "whatsapp:+12025550123",
            "To": "whatsapp:+1",
            "Body": "Stop",
            "OptOutType": "STOP",
        }
    )
    assert (message.channel, message.from_address, message.opt_out) == (Channel.WHATSAPP, "+12025550123", "STOP")
    picture = twilio_webhooks.read_inbound({"MessageSid": "S", "From": "+12025550123", "To": "+1", "NumMedia": "1"})
    assert (picture.channel, picture.body) == (Channel.SMS, "[media]")


@pytest.mark.parametrize(
    ("said", "heard", "code"),
    [
        ({"event": "processed"}, Heard.SENT, ""),
        ({"event": "deferred", "response": "400 later"}, None, ""),
        ({"event": "delivered"}, Heard.DELIVERED, ""),
        ({"event": "open"}, Heard.OPENED, ""),
        ({"event": "open", "sg_machine_open": True}, None, ""),
        ({"event": "click", "url": "https://x"}, Heard.CLICKED, ""),
        ({"event": "bounce", "type": "blocked"}, Heard.BOUNCED, "blocked"),
        ({"event": "bounce", "type": "bounce", "status": "5.1.1"}, Heard.BOUNCED, "5.1.1"),
        ({"event": "dropped", "reason": "Bounced Address"}, Heard.BOUNCED, "BOUNCED_ADDRESS"),
        ({"event": "spamreport"}, Heard.UNSUBSCRIBED, ""),
        ({"event": "unsubscribe"}, Heard.UNSUBSCRIBED, ""),
    ],
)
def test_sendgrids_words(said: dict[str, Any], heard: Heard | None, code: str) -> None:
    event = {"sg_event_id": "e", "sg_message_id": "m.filter1.2", "job": str(JOB), "timestamp": 1_770_000_000, **said}
    (report,) = sendgrid_webhooks.read_events(json.dumps([event]).encode())
    assert (report.heard, report.code, report.job_id, report.provider_message_id) == (heard, code, JOB, "m")


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ("14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0", "14c5d75ce93.dfd.64b469"),
        ("7BtlJ0n1SjyYo8AD1Xh3jg.recvd-5f7b-1-0", "7BtlJ0n1SjyYo8AD1Xh3jg"),
        ("filterless", "filterless"),
    ],
)
def test_sendgrids_message_id_is_the_one_of_its_answer_to_the_sending(said: str, known: str) -> None:
    assert sendgrid_webhooks.message_id(said) == known


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ({"type": "text", "text": {"body": "oui"}}, "oui"),
        ({"type": "button", "button": {"text": "Confirm", "payload": "c1"}}, "Confirm"),
        (
            {
                "type": "interactive",
                "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Yes"}},
            },
            "Yes",
        ),
        ({"type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "2"}}}, "2"),
        ({"type": "interactive", "interactive": {"type": "nfm_reply"}}, "[interactive]"),
        ({"type": "reaction", "reaction": {"message_id": "x", "emoji": "👍"}}, "👍"),
        ({"type": "image", "image": {"id": "1", "caption": "my arm"}}, "my arm"),
        ({"type": "audio", "audio": {"id": "1"}}, "[audio]"),
        ({"type": "unsupported", "errors": [{"code": 131051}]}, "[unsupported]"),
        ({}, "[unknown]"),
    ],
)
def test_whatever_a_patient_sends_by_whatsapp_becomes_words_or_a_note(said: dict[str, Any], body: str) -> None:
    value = {"messages": [{"from": "12025550123", "id": "w1", "timestamp": "1770000000", **said}]}
    told = whatsapp_webhooks.read_webhook(json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode())
    (message,) = told.messages
    assert (message.body, message.from_address, message.event_key) == (body, "+12025550123", "w1")


def test_somebody_who_keeps_their_number_to_themselves_is_known_by_their_id() -> None:
    value = {"messages": [{"from_user_id": "US.131", "id": "w1", "type": "text", "text": {"body": "hi"}}]}
    told = whatsapp_webhooks.read_webhook(json.dumps({"entry": [{"changes": [{"value": value}]}]}).encode())
    assert told.messages[0].from_address == "US.131"


def test_whatsapps_statuses_name_our_job_and_the_error() -> None:
    status = {
        "id": "wamid.1",
        "status": "failed",
        "timestamp": "1770000000",
        "recipient_id": "12025550123",
        "biz_opaque_callback_data": str(JOB),
        "errors": [{"code": 131050, "title": "stopped", "error_data": {"details": "call 12025550123"}}],
    }
    told = whatsapp_webhooks.read_webhook(
        json.dumps({"entry": [{"changes": [{"value": {"statuses": [status]}}]}]}).encode()
    )
    (report,) = told.reports
    assert (report.heard, report.code, report.job_id) == (Heard.BOUNCED, "131050", JOB)
    assert "12025550123" not in str(report.body)
    said = withdrawal("whatsapp", report.raw_status, report.code)
    assert said is not None
    assert said.purposes is PurposeClass.MARKETING


def test_an_account_of_whatsapp_has_other_news_that_is_nothing_to_us() -> None:
    body = {"entry": [{"changes": [{"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}}]}]}
    told = whatsapp_webhooks.read_webhook(json.dumps(body).encode())
    assert (told.reports, told.messages) == ([], [])


@pytest.mark.parametrize(
    ("provider", "said", "code"),
    [
        ("twilio", {"ErrorCode": 21610}, "21610"),
        ("whatsapp", {"errors": [{"code": 131050}]}, "131050"),
        ("sendgrid", {"reason": "Spam Reporting Address"}, "SPAM_REPORTING_ADDRESS"),
    ],
)
def test_the_specifications_status_says_as_much_as_the_providers_own(provider: str, said: Any, code: str) -> None:
    word = "dropped" if provider == "sendgrid" else "failed"
    told = {"provider": provider, "message_id": "m", "status": word, "timestamp": "2026-03-01T09:30:00Z"}
    report = read_document(StatusDocument, json.dumps({**told, "event_data": said})).to_report()
    assert (report.heard, report.code) == (Heard.BOUNCED, code)
    assert withdrawal(provider, report.raw_status, report.code) is not None
    again = read_document(
        StatusDocument, json.dumps({**told, "timestamp": "2026-03-01T10:30:00+01:00", "event_data": {}})
    )
    assert again.to_report().event_key == report.event_key


def test_what_is_kept_is_short_and_names_nobody() -> None:
    said = {
        "reason": "to <jo@example.org> at +1 (202) 555-0123: see https://x.example/p/token",
        "email": "jo@example.org",
    }
    assert kept("sendgrid", said) == {"reason": "to <(address)> at (number): see (link)"}
    assert kept("whatsapp", {"errors": [{"title": "x" * 500}] * 50}) == {}


def test_what_nests_deep_is_cut_off_and_the_rest_of_it_kept() -> None:
    nested: Any = []
    for _ in range(2_000):
        nested = [nested]
    assert kept("whatsapp", {"errors": [{"code": 131026}], "conversation": nested}) == {
        "errors": [{"code": 131026}],
        "conversation": [[[[[[[[[["(more)"]]]]]]]]]],
    }
