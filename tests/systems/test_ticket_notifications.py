"""Mails about tickets: each leaves once through a real mail server, and says nothing of what is in the ticket."""

from __future__ import annotations

import email
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.policy import default
from typing import Any
from uuid import uuid4

import pytest

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.settings import Settings, get_settings
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import AttachmentInput, MessageInput
from dispatchlog.systems.tickets.messages import mark_read, send_message
from dispatchlog.systems.tickets.notifications import LANE, enqueue_notification, notify_unread, subject_of
from tests.engine.lane import owner
from tests.systems.conftest import Desk
from tests.systems.ticket_rows import Placed, created_ticket, move, send, sent_ticket
from tests.systems.ticket_samples import Care, make_care, new_party, new_person

MEDICINE = "Canarymycin"
WORDS = "canary words about a rash"
FILE = "canary-scan.pdf"


@pytest.fixture
def care(desk: Desk) -> Care:
    return make_care()


def ticket_of(placed: Placed, who: Identity) -> dict[str, Any]:
    with acting_as(who):
        return fetch_dicts("SELECT * FROM healthcare_tickets WHERE id = %s", (placed.ticket_id,))[0]


def tell(placed: Placed, who: Identity, kind: str, to: Identity) -> None:
    with acting_as(who):
        enqueue_notification(ticket_of(placed, who), kind=kind, party_id=to.party_id, about=kind.lower())


def mails(desk: Desk) -> list[EmailMessage]:
    """What the lane has sent, in the order of its rows."""
    desk.drain(LANE)
    box: dict[str, EmailMessage] = {}
    for path in (desk.mail / "new").iterdir():
        message = email.message_from_bytes(path.read_bytes(), policy=default)
        number = str(message["Message-ID"]).strip("<>")
        assert number not in box, "a mail left twice"
        box[number] = message
    return [box[str(row["provider_message_id"])] for row in desk.rows(LANE) if row["status"] == "SENT"]


def texts(message: EmailMessage) -> str:
    parts = [message.get_body((kind,)) for kind in ("plain", "html")]
    return "\n".join([str(message["Subject"]), *(part.get_content() for part in parts if part is not None)])


def recipients(messages: Sequence[EmailMessage]) -> list[str]:
    return sorted(str(message["To"]) for message in messages)


def write(who: Identity, placed: Placed) -> int:
    scan = AttachmentInput(FILE, "application/pdf", 10)
    return int(send_message(who, placed.thread_id, MessageInput(uuid4(), WORDS, attachments=[scan]))[0]["number"])


def let_pass(settings: Settings, minutes: int) -> None:
    """Everything happened so much longer ago; the triggers that keep instants as they were look away."""
    instants = {
        "chat_thread_members": ("unread_since",),
        "healthcare_tickets": ("sent_at",),
        "chat_messages": ("created_at",),
        "ticket_notifications": ("created_at",),
    }
    with owner(settings.database_url) as cursor:
        for table, columns in instants.items():
            cursor.execute(
                "SELECT tgname, tgenabled = 'A' FROM pg_trigger WHERE tgrelid = %s::regclass AND NOT tgisinternal",
                (table,),
            )
            triggers = cursor.fetchall()
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            for column in columns:
                cursor.execute(f"UPDATE {table} SET {column} = {column} - make_interval(mins => %s)", (minutes,))
            for name, always in triggers:
                cursor.execute(f"ALTER TABLE {table} ENABLE {'ALWAYS ' if always else ''}TRIGGER {name}")


# --- sent, ready, cancelled


def test_what_is_told_of_a_ticket_leaves_once(desk: Desk, care: Care) -> None:
    placed = sent_ticket(care)
    for _ in range(3):
        tell(placed, care.doctor, "SENT", care.pharmacy)
    [message] = mails(desk)
    assert message["To"] == "linden.pharmacy@example.org"
    assert message["Subject"] == f"Prescription {placed.number}: sent to you"
    assert f"/tickets/{placed.ticket_id}" in texts(message)
    tell(placed, care.doctor, "SENT", care.pharmacy)
    assert len(mails(desk)) == 1
    for status in ("received", "ready"):
        move(care.pharmacy, placed, status)
    tell(placed, care.pharmacy, "READY", care.patient)
    desk.drain(LANE)
    move(care.doctor, placed, "cancelled")
    tell(placed, care.doctor, "CANCELLED", care.pharmacy)
    subjects = [str(message["Subject"]) for message in mails(desk)]
    assert [subject.partition(": ")[2] for subject in subjects] == ["sent to you", "ready", "cancelled"]
    assert [row["subject_id"] for row in desk.rows(LANE)] == [subject_of(placed.ticket_id)] * 3
    assert [row["trace_id"] for row in desk.rows(LANE)] == ["trace-1"] * 3


def test_workers_who_ask_at_once_send_one_mail(desk: Desk, care: Care) -> None:
    placed = sent_ticket(care)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: tell(placed, care.doctor, "SENT", care.pharmacy), range(6)))
        list(pool.map(lambda _: desk.drain(LANE), range(6)))
    assert len(mails(desk)) == 1


def test_nothing_is_told_of_what_did_not_happen(desk: Desk, care: Care) -> None:
    placed = sent_ticket(care)

    def fail_after_telling() -> None:
        with acting_as(care.doctor):
            tell(placed, care.doctor, "SENT", care.pharmacy)
            raise LookupError

    with pytest.raises(LookupError):
        fail_after_telling()
    assert desk.rows(LANE) == []


def test_a_mail_says_nothing_of_what_is_in_the_ticket(desk: Desk, care: Care, settings_env: Settings) -> None:
    placed = created_ticket(care)
    send(care, placed, medicine=MEDICINE)
    write(care.doctor, placed)
    write(care.patient, placed)
    for kind, who, to in (
        ("SENT", care.doctor, care.pharmacy),
        ("READY", care.pharmacy, care.patient),
    ):
        tell(placed, who, kind, to)
    let_pass(settings_env, 16)
    assert notify_unread() == 3
    told = mails(desk)
    tell(placed, care.doctor, "CANCELLED", care.pharmacy)
    told = mails(desk)
    assert len(told) == 6
    for message in told:
        said = texts(message)
        assert placed.number in said
        assert "no health data" in said
        for canary in (
            MEDICINE,
            WORDS,
            FILE,
            care.patient.party_name,
            care.doctor.party_name,
            care.pharmacy.party_name,
        ):
            assert canary.lower() not in said.lower()
        addresses = [str(message[name]) for name in ("From", "To", "Reply-To") if message[name]]
        assert not any(name in address for name in ("Sample Patient", "Linden") for address in addresses)
    for row in desk.rows(LANE):
        assert not any(canary in str(dict(row)) for canary in (MEDICINE, WORDS, FILE, care.patient.party_name))


@pytest.mark.parametrize(
    ("ticket_type", "word"),
    [("prescription", "Prescription"), ("lab_request", "Lab request"), ("referral", "Referral")],
)
def test_a_mail_names_what_it_is_about(ticket_type: str, word: str, desk: Desk, care: Care) -> None:
    placed = sent_ticket(care)
    with acting_as(care.doctor):
        ticket = {**ticket_of(placed, care.doctor), "ticket_type": ticket_type}
        enqueue_notification(ticket, kind="SENT", party_id=care.pharmacy.party_id, about="sent")
    [message] = mails(desk)
    assert message["Subject"] == f"{word} {placed.number}: sent to you"


def test_a_party_without_an_address_is_shown_to_support(desk: Desk, care: Care) -> None:
    nowhere = new_person(new_party("pharmacy", "Silent Pharmacy", email=None), "Pharmacist Four")
    placed = created_ticket(care, pharmacy=nowhere)
    send(care, placed)
    tell(placed, care.doctor, "SENT", nowhere)
    assert mails(desk) == []
    [row] = desk.rows(LANE)
    assert (row["status"], row["last_error_code"]) == ("FAILED", "NO_RECIPIENT")


def test_what_waits_about_a_cancelled_ticket_does_not_leave(desk: Desk, care: Care) -> None:
    placed, other = sent_ticket(care), sent_ticket(care)
    for each in (placed, other):
        tell(each, care.doctor, "SENT", care.pharmacy)
    move(care.doctor, placed, "cancelled")
    tell(placed, care.doctor, "CANCELLED", care.pharmacy)
    assert {(row["ticket_number"], row["kind"]): row["status"] for row in desk.rows(LANE)} == {
        (placed.number, "SENT"): "CANCELLED",
        (other.number, "SENT"): "PENDING",
        (placed.number, "CANCELLED"): "PENDING",
    }
    assert sorted(str(message["Subject"]) for message in mails(desk)) == sorted(
        [f"Prescription {other.number}: sent to you", f"Prescription {placed.number}: cancelled"]
    )


# --- unread messages


def test_unread_messages_are_told_of_once_and_again_only_when_read(
    desk: Desk, care: Care, settings_env: Settings
) -> None:
    placed = sent_ticket(care)
    write(care.doctor, placed)
    assert notify_unread() == 0
    let_pass(settings_env, 14)
    assert notify_unread() == 0
    write(care.doctor, placed)  # the first one's wait goes on
    let_pass(settings_env, 2)
    assert notify_unread() == 2
    assert recipients(mails(desk)) == ["linden.pharmacy@example.org", "sample.patient@example.org"]
    write(care.doctor, placed)
    for _ in range(3):
        let_pass(settings_env, 600)
        assert notify_unread() == 0
    mark_read(care.pharmacy, placed.thread_id, 2)  # the third was there when the mail's wait ended
    last = write(care.doctor, placed)
    mark_read(care.pharmacy, placed.thread_id, last)
    let_pass(settings_env, 60)
    assert notify_unread() == 0
    write(care.patient, placed)
    let_pass(settings_env, 16)
    assert notify_unread() == 2  # the pharmacy again, and the doctor for the first time
    assert recipients(mails(desk)) == [
        "dr.sample.north@example.org",
        *["linden.pharmacy@example.org"] * 2,
        "sample.patient@example.org",
    ]


def test_what_was_not_read_with_the_rest_is_told_of_by_itself(desk: Desk, care: Care, settings_env: Settings) -> None:
    placed = sent_ticket(care)
    write(care.doctor, placed)
    let_pass(settings_env, 16)
    assert notify_unread() == 2
    write(care.doctor, placed)
    mark_read(care.pharmacy, placed.thread_id, 1)
    assert notify_unread() == 0
    let_pass(settings_env, 16)
    assert notify_unread() == 1
    assert recipients(mails(desk)).count("linden.pharmacy@example.org") == 2


def test_a_pharmacy_hears_nothing_before_the_ticket_is_sent_to_it(
    desk: Desk, care: Care, settings_env: Settings
) -> None:
    placed = created_ticket(care)
    write(care.doctor, placed)
    let_pass(settings_env, 600)
    assert notify_unread() == 1
    send(care, placed)
    assert notify_unread() == 0
    let_pass(settings_env, 16)
    assert notify_unread() == 1
    assert recipients(mails(desk)) == ["linden.pharmacy@example.org", "sample.patient@example.org"]


def test_clocks_that_look_at_once_enqueue_one_mail_each(desk: Desk, care: Care, settings_env: Settings) -> None:
    placed = sent_ticket(care)
    write(care.pharmacy, placed)
    let_pass(settings_env, 16)
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda _: notify_unread(), range(6))) == 2
    assert recipients(mails(desk)) == ["dr.sample.north@example.org", "sample.patient@example.org"]


def test_nobody_is_reminded_of_a_cancelled_ticket_or_without_an_address(
    desk: Desk, care: Care, settings_env: Settings
) -> None:
    nowhere = new_person(new_party("pharmacy", "Silent Pharmacy", email=None), "Pharmacist Four")
    silent = created_ticket(care, pharmacy=nowhere)
    send(care, silent)
    cancelled = sent_ticket(care)
    for placed in (silent, cancelled):
        write(care.patient, placed)
    move(care.doctor, cancelled, "cancelled")
    mark_read(care.doctor, silent.thread_id, 1)
    let_pass(settings_env, 16)
    assert notify_unread() == 0


def test_the_minutes_are_a_setting(
    desk: Desk, care: Care, settings_env: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = sent_ticket(care)
    write(care.doctor, placed)
    let_pass(settings_env, 16)
    monkeypatch.setenv("DISPATCHLOG_TICKET_UNREAD_MINUTES", "60")
    get_settings.cache_clear()
    assert notify_unread() == 0
    let_pass(settings_env, 45)
    assert notify_unread() == 2
