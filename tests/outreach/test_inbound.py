"""What patients write back: stored once, acted on once, or given to a person."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, execute, transaction
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.outreach import consents, contacts, inbound
from dispatchlog.systems.outreach.inbound import Message, process_all, settle, store_messages
from dispatchlog.systems.outreach.inbound_actions import about_appointment
from dispatchlog.systems.outreach.inbound_context import context_of
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.states import Channel, Intent
from tests.outreach import builders
from tests.outreach.builders import PHONE, STAFF, rows
from tests.outreach.conftest import Desk

OURS = "+12025550100"
TOMORROW = timedelta(days=1)


@pytest.fixture
def whatsapp(application: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """WhatsApp is set up, by the interface whose provider answers nothing itself."""
    for name, value in (
        ("DISPATCHLOG_OUTREACH_WHATSAPP", "cloud"),
        ("DISPATCHLOG_WHATSAPP_TOKEN", "token"),
        ("DISPATCHLOG_WHATSAPP_PHONE_NUMBER_ID", "1"),
        ("DISPATCHLOG_WHATSAPP_APP_SECRET", "secret"),
        ("DISPATCHLOG_WHATSAPP_VERIFY_TOKEN", "verify"),
    ):
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    registry.forget()


def asked(
    desk: Desk, patient_id: UUID | None = None, channel: Channel = Channel.SMS, **columns: Any
) -> tuple[UUID, UUID]:
    """A patient's appointment tomorrow, and the message that asked for a confirmation and left."""
    patient_id = patient_id or builders.patient(organization_id=builders.organization())
    appointment = builders.appointment(patient_id, starts_at=datetime.now(UTC) + TOMORROW)
    if channel is Channel.WHATSAPP:
        builders.says(patient_id, allow_whatsapp=True)
    job = builders.job(desk.lane, patient_id, channel, appointment_id=appointment, asks="confirmation", **columns)
    desk.drain()
    assert builders.read(desk.lane, job)["status"] == "SENT"
    return appointment, job


def says(
    body: str, *, channel: Channel = Channel.SMS, provider: str = "twilio", key: str = "", **fields: Any
) -> Message:
    return Message(provider, key or uuid4().hex, channel, PHONE, OURS, body, **fields)


def hear(*messages: Message) -> list[dict[str, Any]]:
    store_messages(messages, source="native", trace_id="t")
    process_all()
    keys = [message.event_key for message in messages]
    found = {row["event_key"]: row for row in rows("SELECT * FROM comm_inbound")}
    return [found[key] for key in keys]


def status_of(appointment: UUID) -> str:
    return str(rows("SELECT status FROM comm_appointments WHERE id = %s", appointment)[0]["status"])


def test_a_message_is_stored_once_however_often_it_comes(application: Settings) -> None:
    message = Message("twilio", "SM1", Channel.SMS, "+12025550123", "+12025550100", "YES\x00", "SM1", opt_out="stop")
    other = Message("whatsapp", "wamid.1", Channel.WHATSAPP, "whatsapp:+12025550123", "nobody", "ok", "wamid.1")
    assert store_messages([message, message, other], source="native", trace_id="t") == 2
    assert store_messages([message], source="generic", trace_id="t") == 0
    stored = rows("SELECT * FROM comm_inbound ORDER BY event_key")
    assert [(row["from_address"], row["to_address"], row["intent"]) for row in stored] == [
        ("+12025550123", "+12025550100", "stop"),
        ("+12025550123", "nobody", None),
    ]
    assert stored[0]["body"] == "YES\ufffd"


def test_yes_confirms_the_appointment_that_was_asked_about(desk: Desk) -> None:
    appointment, job = asked(desk)
    (row,) = hear(says("Yes, thank you"))
    assert (row["action"], row["processed"], row["related_job_id"]) == ("confirmed", True, job)
    assert status_of(appointment) == "confirmed"
    answered = builders.read(desk.lane, job)
    assert answered["answered_at"] is not None
    assert answered["replied_at"] is not None
    details = rows("SELECT details FROM comm_audit_log WHERE action = 'receive'")[0]["details"]
    assert details == {"inbound": str(row["id"]), "intent": "confirm", "action": "confirmed"}


def test_a_change_of_mind_counts_and_the_same_answer_again_changes_nothing(desk: Desk) -> None:
    appointment, _ = asked(desk)
    assert [hear(says(text))[0]["action"] for text in ("yes", "YES", "sorry, I can't come", "yes")] == [
        "confirmed",
        "confirmed_before",
        "reschedule_requested",
        "confirmed",
    ]
    assert status_of(appointment) == "confirmed"
    assert [row["status"] for row in rows("SELECT status FROM comm_reschedule_requests")] == ["handled"]


def test_a_wish_for_another_time_opens_one_request(desk: Desk) -> None:
    appointment, _ = asked(desk)
    first, second = hear(says("Can we reschedule?"), says("another day please"))
    assert {first["action"], second["action"]} == {"reschedule_requested"}
    requests = rows("SELECT * FROM comm_reschedule_requests")
    assert [(request["appointment_id"], request["inbound_id"]) for request in requests] == [(appointment, first["id"])]
    assert status_of(appointment) == "reschedule_requested"


def test_a_number_means_what_the_text_offered(desk: Desk) -> None:
    appointment, _ = asked(desk, body="Reply 1 for another day, 2 to confirm or 3 to stop.")
    assert hear(says("2"))[0]["action"] == "confirmed"
    assert hear(says("3"))[0]["action"] == "stopped"
    assert status_of(appointment) == "confirmed"


def test_stop_holds_at_once_whatever_was_asked(desk: Desk) -> None:
    appointment, _ = asked(desk)
    waiting = builders.job(desk.lane, builders.patient(), Channel.SMS, due_at=datetime.now(UTC) + TOMORROW)
    (row,) = hear(says("YES but please stop texting me"))
    assert row["action"] == "stopped"
    assert status_of(appointment) == "scheduled"
    assert builders.read(desk.lane, waiting)["status"] == "CANCELLED"
    assert hear(says("stop"))[0]["action"] == "stopped_before"


def test_the_providers_word_is_law(desk: Desk) -> None:
    appointment, _ = asked(desk)
    (row,) = hear(says("CANCEL", opt_out="STOP"))
    assert row["action"] == "stopped"
    assert status_of(appointment) == "scheduled"
    assert rows("SELECT source FROM comm_stops")[0]["source"] == "carrier"


def test_one_text_confirms_a_stop_and_only_where_the_provider_says_nothing(desk: Desk, whatsapp: None) -> None:
    asked(desk, channel=Channel.WHATSAPP)
    spoken = {"channel": Channel.WHATSAPP, "provider": "whatsapp"}
    hear(says("please stop messaging me", **spoken), says("STOP", **spoken))
    answers = rows("SELECT * FROM comm_jobs WHERE decision ? 'reply_to_stop'")
    assert len(answers) == 1
    assert "START" in answers[0]["body"]
    assert len(answers[0]["body"]) <= 160
    desk.drain()
    assert builders.read(desk.lane, answers[0]["id"])["status"] == "SENT"
    later = builders.job(desk.lane, answers[0]["patient_id"], Channel.WHATSAPP)
    desk.drain()
    assert builders.read(desk.lane, later)["last_error_code"] == "STOPPED"


def test_twilio_confirms_its_own_words_itself(application: Settings) -> None:
    builders.patient()
    hear(says("STOP"))
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 1
    assert rows("SELECT count(*) AS n FROM comm_jobs")[0]["n"] == 0


def test_start_lifts_a_stop_and_yes_does_not_where_something_is_asked(desk: Desk) -> None:
    appointment, _ = asked(desk)
    hear(says("STOP"))
    (confirmed,) = hear(says("yes"))
    assert confirmed["action"] == "confirmed"
    assert status_of(appointment) == "confirmed"
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 1
    assert hear(says("START"))[0]["action"] == "started"
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 0
    assert hear(says("START"))[0]["action"] == "not_stopped"


def test_help_is_answered_with_the_clinics_name_and_telephone(desk: Desk, whatsapp: None) -> None:
    asked(desk, channel=Channel.WHATSAPP)
    (row,) = hear(says("ayuda", channel=Channel.WHATSAPP, provider="whatsapp"))
    assert row["action"] == "helped"
    (answer,) = rows("SELECT * FROM comm_jobs WHERE request_key = %s", f"reply:{row['id']}")
    assert "Sample Clinic" in answer["body"]
    assert "+1 202 555 0100" in answer["body"]
    assert answer["language"] == "es"


def test_whoever_asks_for_help_again_and_again_is_left_to_a_person(desk: Desk, whatsapp: None) -> None:
    """Else a machine that answers every text would be answered for ever."""
    asked(desk, channel=Channel.WHATSAPP)
    heard = [hear(says("help", channel=Channel.WHATSAPP, provider="whatsapp"))[-1] for _ in range(3)]
    assert [row["action"] for row in heard] == ["helped", "helped_before", "helped_before"]
    assert rows("SELECT count(*) AS n FROM comm_jobs WHERE request_key LIKE 'reply:%%'")[0]["n"] == 1
    assert [row["waits_for_person"] for row in heard] == [False, True, True]


@pytest.mark.parametrize("text", ["is it yes or no?", "I can't stop coughing", "yes the pain is worse", "don't stop"])
def test_what_is_not_certain_waits_for_a_person(desk: Desk, text: str) -> None:
    appointment, _ = asked(desk)
    (row,) = hear(says(text))
    assert (row["action"], row["waits_for_person"], row["processed"]) == ("unsure", True, False)
    assert status_of(appointment) == "scheduled"
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 0


def test_whoever_shares_a_telephone_is_helped_once_too(desk: Desk, whatsapp: None) -> None:
    clinic = builders.organization()
    for _ in range(2):
        builders.says(builders.patient(organization_id=clinic), allow_whatsapp=True)
    heard = [hear(says("help", channel=Channel.WHATSAPP, provider="whatsapp"))[0]["action"] for _ in range(3)]
    assert heard == ["helped", "helped_before", "helped_before"]


def test_a_familys_telephone_with_two_questions_waits_for_a_person(desk: Desk) -> None:
    first, _ = asked(desk)
    second, _ = asked(desk)
    (row,) = hear(says("yes"))
    assert (row["action"], row["patient_id"], row["waits_for_person"]) == ("several_patients", None, True)
    with pytest.raises(OutreachError) as raised:
        settle(row["id"], intent="confirm", note="", asker=STAFF)
    assert raised.value.code == "NO_APPOINTMENT"
    settle(row["id"], intent="confirm", note="She said which.", asker=STAFF, appointment_id=second)
    assert (status_of(first), status_of(second)) == ("scheduled", "confirmed")


def test_nobody_confirms_what_is_over_or_was_not_asked(desk: Desk) -> None:
    assert hear(says("yes, confirmed"))[0]["action"] == "unsure"
    appointment, _ = asked(desk)
    with connected():
        execute("UPDATE comm_appointments SET status = 'cancelled' WHERE id = %s", (appointment,))
    (row,) = hear(says("I need another day"))
    assert (row["action"], row["waits_for_person"]) == ("nothing_asked", True)


def test_a_yes_to_another_time_confirms_nothing(desk: Desk) -> None:
    tuesday, wednesday = (datetime.now(UTC) + timedelta(days=days) for days in (1, 2))
    patient_id = builders.patient(organization_id=builders.organization())
    appointment = builders.appointment(patient_id, starts_at=tuesday)
    told = {"appointment_starts_at": tuesday.isoformat()}
    job = builders.job(desk.lane, patient_id, appointment_id=appointment, asks="confirmation", decision=told)
    desk.drain()
    assert builders.read(desk.lane, job)["status"] == "SENT"
    with connected():
        before = context_of(Channel.SMS, PHONE).asked
        execute("UPDATE comm_appointments SET starts_at = %s WHERE id = %s", (wednesday, appointment))
    assert before is not None
    (row,) = hear(says("yes, confirmed"))
    assert (row["waits_for_person"], status_of(appointment)) == (True, "scheduled")
    with transaction("test"):  # moved after the question was looked up
        assert about_appointment(Intent.CONFIRM, row["id"], before, asker=builders.PATIENT) == "too_late"
    with connected():
        execute("UPDATE comm_appointments SET starts_at = %s WHERE id = %s", (tuesday, appointment))
    hear(says("yes, confirmed"))
    assert status_of(appointment) == "confirmed"


def test_a_person_settles_a_message_once(desk: Desk) -> None:
    appointment, _ = asked(desk)
    (row,) = hear(says("hmm let me think"))
    assert [waiting["id"] for waiting in inbound.waiting()] == [row["id"]]
    settled = settle(row["id"], intent="reschedule", note="She called.", asker=STAFF)
    assert (settled["action"], settled["processed_by"], settled["note"]) == (
        "reschedule_requested",
        STAFF.actor,
        "She called.",
    )
    assert status_of(appointment) == "reschedule_requested"
    for unknown, code in ((row["id"], "ALREADY_PROCESSED"), (uuid4(), "INBOUND_NOT_FOUND")):
        with pytest.raises(OutreachError) as raised:
            settle(unknown, intent=None, note="", asker=STAFF)
        assert raised.value.code == code
    with pytest.raises(OutreachError) as raised:
        settle(row["id"], intent="perhaps", note="", asker=STAFF)
    assert raised.value.code == "UNKNOWN_INTENT"
    assert inbound.waiting() == []


def test_what_a_person_takes_for_a_stop_is_one(desk: Desk) -> None:
    asked(desk)
    (row,) = hear(says("ugh not you again"))
    assert settle(row["id"], intent="stop", note="", asker=STAFF)["action"] == "stopped"
    with connected():
        assert consents.is_stopped(Channel.SMS, contacts.address_hash(Channel.SMS, PHONE))


def test_nobody_but_the_patient_lifts_a_stop(desk: Desk) -> None:
    asked(desk)
    hear(says("STOP"))
    (row,) = hear(says("my knee hurts, what now"))
    with pytest.raises(OutreachError) as raised:
        settle(row["id"], intent="start", note="", asker=STAFF)
    assert raised.value.code == "UNKNOWN_INTENT"
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 1


@contextmanager
def in_hand(event_key: str) -> Iterator[None]:
    """Another worker has this message and has not got far."""
    held, go = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction("another worker"):
            execute("SELECT FROM comm_inbound WHERE event_key = %s FOR UPDATE", (event_key,))
            held.set()
            go.wait()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        held.wait()
        try:
            yield
        finally:
            go.set()
            holding.result()


@pytest.mark.parametrize("opt_out", ["", "STOP"])
def test_a_start_that_is_read_late_lifts_no_stop_that_was_said_after_it(desk: Desk, opt_out: str) -> None:
    builders.patient(organization_id=builders.organization())
    hear(says("STOP"))
    store_messages([says("START", key="z"), says("STOP", key="a", opt_out=opt_out)], source="native", trace_id="t")
    with in_hand("z"):
        assert process_all() == 1
    assert process_all() == 1
    assert rows("SELECT action FROM comm_inbound WHERE event_key = 'z'")[0]["action"] == "stopped_since"
    assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 1
    assert hear(says("START"))[0]["action"] == "started"


def test_answers_from_one_address_are_read_in_the_order_in_which_they_came(desk: Desk) -> None:
    appointment, _ = asked(desk)
    store_messages([says("yes", key="z"), says("I can't come, another day", key="a")], source="native", trace_id="t")
    with in_hand("z"):
        assert process_all() == 0
    assert process_all() == 2
    assert status_of(appointment) == "reschedule_requested"


def test_those_who_store_the_same_messages_do_so_in_one_order(application: Settings) -> None:
    messages = [says("one", key="b"), says("two", key="a")]
    written: list[Sequence[inbound.InboundRow]] = []

    def write(these: Sequence[inbound.InboundRow]) -> int:
        written.append(these)
        return 0

    for given in (messages, messages[::-1]):
        store_messages(given, source="native", trace_id="t", write=write)
    assert [inbound.insertion(each)[1][8] for each in written] == [["a", "b"]] * 2
    store_messages(messages, source="native", trace_id="t")
    assert [row["body"] for row in rows("SELECT * FROM comm_inbound ORDER BY created_at")] == ["one", "two"]


def test_one_message_that_cannot_be_processed_holds_up_no_other(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    appointment, _ = asked(desk)
    poisoned = says("poison")
    read = inbound.reading_of

    def refuse(message: Any, *arguments: Any, **named: Any) -> Any:
        if message["body"] == "poison":
            raise ValueError("it cannot be read")
        return read(message, *arguments, **named)

    monkeypatch.setattr(inbound, "reading_of", refuse)
    hear(poisoned, says("yes"))
    assert status_of(appointment) == "confirmed"
    monkeypatch.setattr(inbound, "reading_of", read)
    assert process_all() == 1


def together(*works: Any) -> list[Any]:
    """All at the same moment, each on a connection of its own."""
    ready = threading.Barrier(len(works))

    def run(work: Any) -> Any:
        ready.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [each.result() for each in [pool.submit(run, work) for work in works]]


def test_the_same_message_eight_times_at_once_is_one_confirmation(desk: Desk) -> None:
    appointment, _ = asked(desk)
    message = says("yes")
    stored = together(*[lambda: store_messages([message], source="native", trace_id="t")] * 8)
    assert sorted(stored) == [0] * 7 + [1]
    assert sum(together(*[process_all] * 4)) == 1
    assert rows("SELECT count(*) AS n FROM comm_inbound")[0]["n"] == 1
    assert rows("SELECT count(*) AS n FROM comm_audit_log WHERE action = 'receive'")[0]["n"] == 1
    assert rows("SELECT version FROM comm_appointments WHERE id = %s", appointment)[0]["version"] == 2


def test_stop_and_yes_at_once_are_both_done_once(desk: Desk, whatsapp: None) -> None:
    for _ in range(5):
        appointment, _ = asked(desk, channel=Channel.WHATSAPP)
        spoken = {"channel": Channel.WHATSAPP, "provider": "whatsapp"}
        store_messages([says("yes", **spoken), says("no more messages", **spoken)], source="native", trace_id="t")
        assert sum(together(*[process_all] * 4)) == 2
        assert status_of(appointment) == "confirmed"
        assert rows("SELECT count(*) AS n FROM comm_stops")[0]["n"] == 1
        with connected():
            execute("UPDATE comm_appointments SET status = 'completed'")
            consents.start(Channel.WHATSAPP, PHONE, source="staff", asker=STAFF)
            execute("DELETE FROM comm_addresses")
    assert rows("SELECT count(*) AS n FROM comm_jobs WHERE decision ? 'reply_to_stop'")[0]["n"] == 5


def test_texts_of_ours_are_short_enough_for_one_message() -> None:
    from dispatchlog.systems.outreach.reply_texts import TEXTS

    for texts in TEXTS.values():
        for text in texts.values():
            assert len(text.format(clinic="Sample Family Clinic", phone="+1 202 555 0100")) <= 160
