"""The lane of messages to patients on the wire: each leaves once, in its own form, when it may; or is given up on."""

from __future__ import annotations

import email
import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import UUID

import pytest
import time_machine

from dispatchlog.engine.database import connected, execute
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.operator import correct_recipient
from dispatchlog.gateways.fake import Outcome
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.outreach.lane import RETRY, comm_job_lane, compose, persons, routes
from dispatchlog.systems.outreach.states import Channel
from tests.engine.lane import change, make_due, payloads
from tests.outreach import builders
from tests.outreach.conftest import Desk
from tests.outreach.requests import ask, awake, text
from tests.systems.conftest import mail_server

__all__ = ["mail_server"]

EMAIL, SMS, WHATSAPP = Channel.EMAIL, Channel.SMS, Channel.WHATSAPP


@pytest.fixture
def mail(application: Settings, monkeypatch: pytest.MonkeyPatch, mail_server: tuple[int, Path]) -> Iterator[Path]:
    """A real mail server takes what the lane sends; the folder where it puts it comes back."""
    port, folder = mail_server
    monkeypatch.setenv("DISPATCHLOG_SMTP_URL", f"smtp://127.0.0.1:{port}?tls=none")
    monkeypatch.setenv("DISPATCHLOG_PUBLIC_URL", "https://messages.a-clinic-with-a-long-name.example.org")
    monkeypatch.setenv("DISPATCHLOG_OUTREACH_MAIL_FROM", "Sample Clinic <care@example.org>")
    get_settings.cache_clear()
    yield folder
    get_settings.cache_clear()


def letters(folder: Path, job_id: UUID) -> list[bytes]:
    """Every mail about this job that the server took."""
    every = [path.read_bytes() for path in (folder / "new").iterdir()]
    return [one for one in every if f"<{job_id}-".encode() in one]


def read(job_id: UUID) -> dict[str, Any]:
    return builders.read(comm_job_lane(), job_id)


def send(desk: Desk) -> None:
    drain(comm_job_lane(), desk.runtime)


# --- by e-mail, through a real server


def test_a_mail_leaves_once_with_the_bytes_that_were_stored(desk: Desk, mail: Path) -> None:
    text(EMAIL)
    made = ask(awake())
    for _ in range(3):
        send(desk)
    row = read(made.job_id)
    assert (row["status"], row["claims"], row["provider"]) == ("SENT", 1, "smtp")
    (letter,) = letters(mail, made.job_id)
    (stored,) = payloads(made.job_id)
    assert letter.replace(b"\r\n", b"\n").endswith(bytes(stored["body"]).replace(b"\r\n", b"\n"))
    message = email.message_from_bytes(letter, policy=default)
    assert isinstance(message, EmailMessage)
    assert (message["To"], message["From"]) == (builders.EMAIL, "Sample Clinic <care@example.org>")
    assert message["Subject"] == "Your appointment"
    for kind in ("plain", "html"):
        part = message.get_body((kind,))
        assert part is not None
        assert "Your appointment is on 3 March." in part.get_content()
        assert row["preferences_link"] in part.get_content()


def test_every_mail_has_the_one_click_way_out_on_a_line_of_its_own(desk: Desk, mail: Path) -> None:
    text(EMAIL)
    made = ask(awake())
    send(desk)
    (letter,) = letters(mail, made.job_id)
    link = read(made.job_id)["preferences_link"]
    assert len(link) > 78  # longer than a header's line usually is
    lines = letter.replace(b"\r\n", b"\n").split(b"\n")
    assert f"List-Unsubscribe: <{link}/one-click>".encode() in lines
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines


def test_what_a_patient_is_called_cannot_become_html_or_a_header(desk: Desk, mail: Path) -> None:
    text(EMAIL, body="Hello {{ patient_first_name }}, see {{ day }}.")
    said = {"day": "<b>x</b> https://example.org/a"}
    made = ask(awake(name="<script>Jo Sample"), variables=said)
    send(desk)
    (letter,) = letters(mail, made.job_id)
    message = email.message_from_bytes(letter, policy=default)
    assert isinstance(message, EmailMessage)
    html = message.get_body(("html",))
    assert html is not None
    content = html.get_content()
    assert "<script>" not in content
    assert "<b>x</b>" not in content
    assert '<a href="https://example.org/a"' in content


def test_it_is_tried_again_after_1_2_4_8_and_16_seconds_and_then_given_up(
    desk: Desk, mail: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPATCHLOG_SMTP_URL", "smtp://127.0.0.1:1?tls=none")  # nobody listens there
    get_settings.cache_clear()
    text(EMAIL)
    made = ask(awake())
    waits = []
    for _ in range(6):
        desk.runtime.breaker.forget("smtp")
        send(desk)
        row = read(made.job_id)
        waits.append((row["due_at"] - row["updated_at"]).total_seconds())
        if row["status"] == "PENDING":
            make_due(comm_job_lane(), made.job_id)
    assert (row["status"], row["attempts"], row["in_doubt"]) == ("FAILED", 6, False)
    assert row["last_error_code"] == "SMTP_CONNECT"
    for wait, meant in zip(waits, (1, 2, 4, 8, 16), strict=False):
        assert 0.8 * meant - 0.1 <= wait <= 1.2 * meant + 0.1


def test_retries_are_a_little_apart() -> None:
    for failures, meant in enumerate((1, 2, 4, 8, 16), start=1):
        delays = {RETRY.delay_seconds(failures) for _ in range(50)}
        assert len(delays) > 1
        assert all(0.8 * meant <= delay <= 1.2 * meant for delay in delays)


# --- when it may


def test_what_is_scheduled_for_later_waits_and_what_is_of_no_use_any_more_is_not_sent(desk: Desk, mail: Path) -> None:
    text(EMAIL)
    patient_id = awake()
    later = ask(patient_id, send_at=datetime.now(UTC) + timedelta(hours=2))
    late = ask(patient_id, expires_at=datetime.now(UTC) + timedelta(hours=1))
    change(comm_job_lane(), late.job_id, expires_at="now() - interval '1 s'")
    send(desk)
    assert (read(later.job_id)["status"], read(later.job_id)["claims"]) == ("PENDING", 0)
    assert (read(late.job_id)["status"], read(late.job_id)["last_error_code"]) == ("CANCELLED", "EXPIRED")
    assert letters(mail, later.job_id) + letters(mail, late.job_id) == []


def test_quiet_hours_that_begin_after_scheduling_put_it_off_until_they_end(desk: Desk, mail: Path) -> None:
    text(EMAIL)
    patient_id = awake(timezone="UTC")
    made = ask(patient_id)
    now = datetime.now(UTC)
    ends = (now + timedelta(hours=6)).replace(minute=0, second=0, microsecond=0)
    builders.says(patient_id, quiet_start=(now - timedelta(hours=1)).time(), quiet_end=ends.time())
    send(desk)
    row = read(made.job_id)
    assert (row["status"], row["due_at"], row["attempts"]) == ("PENDING", ends, 0)
    assert row["last_error_code"] == "QUIET_HOURS"
    assert letters(mail, made.job_id) == []
    builders.says(patient_id, quiet_start=time(0), quiet_end=time(0))
    make_due(comm_job_lane(), made.job_id)
    send(desk)
    assert len(letters(mail, made.job_id)) == 1


def test_at_night_it_is_scheduled_for_the_morning_and_leaves_then(desk: Desk, mail: Path) -> None:
    text(EMAIL)
    patient_id = awake(timezone="UTC")
    builders.says(patient_id, quiet_start=time(22), quiet_end=time(8))
    tomorrow = datetime.now(UTC).replace(hour=23, minute=0, second=0, microsecond=0)
    with time_machine.travel(tomorrow, tick=False):
        made = ask(patient_id)
    row = read(made.job_id)
    assert row["due_at"] == (tomorrow + timedelta(days=1)).replace(hour=8)
    assert [one["code"] for one in row["decision"]["time"]["reasons"]] == ["QUIET_HOURS"]
    make_due(comm_job_lane(), made.job_id)
    with time_machine.travel(row["due_at"], tick=False):
        send(desk)
    assert len(letters(mail, made.job_id)) == 1


# --- in the providers' own forms


@pytest.fixture
def all_providers(application: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {
        "OUTREACH_EMAIL": "sendgrid",
        "SENDGRID_API_KEY": "key",
        "OUTREACH_SMS": "twilio",
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_FROM": "+12025550199",
        "OUTREACH_WHATSAPP": "cloud",
        "WHATSAPP_TOKEN": "token",
        "WHATSAPP_PHONE_NUMBER_ID": "1",
        "WEBHOOK_URL": "https://hooks.example.org",
        "OUTREACH_RATE_PER_SECOND": "20",
    }.items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


@pytest.mark.usefixtures("all_providers")
def test_each_provider_is_a_route_with_its_own_name_kind_and_pace() -> None:
    found = routes()
    assert sorted(found) == ["email-sendgrid", "sms-twilio", "whatsapp-cloud"]
    assert {route.gateway.name for route in found.values()} == set(found)
    assert {(route.rate_per_second, route.burst) for route in found.values()} == {(20.0, 20)}
    assert found["sms-twilio"].gateway is routes()["sms-twilio"].gateway


@pytest.mark.usefixtures("all_providers")
def test_the_stored_text_goes_to_each_provider_as_it_takes_it() -> None:
    patient_id = awake()
    builders.says(patient_id, allow_whatsapp=True)
    for channel in Channel:
        text(channel)
    by_mail, by_sms = (read(ask(patient_id, preferred_channel=channel).job_id) for channel in (EMAIL, SMS))
    mail = json.loads(compose(by_mail).body)
    assert mail["personalizations"][0]["custom_args"] == {"job": str(by_mail["id"])}
    assert mail["headers"]["List-Unsubscribe"] == f"<{by_mail['preferences_link']}/one-click>"
    assert [part["type"] for part in mail["content"]] == ["text/plain", "text/html"]
    form = parse_qs(compose(by_sms).body.decode())
    assert form["Body"] == [by_sms["body"]]
    assert form["StatusCallback"] == [f"https://hooks.example.org/webhooks/twilio/status/{by_sms['id']}"]
    assert compose(by_sms) == compose(by_sms)


@pytest.mark.usefixtures("all_providers")
def test_free_text_goes_by_whatsapp_only_to_whoever_wrote_within_a_day() -> None:
    patient_id = awake()
    builders.says(patient_id, allow_whatsapp=True)
    text(WHATSAPP, provider_template={"name": "reminder", "language": "en", "parameters": ["day"]})
    row = read(ask(patient_id).job_id)
    assert row["channel"] == "whatsapp"
    with connected():
        cold = json.loads(compose(row).body)
        execute(
            "INSERT INTO comm_inbound (id, patient_id, channel, from_address, to_address, body, provider, event_key,"
            " source, sent_at)"
            " VALUES (gen_random_uuid(), %s, 'whatsapp', %s, '+1', 'hello', 'whatsapp', 'k', 'native', now())",
            (patient_id, row["recipient"]),
        )
        warm = json.loads(compose(row).body)
    assert (cold["type"], warm["type"]) == ("template", "text")
    assert warm["text"]["body"] == row["body"]


@pytest.mark.usefixtures("application")
def test_what_names_the_patient_is_known_to_be_hidden() -> None:
    text(EMAIL)
    row = read(ask(awake()).job_id)
    hidden = persons(row, b"")
    assert {builders.EMAIL, "3 March", row["preferences_link"], *row["body"].splitlines()} - {""} <= set(hidden)


@pytest.mark.usefixtures("application")
def test_where_a_message_goes_cannot_be_corrected_past_the_patients_own_word() -> None:
    text(EMAIL)
    made = ask(awake())
    with pytest.raises(Exception, match="no recipient to correct"):
        correct_recipient(comm_job_lane(), made.job_id, "else@example.org", actor="staff@example.org")


# --- what a fake lane shows as well as a real provider


def test_a_route_that_fails_holds_no_other(desk: Desk) -> None:
    patient_id = awake()
    builders.says(patient_id, quiet_start=time(0), quiet_end=time(0))
    desk.gateways["sms-twilio"].script(*[Outcome.TRANSIENT] * 3)
    by_sms = builders.job(desk.lane, patient_id, SMS)
    by_mail = builders.job(desk.lane, patient_id, EMAIL)
    desk.drain()
    assert builders.read(desk.lane, by_sms)["status"] == "PENDING"
    assert builders.read(desk.lane, by_mail)["status"] == "SENT"
