"""The orchestrator: one request, one job with its text and its reasons; or a clear no."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import pytest

from dispatchlog.engine.database import transaction
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.outreach import consents, portal, scheduling
from dispatchlog.systems.outreach.inputs import Asker, OutreachError, Scheduled, ScheduleInput
from dispatchlog.systems.outreach.states import Channel, Purpose
from dispatchlog.systems.outreach.templates import Variable
from tests.outreach import builders
from tests.outreach.requests import BODY, DAY, REASON, SAID, ask, awake, text

EMAIL, SMS, WHATSAPP = Channel.EMAIL, Channel.SMS, Channel.WHATSAPP


@pytest.fixture(autouse=True)
def providers(application: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """All three channels have a provider; none of them is reached."""
    for name, value in {
        "OUTREACH_SMS": "twilio",
        "TWILIO_ACCOUNT_SID": "AC1",
        "TWILIO_AUTH_TOKEN": "token",
        "TWILIO_FROM": "+12025550199",
        "OUTREACH_WHATSAPP": "cloud",
        "WHATSAPP_TOKEN": "token",
        "WHATSAPP_PHONE_NUMBER_ID": "1",
        "PUBLIC_URL": "https://messages.example.org",
    }.items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def job(job_id: UUID) -> dict[str, Any]:
    (row,) = builders.rows("SELECT * FROM comm_jobs WHERE id = %s", job_id)
    return row


def jobs() -> list[dict[str, Any]]:
    return builders.rows("SELECT * FROM comm_jobs ORDER BY seq")


# --- a request becomes a job


def test_a_request_becomes_a_waiting_job_with_its_text_and_why() -> None:
    patient_id = awake(organization_id=builders.organization())
    template_id = text()
    made = ask(patient_id, request_key="r-1")
    row = job(made.job_id)
    assert (row["status"], row["route"], row["channel"], row["recipient"]) == (
        "PENDING",
        "sms-twilio",
        "sms",
        builders.PHONE,
    )
    assert "Your appointment is on 3 March." in row["body"]
    assert (row["template_id"], row["template_version"], row["variables"]) == (template_id, 1, SAID)
    assert (made.channel, made.scheduled_at, made.created) == (SMS, row["due_at"], True)
    assert made.estimated_delivery > made.scheduled_at
    assert row["decision"] == made.decision
    assert made.decision["channel"]["chosen"] == "sms"
    assert row["subject_id"] == f"patient:{patient_id}"
    assert row["search_keys"] == [str(patient_id)]
    assert (row["trace_id"], row["priority"], row["asks"], row["preferences_link"]) == ("trace-1", 0, "", "")


def test_what_was_asked_is_audited_with_codes_and_without_addresses() -> None:
    patient_id = awake()
    text()
    made = ask(patient_id)
    (line,) = builders.rows("SELECT * FROM comm_audit_log WHERE action = 'send'")
    assert (line["patient_id"], line["actor"], line["ip_address"]) == (patient_id, "service:clinic", "203.0.113.7")
    assert (line["details"]["job"], line["details"]["channel"]) == (str(made.job_id), "sms")
    assert line["details"]["codes"] == {"sms": "CHOSEN", "whatsapp": "NO_TEMPLATE", "email": "NO_TEMPLATE"}
    assert builders.PHONE not in str(line)
    assert "3 March" not in str(line)


def test_a_mail_has_a_link_to_the_preferences() -> None:
    text(EMAIL)
    row = job(ask(awake()).job_id)
    assert (row["route"], row["recipient"], row["subject"]) == ("email-smtp", builders.EMAIL, "Your appointment")
    token = row["preferences_link"].removeprefix("https://messages.example.org/p/prefs/")
    with transaction("test"):
        link = portal.open_link(token, kind="preferences", asker=builders.PATIENT)
    assert (link.patient_id, link.job_id, link.channel) == (row["patient_id"], row["id"], EMAIL)


def test_what_is_about_health_stands_behind_a_link_and_in_the_mail() -> None:
    said = {**SAID, "reason": "Canarymycin 40 mg"}
    body = f"{BODY} It is about {{{{ reason }}}}."
    for channel in (SMS, EMAIL):
        text(channel, body=body, variables=(REASON, DAY))
    patient_id = awake()
    by_sms, by_mail = (
        job(ask(patient_id, variables=said, preferred_channel=channel).job_id) for channel in (SMS, EMAIL)
    )
    assert "Canarymycin" in by_mail["body"]
    assert "Canarymycin" not in by_sms["body"]
    token = by_sms["body"].split("https://messages.example.org/p/")[1].split()[0].rstrip(".")
    with transaction("test"):
        link = portal.open_link(token, kind="message", asker=builders.PATIENT)
    assert "Canarymycin 40 mg" in link.text
    assert link.job_id == by_sms["id"]
    assert by_sms["decision"]["withheld"] == ["reason"]


def test_a_variable_that_only_another_channels_text_has_is_none_too_many() -> None:
    text(SMS, body="We look forward to seeing you.", variables=())
    text(EMAIL)
    made = ask(awake())
    assert made.channel is SMS
    assert "3 March" not in job(made.job_id)["body"]


def test_a_reminder_asks_for_confirmation_and_is_of_no_use_once_the_appointment_begins() -> None:
    patient_id = awake()
    starts_at = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)
    appointment_id = builders.appointment(patient_id, starts_at=starts_at)
    text()
    row = job(ask(patient_id, appointment_id=appointment_id).job_id)
    assert (row["asks"], row["expires_at"]) == ("confirmation", starts_at)
    assert str(appointment_id) in row["search_keys"]
    assert datetime.fromisoformat(row["decision"]["appointment_starts_at"]) == starts_at
    silent = job(ask(patient_id, appointment_id=appointment_id, asks="").job_id)
    assert silent["asks"] == ""


def test_marketing_is_never_urgent() -> None:
    patient_id = awake()
    builders.says(patient_id, marketing_opt_in_sms=True)
    text(SMS, Purpose.CAMPAIGN_EDUCATION)
    with pytest.raises(OutreachError) as refused:
        ask(patient_id, purpose=Purpose.CAMPAIGN_EDUCATION, is_urgent=True)
    assert (refused.value.code, refused.value.field) == ("URGENT_NOT_ALLOWED", "is_urgent")
    assert jobs() == []


def test_what_is_urgent_goes_now_and_first_and_that_is_audited() -> None:
    patient_id = awake()
    builders.says(patient_id, quiet_start=time(0), quiet_end=time(23, 59))
    text(SMS, Purpose.URGENT)
    before = datetime.now(UTC)
    made = ask(patient_id, purpose=Purpose.URGENT)
    row = job(made.job_id)
    assert before <= row["due_at"] <= datetime.now(UTC)
    assert (row["priority"], row["is_urgent"]) == (1, True)
    (line,) = builders.rows("SELECT details FROM comm_audit_log WHERE action = 'send'")
    assert line["details"]["urgent"] is True


# --- the same request again


def test_the_same_request_is_one_job_however_often_it_comes() -> None:
    patient_id = awake()
    text()
    first = ask(patient_id, request_key="r-1")
    again = ask(patient_id, request_key="r-1")
    assert (again.job_id, again.created, again.decision) == (first.job_id, False, first.decision)
    assert len(jobs()) == 1
    other = ask(patient_id, request_key="r-1", asker=Asker("service:other"))
    assert other.job_id != first.job_id
    assert ask(patient_id).job_id != ask(patient_id).job_id


def test_another_request_under_the_same_key_is_refused() -> None:
    patient_id = awake()
    text()
    first = ask(patient_id, request_key="r-1")
    with pytest.raises(OutreachError) as refused:
        ask(patient_id, request_key="r-1", variables={"day": "4 March"})
    assert (refused.value.code, refused.value.field) == ("REQUEST_KEY_REUSED", "request_key")
    assert refused.value.present == {"job_id": str(first.job_id)}
    assert len(jobs()) == 1


def test_an_old_request_that_comes_again_is_answered_though_it_could_not_be_made_now() -> None:
    patient_id = awake()
    text()
    send_at = datetime.now(UTC) + timedelta(hours=1)
    first = ask(patient_id, request_key="r-1", send_at=send_at)
    with transaction("test"):
        consents.stop(SMS, builders.PHONE, source="reply", asker=builders.PATIENT)
    assert ask(patient_id, request_key="r-1", send_at=send_at).job_id == first.job_id


def test_twins_at_the_same_moment_are_one_job() -> None:
    patient_id = awake()
    text(EMAIL)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: ask(patient_id, request_key="r-1"), range(8)))
    (row,) = jobs()
    assert {one.job_id for one in made} == {row["id"]}
    assert [one.created for one in made].count(True) == 1
    assert len(builders.rows("SELECT FROM comm_audit_log WHERE action = 'send'")) == 1
    assert len(builders.rows("SELECT FROM comm_portal_tokens")) == 1


def test_the_same_requests_together_in_any_order_are_one_job_each() -> None:
    text(EMAIL)
    ids = [awake() for _ in range(24)]
    for attempt in range(6):
        asked = [
            scheduling.Asked(
                ScheduleInput(each, Purpose.APPT_REMINDER, variables=SAID, request_key=f"{attempt}-{n}"),
                builders.ASKER,
                "trace-1",
            )
            for n, each in enumerate(ids)
        ]
        start = Barrier(2)

        def ask_all(requests: list[scheduling.Asked], start: Barrier = start) -> dict[UUID, UUID]:
            start.wait()
            outcomes = scheduling.schedule_many(requests)
            return {
                one.wanted.patient_id: found.job_id
                for one, found in zip(requests, outcomes, strict=True)
                if isinstance(found, Scheduled)
            }

        with ThreadPoolExecutor(2) as pool:
            forwards, backwards = pool.map(ask_all, (asked, asked[::-1]))
        assert forwards == backwards
        assert len(forwards) == len(ids)
    assert len(jobs()) == 6 * len(ids)


# --- limits


def test_two_at_once_are_not_both_the_first_text_of_the_day() -> None:
    zone = builders.zone_where_it_is(12)  # no day ends meanwhile
    patient_id = awake(timezone=zone)
    text()
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: ask(patient_id), range(6)))
    days = sorted(one.scheduled_at.astimezone(ZoneInfo(zone)).date() for one in made)
    assert len(set(days)) == 6
    assert all(days[n + 3] - days[n] >= timedelta(days=7) for n in range(3))
    assert sorted(one.decision["time"]["reasons"] != [] for one in made) == [False] + [True] * 5


def test_what_was_cancelled_or_failed_counts_towards_no_limit() -> None:
    patient_id = awake()
    text()
    first = ask(patient_id)
    assert scheduling.cancel(first.job_id, asker=builders.STAFF, reason="not needed")
    assert ask(patient_id).decision["time"]["reasons"] == []


# --- refused


def test_a_no_is_kept_as_a_cancelled_job_with_its_text_and_without_an_address() -> None:
    patient_id = awake()
    text()
    with transaction("test"):
        consents.stop(SMS, builders.PHONE, source="reply", asker=builders.PATIENT)
    made = ask(patient_id, request_key="r-1")
    assert (made.refused, made.channel) == ("NO_CHANNEL", SMS)
    row = job(made.job_id)
    assert (row["status"], row["last_error_code"], row["recipient"], row["recipient_hash"]) == (
        "CANCELLED",
        "NO_CHANNEL",
        "",
        None,
    )
    assert "3 March" in row["body"]
    (reason,) = builders.rows(
        "SELECT reason FROM dispatch_transitions WHERE dispatch_id = %s AND to_status = 'CANCELLED'", row["id"]
    )
    assert reason["reason"] == row["decision"]["refused"]["words"]
    assert ask(patient_id, request_key="r-1").refused == "NO_CHANNEL"
    assert builders.rows("SELECT FROM comm_portal_tokens") == []


def test_marketing_without_consent_is_refused_and_with_it_goes() -> None:
    patient_id = awake()
    text(EMAIL, Purpose.CAMPAIGN_EDUCATION)
    assert ask(patient_id, purpose=Purpose.CAMPAIGN_EDUCATION).refused == "NO_CHANNEL"
    builders.says(patient_id, marketing_opt_in_email=True)
    made = ask(patient_id, purpose=Purpose.CAMPAIGN_EDUCATION)
    assert (made.refused, job(made.job_id)["is_marketing"]) == ("", True)


# --- mistakes


def _past() -> datetime:
    return datetime.now(UTC) - timedelta(minutes=2)


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"patient_id": uuid4()}, "PATIENT_NOT_FOUND", "patient_id"),
        ({"purpose": Purpose.LAB_READY, "variables": {}}, "UNKNOWN_TEMPLATE", "template_id"),
        ({"template_id": uuid4()}, "UNKNOWN_TEMPLATE", "template_id"),
        ({"variables": {"date": "3 March"}}, "UNKNOWN_VARIABLE", "variables.date"),
        ({"purpose": Purpose.RX_REFILL, "variables": {}}, "MISSING_VARIABLE", "variables.medicine"),
        ({"send_at": datetime(2030, 1, 1)}, "INVALID_DATE", "send_at"),  # noqa: DTZ001  (that is the mistake)
        ({"expires_at": datetime(2030, 1, 1)}, "INVALID_DATE", "expires_at"),  # noqa: DTZ001
        ({"send_at": _past()}, "SEND_AT_PAST", "send_at"),
        ({"appointment_id": uuid4()}, "APPOINTMENT_NOT_FOUND", "appointment_id"),
    ],
)
def test_a_callers_mistake_is_told_with_its_field_and_stores_nothing(
    values: dict[str, Any], code: str, field: str
) -> None:
    text()
    text(SMS, Purpose.RX_REFILL, body="{{ medicine }}", variables=(Variable("medicine", is_phi=True),))
    with pytest.raises(OutreachError) as refused:
        ask(**{"patient_id": awake(), **values})
    assert (refused.value.code, refused.value.field) == (code, field)
    assert jobs() == []
    assert builders.rows("SELECT FROM comm_audit_log WHERE action = 'send'") == []


def test_a_template_of_another_purpose_channel_or_clinic_is_a_mismatch() -> None:
    other = text(SMS, Purpose.LAB_READY)
    by_sms = text(SMS)
    theirs = text(EMAIL, name="theirs", organization_id=builders.organization())
    patient_id = awake()
    for values in (
        {"template_id": other},
        {"template_id": by_sms, "preferred_channel": EMAIL},
        {"template_id": theirs},
    ):
        with pytest.raises(OutreachError) as refused:
            ask(patient_id, **values)
        assert refused.value.code == "TEMPLATE_MISMATCH"
    assert job(ask(patient_id, template_id=by_sms).job_id)["template_id"] == by_sms


def test_a_patient_without_any_address_is_told() -> None:
    text()
    text(EMAIL)
    with pytest.raises(OutreachError) as refused:
        ask(awake(email=None, phone=None))
    assert (refused.value.code, refused.value.field) == ("NO_ADDRESS", "patient_id")
    assert jobs() == []


def test_another_patients_appointment_and_one_that_is_over_are_refused() -> None:
    text()
    patient_id, other = awake(), awake()
    soon = datetime.now(UTC) + timedelta(days=1)
    theirs = builders.appointment(other, starts_at=soon)
    cancelled = builders.appointment(patient_id, starts_at=soon, status="cancelled")
    for appointment_id, code in ((theirs, "APPOINTMENT_NOT_FOUND"), (cancelled, "APPOINTMENT_OVER")):
        with pytest.raises(OutreachError) as refused:
            ask(patient_id, appointment_id=appointment_id)
        assert refused.value.code == code


# --- taken back


def test_what_waits_can_be_cancelled_once_and_by_its_appointment() -> None:
    patient_id = awake()
    soon = datetime.now(UTC) + timedelta(days=3)
    appointment_id = builders.appointment(patient_id, starts_at=soon)
    text(EMAIL)
    one, about, about_too = (ask(patient_id, **values) for values in ({}, *[{"appointment_id": appointment_id}] * 2))
    assert scheduling.cancel(one.job_id, asker=builders.STAFF, reason="not needed")
    assert not scheduling.cancel(one.job_id, asker=builders.STAFF, reason="not needed")
    with transaction("test"):
        assert scheduling.cancel_for_appointment(appointment_id, reason="it was moved") == 2
    assert {job(each.job_id)["status"] for each in (one, about, about_too)} == {"CANCELLED"}
    with pytest.raises(OutreachError) as refused:
        scheduling.cancel(uuid4(), asker=builders.STAFF, reason="not needed")
    assert refused.value.code == "JOB_NOT_FOUND"


def test_where_the_callers_transaction_fails_nothing_is_left_of_it() -> None:
    patient_id = awake()
    text(EMAIL)

    def fail_after_asking() -> None:
        with transaction("test"):
            ask(patient_id)
            raise LookupError

    with pytest.raises(LookupError):
        fail_after_asking()
    assert jobs() == []
