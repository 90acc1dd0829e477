"""What was allowed when a message was scheduled is asked again at the instant it leaves."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from time import sleep
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.engine.lanes import Row
from dispatchlog.gateways.fake import Play
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.outreach import (
    consents,
    contacts,
    events,
    gate,
    inbound,
    lane,
    patients,
    preferences,
    provider_words,
    unheard,
)
from dispatchlog.systems.outreach.inputs import PatientInput, PreferenceChange
from dispatchlog.systems.outreach.states import Channel, Heard, Purpose
from tests.engine.lane import owner
from tests.outreach import builders
from tests.outreach.conftest import Desk

ROUNDS = 24


def ends(desk: Desk, job_id: UUID) -> tuple[str, str | None]:
    row = builders.read(desk.lane, job_id)
    return row["status"], row["last_error_code"]


def stop(address: str = builders.PHONE) -> None:
    with connected():
        consents.stop(Channel.SMS, address, source="reply", asker=builders.PATIENT)


def deactivate(patient_id: UUID) -> None:
    with connected():
        patients.put_patient(PatientInput(patient_id, "Jo Sample", active=False), source="test", asker=builders.ASKER)


AFTER_THE_CLAIM: dict[str, Callable[[UUID], None]] = {
    "PATIENT_INACTIVE": deactivate,
    "STOPPED": lambda _: stop(),
    "CHANNEL_OFF": lambda patient_id: builders.says(patient_id, allow_sms=False),
    "NO_MARKETING_CONSENT": lambda patient_id: builders.says(patient_id, marketing_opt_in_sms=False),
}


@pytest.mark.parametrize("urgent", [False, True])
@pytest.mark.parametrize("code", [*AFTER_THE_CLAIM])
def test_a_no_after_the_claim_keeps_the_message_however_urgent(desk: Desk, code: str, urgent: bool) -> None:
    patient_id = builders.patient()
    builders.says(patient_id, marketing_opt_in_sms=True)
    job_id = builders.job(desk.lane, patient_id, purpose=Purpose.CAMPAIGN_EDUCATION, is_urgent=urgent)
    desk.before_mark = lambda _: AFTER_THE_CLAIM[code](patient_id)
    desk.drain()
    assert ends(desk, job_id) == ("CANCELLED", code)
    assert desk.left == []


def test_what_nothing_forbids_leaves(desk: Desk) -> None:
    job_id = builders.job(desk.lane, builders.patient())
    desk.drain()
    assert ends(desk, job_id) == ("SENT", None)
    assert desk.left == [builders.PHONE]


def test_quiet_hours_that_begin_after_the_claim_put_the_message_off_until_they_end(desk: Desk) -> None:
    zone = builders.zone_where_it_is(12)
    patient_id = builders.patient(timezone=zone)
    job_id = builders.job(desk.lane, patient_id, Channel.EMAIL)
    desk.before_mark = lambda _: builders.says(patient_id, quiet_start=time(11), quiet_end=time(15, 30))
    desk.drain()
    assert ends(desk, job_id) == ("PENDING", "QUIET_HOURS")
    row = builders.read(desk.lane, job_id)
    assert row["due_at"].astimezone(ZoneInfo(zone)).time() == time(15, 30)
    assert (row["attempts"], row["first_claimed_at"], desk.left) == (0, None, [])


def test_a_text_that_would_arrive_within_quiet_hours_is_put_off_although_they_have_not_begun(desk: Desk) -> None:
    patient_id = builders.patient(timezone="Etc/UTC")
    soon = datetime.now(UTC) + timedelta(seconds=90)
    # Whole minutes: it begins after 30 to 90 seconds, within the time that a message may take.
    builders.says(patient_id, quiet_start=soon.time().replace(second=0, microsecond=0))
    builders.says(patient_id, quiet_end=(soon + timedelta(hours=6)).time().replace(second=0, microsecond=0))
    job_id = builders.job(desk.lane, patient_id, Channel.EMAIL)
    desk.drain()
    assert ends(desk, job_id) == ("PENDING", "QUIET_HOURS")


def test_the_law_keeps_a_text_that_the_patient_would_take(desk: Desk) -> None:
    patient_id = builders.patient(timezone=builders.zone_where_it_is(5))
    builders.says(patient_id, quiet_start=time(0), quiet_end=time(0))
    text, mail = (builders.job(desk.lane, patient_id, channel) for channel in (Channel.SMS, Channel.EMAIL))
    desk.drain()
    assert ends(desk, text) == ("PENDING", "LEGAL_WINDOW")
    assert ends(desk, mail) == ("SENT", None)


def test_what_is_urgent_leaves_at_night(desk: Desk) -> None:
    job_id = builders.job(desk.lane, builders.patient(timezone=builders.zone_where_it_is(3)), is_urgent=True)
    desk.drain()
    assert ends(desk, job_id) == ("SENT", None)


def test_marketing_that_is_marked_urgent_waits_for_the_morning_all_the_same(desk: Desk) -> None:
    patient_id = builders.patient(timezone=builders.zone_where_it_is(3))
    builders.says(patient_id, marketing_opt_in_sms=True)
    job_id = builders.job(desk.lane, patient_id, purpose=Purpose.CAMPAIGN_EDUCATION, is_urgent=True)
    desk.drain()
    assert ends(desk, job_id) == ("PENDING", "QUIET_HOURS")


def test_reminders_of_several_days_that_come_due_together_leave_one_a_day(desk: Desk) -> None:
    """As after a day on which no worker was there; four of them are marked at once."""
    desk.routes = {name: replace(route, batch=1) for name, route in desk.routes.items()}
    patient_id = builders.patient()
    ids = [builders.job(desk.lane, patient_id) for _ in range(4)]
    urgent = builders.job(desk.lane, patient_id, is_urgent=True)
    with ThreadPoolExecutor(4) as pool:
        for draining in [pool.submit(desk.drain) for _ in range(4)]:
            draining.result()
    desk.drain()
    assert Counter(ends(desk, job_id) for job_id in ids) == {("SENT", None): 1, ("PENDING", "DAILY_LIMIT"): 3}
    assert ends(desk, urgent) == ("SENT", None)
    put_off = next(row for row in (builders.read(desk.lane, each) for each in ids) if row["status"] == "PENDING")
    zone = ZoneInfo(builders.zone_where_it_is(12))
    assert put_off["due_at"].astimezone(zone).date() == datetime.now(zone).date() + timedelta(days=1)


def test_hours_that_leave_no_minute_of_the_day_put_a_message_off(desk: Desk) -> None:
    patient_id = builders.patient()
    builders.says(patient_id, quiet_start=time(8), quiet_end=time(7, 59))
    job_id = builders.job(desk.lane, patient_id)
    desk.drain()
    assert ends(desk, job_id) == ("PENDING", "NEVER_LAWFUL")


@pytest.mark.parametrize(
    ("columns", "begins_in", "said", "expected"),
    [
        ({}, 24, 24, ("SENT", None)),
        ({}, 24, None, ("SENT", None)),
        ({"status": "confirmed"}, 24, 24, ("SENT", None)),
        ({"status": "cancelled"}, 24, 24, ("CANCELLED", "APPOINTMENT_OVER")),
        ({"status": "completed"}, 24, 24, ("CANCELLED", "APPOINTMENT_OVER")),
        ({}, -1, -1, ("CANCELLED", "APPOINTMENT_OVER")),
        ({}, 48, 24, ("CANCELLED", "APPOINTMENT_OVER")),
    ],
)
def test_a_reminder_of_an_appointment_that_is_not_so_any_more_stays(
    desk: Desk, columns: dict[str, Any], begins_in: int, said: int | None, expected: tuple[str, str | None]
) -> None:
    now = datetime.now(UTC)
    patient_id = builders.patient()
    about = builders.appointment(patient_id, starts_at=now + timedelta(hours=begins_in), **columns)
    decision = {} if said is None else {"appointment_starts_at": (now + timedelta(hours=said)).isoformat()}
    job_id = builders.job(desk.lane, patient_id, appointment_id=about, is_urgent=True, decision=decision)
    desk.drain()
    assert ends(desk, job_id) == expected


def test_a_message_about_a_missed_appointment_leaves_after_it(desk: Desk) -> None:
    patient_id = builders.patient()
    about = builders.appointment(patient_id, starts_at=datetime.now(UTC) - timedelta(hours=2), status="no_show")
    job_id = builders.job(desk.lane, patient_id, purpose=Purpose.NO_SHOW, appointment_id=about)
    desk.drain()
    assert ends(desk, job_id) == ("SENT", None)


def test_a_stop_holds_for_where_the_message_really_goes(desk: Desk) -> None:
    patient_id = builders.patient()
    job_id = builders.job(desk.lane, patient_id)
    stop("+12025550177")
    with connected():
        execute("UPDATE comm_jobs SET recipient = '+12025550177', sealed = NULL WHERE id = %s", (job_id,))
    desk.drain()
    assert ends(desk, job_id) == ("CANCELLED", "STOPPED")


def test_messages_that_wait_follow_the_patient_to_a_new_number(desk: Desk) -> None:
    patient_id = builders.patient()
    put_off = builders.job(desk.lane, patient_id)
    desk.before_mark = lambda _: builders.says(patient_id, quiet_start=time(11), quiet_end=time(15, 30))
    desk.drain()
    assert ends(desk, put_off) == ("PENDING", "QUIET_HOURS")
    mail = builders.job(desk.lane, patient_id, Channel.EMAIL)
    desk.before_mark = lambda _: None
    choice = PreferenceChange({"sms_number": "+12025550177", "quiet_start": "00:00", "quiet_end": "00:00"}, "staff")
    with connected():
        preferences.change(patient_id, choice, asker=builders.STAFF)
        execute("UPDATE comm_jobs SET due_at = now() WHERE id = %s", (put_off,))
    desk.drain()
    assert sorted(desk.left) == ["+12025550177", builders.EMAIL]
    assert {ends(desk, put_off), ends(desk, mail)} == {("SENT", None)}


@pytest.mark.parametrize("phone", [None, "+12025550177"])
def test_a_number_that_is_not_the_patients_any_more_gets_nothing(desk: Desk, phone: str | None) -> None:
    patient_id = builders.patient()
    job_id = builders.job(desk.lane, patient_id)
    report = PatientInput(patient_id, "Jo Sample", phone=phone, timezone=builders.zone_where_it_is(12))

    def move(_: Row) -> None:
        with connected():
            patients.put_patient(report, source="test", asker=builders.ASKER)

    desk.before_mark = move
    desk.drain()
    assert ends(desk, job_id) == ("CANCELLED", "ADDRESS_CHANGED")
    assert desk.left == []


def test_the_one_text_that_confirms_a_stop_leaves_soon_or_never(desk: Desk) -> None:
    patient_id = builders.patient(timezone=builders.zone_where_it_is(3))
    stop()
    job_id = builders.job(desk.lane, patient_id, decision={"reply_to_stop": "the inbound message"})
    late = {**builders.read(desk.lane, job_id), "created_at": datetime.now(UTC) - timedelta(minutes=6)}
    with transaction("test"):
        refusal = gate.may_leave(late)
    assert refusal is not None
    assert (refusal.code, refusal.until) == ("STOPPED", None)
    desk.drain()
    assert ends(desk, job_id) == ("SENT", None)


def writes(_: UUID) -> None:
    said = inbound.Message("twilio", "SM1", Channel.SMS, builders.PHONE, "+12025550100", "STOP", opt_out="STOP")
    inbound.store_messages([said], source="native", trace_id="t")


def told_of_a_stop(job_id: UUID) -> None:
    told = events.Report("twilio", "SM1", "failed", Heard.BOUNCED, job_id=job_id, code="21610")
    events.store_reports([told], source="native", trace_id="t")


@pytest.mark.parametrize("say", [writes, told_of_a_stop])
def test_while_a_word_from_the_address_is_stored_and_unread_only_answers_to_it_leave(
    desk: Desk, say: Callable[[UUID], None]
) -> None:
    patient_id, other = builders.patient(), builders.patient(phone="+12025550177")
    earlier = builders.job(desk.lane, patient_id)
    desk.drain()
    say(earlier)
    held = builders.job(desk.lane, patient_id, is_urgent=True)
    answer = builders.job(desk.lane, patient_id, decision={"reply_to": "an earlier message"}, is_urgent=True)
    free = builders.job(desk.lane, other, recipient="+12025550177")
    desk.drain()
    assert ends(desk, held) == ("PENDING", "ANSWER_UNREAD")
    assert {ends(desk, answer), ends(desk, free)} == {("SENT", None)}
    inbound.process_all()
    events.apply_all()
    assert ends(desk, held) == ("CANCELLED", "STOPPED")


def test_every_word_that_withdraws_is_asked_for_and_found_by_the_index_of_these_alone(database_url: str) -> None:
    for word in {word for _, word in (*provider_words._BY_WORD, *provider_words._BY_CODE)}:
        assert f"'{word}'" in unheard._WITHDRAWS
    with owner(database_url) as cursor:
        cursor.execute("DROP INDEX comm_events_open; SET enable_seqscan = off")
        cursor.execute(f"EXPLAIN {unheard._UNAPPLIED}", ("sms", "x", b"x"))
        assert "comm_events_withdrawals" in str(cursor.fetchall())


def an_instant() -> float:
    return random.uniform(0, 0.01)  # noqa: S311  (nothing is secret about it)


def test_no_provider_is_given_longer_than_the_gate_reckons_with(
    application: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"TWILIO_ACCOUNT_SID": "AC", "TWILIO_AUTH_TOKEN": "t", "TWILIO_FROM": "+12025550100", "WHATSAPP_TOKEN": "t"}
    given |= {"WHATSAPP_PHONE_NUMBER_ID": "1", "TWILIO_WHATSAPP_FROM": "+12025550100", "SENDGRID_API_KEY": "k"}
    for name, value in given.items():
        monkeypatch.setenv(f"DISPATCHLOG_{name}", value)
    names: set[str] = set()
    for email, whatsapp in (("smtp", "cloud"), ("sendgrid", "twilio")):
        chosen = {"EMAIL": email, "SMS": "twilio", "WHATSAPP": whatsapp}
        for channel, provider in chosen.items():
            monkeypatch.setenv(f"DISPATCHLOG_OUTREACH_{channel}", provider)
        get_settings.cache_clear()
        for name, route in lane.routes().items():
            names.add(name)
            assert route.gateway.deadline_seconds <= max(gate.SEND_SECONDS, get_settings().mail_deadline_seconds)
    get_settings.cache_clear()
    assert len(names) == 5


def say_stop(_: UUID, address: str) -> None:
    stop(address)


def say_no_to_marketing(patient_id: UUID, _: str) -> None:
    with connected():
        consents.note_marketing(patient_id, Channel.SMS, given=False, source="preference_page", asker=builders.PATIENT)


@pytest.mark.parametrize(
    ("say_no", "purpose"), [(say_stop, Purpose.APPT_REMINDER), (say_no_to_marketing, Purpose.CAMPAIGN_EDUCATION)]
)
def test_nothing_is_handed_over_after_a_no_is_committed(
    desk: Desk, say_no: Callable[[UUID, str], None], purpose: Purpose, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four workers drain while people say no at the very instant at which one of their messages is about to leave."""
    monkeypatch.setattr(consents, "HANDING_OVER_SECONDS", 60.0)
    desk.routes = {name: replace(route, batch=1) for name, route in desk.routes.items()}
    ended = [status for _ in range(ROUNDS) for status in a_round(desk, say_no, purpose)]
    assert set(ended) == {"SENT", "CANCELLED"}


def a_round(desk: Desk, say_no: Callable[[UUID, str], None], purpose: Purpose) -> list[str]:
    """Six people with four messages each, and how these ended. Each no knows the instant by which it was committed."""
    people = {address: builders.patient(phone=address) for address in (f"+1202555{100 + n:04d}" for n in range(6))}
    for patient_id in people.values():
        builders.says(patient_id, marketing_opt_in_sms=purpose is Purpose.CAMPAIGN_EDUCATION)
    jobs = [
        builders.job(desk.lane, patient_id, recipient=address, purpose=purpose, is_urgent=True)
        for _ in range(4)
        for address, patient_id in people.items()
    ]
    gateway = desk.gateways["sms-twilio"]
    gateway.script(*[Play(hang_seconds=an_instant()) for _ in jobs])
    gateway.accepted.clear()
    seen: Counter[str] = Counter()
    saying: dict[str, Future[datetime]] = {}

    def refuse(address: str) -> datetime:
        sleep(an_instant())
        say_no(people[address], address)
        return datetime.now(UTC)

    def about_to_leave(row: Row) -> None:
        seen[row["recipient"]] += 1
        if seen[row["recipient"]] == 2:
            saying[row["recipient"]] = pool.submit(refuse, row["recipient"])

    desk.before_mark = about_to_leave
    with ThreadPoolExecutor(10) as pool:
        for draining in [pool.submit(desk.drain) for _ in range(4)]:
            draining.result()
    desk.drain()
    committed = {address: said.result() for address, said in saying.items()}
    assert [entry for entry in gateway.accepted if entry.at > committed[entry.recipient]] == []
    with connected():
        execute("DELETE FROM comm_stops")
        execute("DELETE FROM comm_addresses")
    return [builders.read(desk.lane, each)["status"] for each in jobs]


def test_whoever_changes_a_family_at_once_waits_for_the_others_and_never_for_ever(desk: Desk) -> None:
    """Stops, lifted stops, choices, reports and workers take the same locks in one order."""
    family = [builders.patient(email=f"{name}.sample@example.org") for name in ("one", "two", "three")]
    desk.routes = {name: replace(route, batch=1) for name, route in desk.routes.items()}

    def say(number: int) -> None:
        patient_id, on = random.choice(family), bool(number % 2)  # noqa: S311  (nothing is secret about it)
        values = {"allow_sms": on, "marketing_opt_in_sms": on, "best_hour": number % 24}
        came_to = (Channel.SMS, contacts.address_hash(Channel.SMS, builders.PHONE))
        wanted = PreferenceChange(values, "patient", wording="Yes.", came_to=came_to)
        with connected():
            preferences.change(patient_id, wanted, asker=builders.PATIENT)

    def report(number: int) -> None:
        phone = builders.PHONE if number % 3 else "+12025550177"
        builders.patient(id=random.choice(family), phone=phone)  # noqa: S311  (nothing is secret about it)

    def send(_: int) -> None:
        builders.job(desk.lane, family[0], purpose=Purpose.CAMPAIGN_EDUCATION, is_urgent=True)
        desk.drain()

    acts: list[Callable[[int], object]] = [say, report, send, lambda _: stop(), say]
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(act, number) for number in range(40) for act in acts]:
            done.result()
    desk.drain()
    ended = builders.rows("SELECT DISTINCT status FROM comm_jobs")
    assert {row["status"] for row in ended} <= {"SENT", "CANCELLED"}
    deadlocks = builders.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert deadlocks == [{"deadlocks": 0}]
