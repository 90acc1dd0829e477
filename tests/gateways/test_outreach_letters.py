"""A stored text in each provider's form: the same bytes each time, everything that must be in them, and clear refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatchlog.engine.errors import CannotCompose
from dispatchlog.engine.lanes import Letter
from dispatchlog.gateways.outreach_letters import Parts, compose_sendgrid, compose_twilio, compose_whatsapp

from .rigs import comm_job

ID = UUID(int=7)
FROM, SERVICE = "+12025550199", "MG" + "a" * 32
SENDER = "Sample Clinic <clinic@sample.test>"
TEXTS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=200).filter(
    lambda text: text.strip() != ""
)


COMPOSE: dict[str, Callable[[dict[str, Any]], Parts]] = {
    "twilio": lambda columns: compose_twilio(comm_job(ID, **columns), sender=FROM, status_url=""),
    "whatsapp": lambda columns: compose_whatsapp(comm_job(ID, "whatsapp", **columns), in_conversation=False),
    "sendgrid": lambda columns: compose_sendgrid(comm_job(ID, "email", **columns), sender=SENDER),
}


def fields(**columns: Any) -> dict[str, str]:
    job = comm_job(ID, **columns)
    parts = compose_twilio(job, sender=FROM, status_url="https://desk.example.org", in_conversation=True)
    return {name: values[0] for name, values in parse_qs(parts.body.decode(), keep_blank_values=True).items()}


@given(TEXTS)
def test_any_text_arrives_as_it_is_and_gives_the_same_bytes_again(text: str) -> None:
    assert fields(body=text)["Body"] == text
    mail, chat = comm_job(ID, "email", body=text), comm_job(ID, "whatsapp", body=text)
    assert json.loads(compose_sendgrid(mail, sender=SENDER).body)["content"] == [{"type": "text/plain", "value": text}]
    assert json.loads(compose_whatsapp(chat, in_conversation=True).body)["text"]["body"] == text
    again = compose_whatsapp({**reversed_items(chat)}, in_conversation=True)
    assert again == compose_whatsapp(chat, in_conversation=True)
    assert compose_sendgrid({**reversed_items(mail)}, sender=SENDER) == compose_sendgrid(mail, sender=SENDER)


def reversed_items(job: dict[str, Any]) -> dict[str, Any]:
    return dict(reversed(job.items()))


def test_an_sms_names_both_numbers_and_where_its_status_is_told() -> None:
    assert fields(body="Hello") == {
        "To": "+12025550123",
        "From": FROM,
        "Body": "Hello",
        "ValidityPeriod": "600",
        "StatusCallback": f"https://desk.example.org/webhooks/twilio/status/{ID}",
    }


def test_a_messaging_service_stands_in_place_of_the_senders_number() -> None:
    body = compose_twilio(comm_job(ID), sender=SERVICE, status_url="").body.decode()
    assert parse_qs(body)["MessagingServiceSid"] == [SERVICE]
    assert "From" not in parse_qs(body)
    assert "StatusCallback" not in parse_qs(body)


def test_a_mail_has_our_id_and_its_headers_on_one_line_each() -> None:
    headers = {"List-Unsubscribe": "<https://desk.example.org/p/x>\r\nBcc: a@b.test", "List-Unsubscribe-Post": "One"}
    job = comm_job(ID, "email", subject="Your\r\nappointment")
    parts = compose_sendgrid(job, sender=SENDER, html="<p>Hello</p>", headers=headers, reply_to="desk@sample.test")
    document = json.loads(parts.body)
    assert document["personalizations"] == [{"to": [{"email": "sample@home.test"}], "custom_args": {"job": str(ID)}}]
    assert document["from"] == {"email": "clinic@sample.test", "name": "Sample Clinic"}
    assert document["reply_to"] == {"email": "desk@sample.test"}
    assert document["subject"] == "Your appointment"
    assert document["content"][1] == {"type": "text/html", "value": "<p>Hello</p>"}
    assert document["headers"]["List-Unsubscribe"] == "<https://desk.example.org/p/x> Bcc: a@b.test"


def test_whatsapp_gets_the_approved_template_unless_the_patient_wrote_within_the_day() -> None:
    job = comm_job(ID, "whatsapp", provider_template={"name": "appt", "language": "es", "parameters": ["a\n b", " "]})
    template = json.loads(compose_whatsapp(job, in_conversation=False).body)
    assert (template["type"], template["biz_opaque_callback_data"], template["to"]) == (
        "template",
        str(ID),
        "+12025550123",
    )
    assert template["template"]["name"] == "appt"
    assert template["template"]["language"] == {"code": "es"}
    parameters = template["template"]["components"][0]["parameters"]
    assert parameters == [{"type": "text", "text": "a b"}, {"type": "text", "text": "-"}]
    text = json.loads(compose_whatsapp(job, in_conversation=True).body)
    assert text["text"] == {"preview_url": False, "body": job["body"]}


def test_a_letter_of_the_engine_is_made_of_the_parts_in_their_order() -> None:
    parts = compose_twilio(comm_job(ID), sender=FROM, status_url="")
    letter = Letter(*parts)
    assert (letter.recipient, letter.body, letter.content_type, letter.headers) == tuple(parts)


@pytest.mark.parametrize(
    ("compose", "columns", "code"),
    [
        ("twilio", {"recipient": "020 2555"}, "INVALID_NUMBER"),
        ("twilio", {"recipient": ""}, "INVALID_NUMBER"),
        ("twilio", {"recipient": "+12025550123\nTo: x"}, "INVALID_NUMBER"),
        ("twilio", {"body": " \n"}, "TEXT_EMPTY"),
        ("twilio", {"body": "x" * 1_601}, "TEXT_TOO_LONG"),
        ("twilio", {"channel": "whatsapp", "provider_template": {}}, "TEMPLATE_REQUIRED"),
        ("whatsapp", {"recipient": "12"}, "INVALID_NUMBER"),
        ("whatsapp", {"provider_template": {"content_sid": "HX1"}}, "TEMPLATE_REQUIRED"),
        ("sendgrid", {"subject": " \n"}, "SUBJECT_REQUIRED"),
        ("sendgrid", {"body": ""}, "TEXT_EMPTY"),
        *(("sendgrid", {"recipient": odd}, "INVALID_ADDRESS") for odd in ("", "a", "@b.test", "a@", "a b@c.test")),
    ],
)
def test_what_cannot_be_sent_as_it_stands_is_refused_with_a_code(
    compose: str, columns: dict[str, Any], code: str
) -> None:
    with pytest.raises(CannotCompose) as refused:
        COMPOSE[compose](columns)
    assert refused.value.code == code
