"""Messages of a ticket: each is stored once and in order, and what is unread is known to be."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog.engine.database import connect_arguments, execute, fetch_all, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.identity import Identity, acting_as
from dispatchlog.systems.tickets.inputs import AttachmentInput, MessageInput, TicketError
from dispatchlog.systems.tickets.listing import TicketQuery, ticket_page
from dispatchlog.systems.tickets.message_checks import checked_attachments, checked_body
from dispatchlog.systems.tickets.messages import MessagePage, mark_read, message_page, send_message
from dispatchlog.systems.tickets.reading import ticket_state
from tests.engine.lane import APPLICATION_ROLE, owner
from tests.systems.ticket_rows import Placed, created_ticket, move, send, sent_ticket
from tests.systems.ticket_samples import Care, care_database, seen
from tests.systems.ticket_steps import at_once

SCAN = AttachmentInput(
    "scan 1.pdf", "application/pdf", 48_213, "AB" * 32, "https://files.example.org/a/scan%201.pdf?v=1"
)
_MISMARKED = """
SELECT count(*) FROM chat_thread_members m
WHERE m.thread_id = %s AND ARRAY[m.has_unread, m.unread_since IS NOT NULL] <>
    (SELECT ARRAY[count(*) > 0, count(*) > 0] FROM chat_messages c
        WHERE c.thread_id = m.thread_id AND c.number > m.read_number AND c.sender_party_id <> m.party_id)
"""


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


def write(who: Identity, thread_id: UUID, body: str = "Good morning", **more: Any) -> dict[str, Any]:
    return dict(send_message(who, thread_id, MessageInput(uuid4(), body, **more))[0])


def refused(ask: Callable[..., object], *given: Any, **more: Any) -> tuple[str, str]:
    """The code and the field of the refusal."""
    with pytest.raises(TicketError) as caught:
        ask(*given, **more)
    return caught.value.code, caught.value.field


def numbers(page: MessagePage) -> list[int]:
    return [message["number"] for message in page.messages]


def stored(settings: Settings, thread_id: UUID) -> list[int]:
    """The numbers of all messages, as the owner of the tables sees them; the thread counts as many."""
    with owner(settings.database_url) as cursor:
        cursor.execute("SELECT number FROM chat_messages WHERE thread_id = %s ORDER BY number", (str(thread_id),))
        found = [row[0] for row in cursor.fetchall()]
        cursor.execute("SELECT last_number FROM chat_threads WHERE id = %s", (str(thread_id),))
        assert cursor.fetchone()[0] == len(found)
    return found


def mismarked(settings: Settings, thread_id: UUID) -> int:
    """How many members' marks disagree with the messages that there are."""
    with owner(settings.database_url) as cursor:
        cursor.execute(_MISMARKED, (str(thread_id),))
        return int(cursor.fetchone()[0])


@contextmanager
def beside(settings: Settings, who: Identity) -> Iterator[Any]:
    """A cursor in a transaction of this person, on a connection of its own; the test commits or rolls back."""
    arguments = connect_arguments(APPLICATION_ROLE, name="beside")
    with closing(psycopg2.connect(settings.database_url, **arguments)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('dispatchlog.person', %s, true)", (str(who.person_id),))
        yield cursor


def put_message(cursor: Any, who: Identity, thread_id: UUID) -> None:
    cursor.execute(
        "INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body) VALUES (%s, %s, %s, %s, 'Beside')",
        (str(uuid4()), str(thread_id), str(who.person_id), str(uuid4())),
    )


def wait_until_blocked(settings: Settings) -> None:
    """Until somebody waits for a row that another transaction holds."""
    ends = time.monotonic() + 60
    with owner(settings.database_url) as cursor:
        while time.monotonic() < ends:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0]:
                return
            time.sleep(0.01)
    raise AssertionError("nobody waited for the other transaction")


@contextmanager
def in_background(job: Callable[..., Any], *given: Any) -> Iterator[Future[Any]]:
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(job, *given)


# --- sending


def test_a_message_sent_again_after_a_lost_reply_is_the_same_message(care: Care, settings_env: Settings) -> None:
    thread = sent_ticket(care).thread_id
    given = MessageInput(uuid4(), "Twice a day?\r\nOr once", attachments=[SCAN])
    first, sent = send_message(care.doctor, thread, given)
    again, sent_again = send_message(care.doctor, thread, given)
    assert (sent, sent_again) == (True, False)
    assert again == first
    assert (first["number"], first["body"], first["sender_party_id"]) == (
        1,
        "Twice a day?\nOr once",
        care.doctor.party_id,
    )
    assert first["attachments"] == [
        {
            "name": "scan 1.pdf",
            "media_type": "application/pdf",
            "size_bytes": 48_213,
            "sha256": "ab" * 32,
            "url": "https://files.example.org/a/scan%201.pdf?v=1",
        }
    ]
    write(care.doctor, thread)
    assert stored(settings_env, thread) == [1, 2]


def test_the_same_message_sent_at_once_is_stored_once(care: Care, settings_env: Settings) -> None:
    thread = sent_ticket(care).thread_id
    for round_number in range(1, 16):
        given = MessageInput(uuid4(), f"Round {round_number}")
        replies = at_once(*[partial(send_message, care.doctor, thread, given)] * 4)
        assert sorted(sent for _, sent in replies) == [False, False, False, True]
        assert {message["number"] for message, _ in replies} == {round_number}
    assert stored(settings_env, thread) == list(range(1, 16))


def test_an_id_stands_for_one_message_in_one_thread(care: Care, settings_env: Settings) -> None:
    thread, other = sent_ticket(care).thread_id, sent_ticket(care).thread_id
    given = MessageInput(uuid4(), "Once a day", attachments=[SCAN])
    send_message(care.doctor, thread, given)
    for thread_id, changed in (
        (thread, replace(given, body="Twice a day")),
        (thread, replace(given, attachments=())),
        (thread, replace(given, attachments=[replace(SCAN, name="other.pdf")])),
        (thread, replace(given, timeline_id=seen(care.doctor, "SELECT min(id) AS id FROM ticket_timeline")[0]["id"])),
        (other, given),
    ):
        code, field = refused(send_message, care.doctor, thread_id, changed)
        assert (code, field) == ("MESSAGE_ID_REUSED", "client_message_id")
    # Ids are each sender's own.
    assert send_message(care.pharmacy, thread, given)[1]
    assert (stored(settings_env, thread), stored(settings_env, other)) == ([1, 2], [])


def test_two_people_of_a_pharmacy_who_write_at_once_write_two_messages(care: Care, settings_env: Settings) -> None:
    thread = sent_ticket(care).thread_id
    for round_number in range(10):
        told = at_once(partial(write, care.pharmacy, thread), partial(write, care.colleague, thread))
        assert {message["number"] for message in told} == {2 * round_number + 1, 2 * round_number + 2}
        assert {message["sender_name"] for message in told} == {"Pharmacist One", "Pharmacist Two"}
    assert stored(settings_env, thread) == list(range(1, 21))
    assert all(message["own"] for message in message_page(care.colleague, thread).messages)


def test_twenty_writers_and_their_repeats_leave_no_gap(care: Care, settings_env: Settings) -> None:
    thread = sent_ticket(care).thread_id
    writers = [care.doctor, care.pharmacy, care.colleague, care.patient] * 5

    def work(who: Identity) -> list[int]:
        drawn = []
        for number in range(6):
            given = MessageInput(uuid4(), f"Message {number}")
            first, again = send_message(who, thread, given), send_message(who, thread, given)
            assert (first[1], again[1], again[0]["number"]) == (True, False, first[0]["number"])
            drawn.append(first[0]["number"])
        return drawn

    drawn = at_once(*[partial(work, who) for who in writers])
    assert sorted(number for each in drawn for number in each) == list(range(1, 121))
    assert stored(settings_env, thread) == list(range(1, 121))
    assert mismarked(settings_env, thread) == 0


def test_nobody_writes_as_somebody_else(care: Care, settings_env: Settings) -> None:
    thread = sent_ticket(care).thread_id
    for other in (care.colleague, care.doctor, care.patient2):
        forged = MessageInput(uuid4(), "Forged", sender_id=other.person_id)
        assert refused(send_message, care.pharmacy, thread, forged) == (
            "SENDER_MISMATCH",
            "sender_id",
        )
        with beside(settings_env, care.pharmacy) as cursor, pytest.raises(psycopg2.Error) as caught:
            put_message(cursor, other, thread)
        assert caught.value.pgcode == "42501"
    assert send_message(care.pharmacy, thread, MessageInput(uuid4(), "Mine", sender_id=care.pharmacy.person_id))[1]
    assert stored(settings_env, thread) == [1]


def test_who_has_no_part_in_a_ticket_has_no_thread(care: Care, settings_env: Settings) -> None:
    before, after = created_ticket(care).thread_id, sent_ticket(care).thread_id
    for thread in (before, after):
        write(care.doctor, thread)
    strangers = (care.doctor2, care.pharmacy2, care.patient2, care.laboratory)
    hidden = [(who, after) for who in strangers] + [(care.pharmacy, before), (care.doctor, uuid4())]
    for who, thread in hidden:
        assert refused(message_page, who, thread)[0] == "THREAD_NOT_FOUND"
        assert refused(mark_read, who, thread, 1)[0] == "THREAD_NOT_FOUND"
        assert refused(write, who, thread)[0] == "THREAD_NOT_FOUND"
    assert (stored(settings_env, before), stored(settings_env, after)) == ([1], [1])


def test_whoever_is_not_active_any_more_has_no_thread(care: Care) -> None:
    thread = sent_ticket(care).thread_id
    write(care.colleague, thread, "I was here")
    with transaction("test"):
        execute(
            "SELECT care_put_person(%s, %s, %s, NULL, false)",
            (care.colleague.person_id, care.colleague.party_id, care.colleague.person_name),
        )
    assert refused(write, care.colleague, thread)[0] == "THREAD_NOT_FOUND"
    assert message_page(care.pharmacy, thread).messages[0]["sender_name"] == "Pharmacist Two"


def test_a_message_may_speak_of_an_entry_of_its_own_timeline_only(care: Care, settings_env: Settings) -> None:
    placed, other = sent_ticket(care), sent_ticket(care)
    entry = "SELECT id FROM ticket_timeline WHERE ticket_id = %s AND to_status = 'sent'"
    own = seen(care.doctor, entry, placed.ticket_id)[0]["id"]
    foreign = seen(care.doctor, entry, other.ticket_id)[0]["id"]
    for timeline_id in (foreign, 0, -1, 1 << 62, 1 << 70):
        assert refused(write, care.doctor, placed.thread_id, timeline_id=timeline_id) == (
            "TIMELINE_NOT_FOUND",
            "timeline_id",
        )
    told = write(care.pharmacy, placed.thread_id, timeline_id=own)
    assert (told["timeline_kind"], told["timeline_from"], told["timeline_to"]) == ("status", "created", "sent")
    assert told["timeline_at"] is not None
    assert stored(settings_env, placed.thread_id) == [1]


# --- what a message may hold


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "MESSAGE_EMPTY"),
        (" \n\t ", "MESSAGE_EMPTY"),
        ("\u200b\u2060\ufeff", "MESSAGE_EMPTY"),
        ("x" * 8_001, "MESSAGE_TOO_LONG"),
        ("nul\x00", "INVALID_TEXT"),
        ("half \ud83d of a character", "INVALID_TEXT"),
        ("\udc80", "INVALID_TEXT"),
        ("bell\x07", "INVALID_TEXT"),
        ("\x1b[2J", "INVALID_TEXT"),
        ("\x85", "INVALID_TEXT"),
        ("\uffff", "INVALID_TEXT"),
    ],
)
def test_a_text_that_cannot_be_shown_is_refused(body: str, code: str) -> None:
    assert refused(checked_body, MessageInput(uuid4(), body)) == (code, "body")


def test_a_text_comes_back_as_it_was_written(care: Care) -> None:
    thread = created_ticket(care).thread_id
    texts = [
        "x" * 8_000,
        "\U0001f48a" * 8_000,
        "a\tb\n\nc",
        "<script>alert(1)</script>",
        "100% %s \\x00 '; --",
        "\u05e9 a",
    ]
    for body in texts:
        write(care.doctor, thread, body)
    assert [message["body"] for message in message_page(care.patient, thread).messages] == texts


def test_a_message_of_attachments_needs_no_text(care: Care) -> None:
    thread = created_ticket(care).thread_id
    assert write(care.doctor, thread, " \u200b", attachments=[SCAN])["body"] == ""


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": ".."}, "name"),
        ({"name": " scan.pdf"}, "name"),
        ({"name": "../../etc/passwd"}, "name"),
        ({"name": "..\\scan.pdf"}, "name"),
        ({"name": "C:scan.pdf"}, "name"),
        ({"name": "scan\x00.pdf"}, "name"),
        ({"name": "scan\r\nX-Header: 1.pdf"}, "name"),
        ({"name": "scan\u202efdp.exe"}, "name"),
        ({"name": "\ud800.pdf"}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"media_type": ""}, "media_type"),
        ({"media_type": "pdf"}, "media_type"),
        ({"media_type": "text/html; charset=utf-8"}, "media_type"),
        ({"media_type": "text/\nplain"}, "media_type"),
        ({"size_bytes": 0}, "size_bytes"),
        ({"size_bytes": -1}, "size_bytes"),
        ({"size_bytes": True}, "size_bytes"),
        ({"size_bytes": (1 << 30) + 1}, "size_bytes"),
        ({"sha256": "ab" * 31}, "sha256"),
        ({"sha256": "zz" * 32}, "sha256"),
        ({"url": "http://files.example.org/a"}, "url"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"url": "data:text/html,x"}, "url"),
        ({"url": "//files.example.org/a"}, "url"),
        ({"url": "https:///a"}, "url"),
        ({"url": "https://user:word@files.example.org/a"}, "url"),
        ({"url": "https://files.example.org@evil.example/a"}, "url"),
        ({"url": "https://files.example.org/a/../b"}, "url"),
        ({"url": "https://files.example.org/a/%2e%2E/b"}, "url"),
        ({"url": "https://files.example.org/a/%252e%252e/b"}, "url"),
        ({"url": "https://files.example.org/a%5c..%5cb"}, "url"),
        ({"url": "https://files.example.org\\@evil.example/a"}, "url"),
        ({"url": "https://files.example.org/a b"}, "url"),
        ({"url": 'https://files.example.org/"onclick=x'}, "url"),
        ({"url": "https://files.example.org:99999/a"}, "url"),
        ({"url": "https://[::1/a"}, "url"),
        ({"url": "https://files.example.org/\u202e"}, "url"),
        ({"url": "https://files.example.org/" + "a" * 2_000}, "url"),
    ],
)
def test_what_is_told_of_an_attachment_is_checked(changed: dict[str, Any], field: str) -> None:
    given = MessageInput(uuid4(), "See here", attachments=[SCAN, replace(SCAN, **changed)])
    assert refused(checked_attachments, given) == ("ATTACHMENT_INVALID", f"attachments[1].{field}")


def test_what_is_refused_is_not_stored(care: Care, settings_env: Settings) -> None:
    thread = created_ticket(care).thread_id
    assert refused(write, care.doctor, thread, "nul\x00")[0] == "INVALID_TEXT"
    assert refused(write, care.doctor, thread, attachments=[replace(SCAN, name="..")])[0] == "ATTACHMENT_INVALID"
    assert stored(settings_env, thread) == []


def test_a_message_has_ten_attachments_at_the_most(care: Care) -> None:
    thread = created_ticket(care).thread_id
    assert len(write(care.doctor, thread, attachments=[SCAN] * 10)["attachments"]) == 10
    assert refused(write, care.doctor, thread, attachments=[SCAN] * 11) == ("ATTACHMENT_INVALID", "attachments")


# --- a cancelled ticket


def test_a_cancelled_ticket_closes_its_thread_and_stays_readable(care: Care, settings_env: Settings) -> None:
    placed = sent_ticket(care)
    given = MessageInput(uuid4(), "Before")
    send_message(care.pharmacy, placed.thread_id, given)
    move(care.doctor, placed, "cancelled")
    for who in (care.doctor, care.pharmacy, care.patient):
        assert refused(write, who, placed.thread_id)[0] == "THREAD_CLOSED"
        assert numbers(message_page(who, placed.thread_id)) == [1]
    assert not send_message(care.pharmacy, placed.thread_id, given)[1]  # its reply was lost, and it counts
    assert mark_read(care.doctor, placed.thread_id, 1)["has_unread"] is False
    assert stored(settings_env, placed.thread_id) == [1]


def test_who_sends_while_the_ticket_is_being_cancelled_waits_and_is_refused(care: Care, settings_env: Settings) -> None:
    placed = sent_ticket(care)
    with beside(settings_env, care.doctor) as cursor:
        cursor.execute("UPDATE healthcare_tickets SET status = 'cancelled' WHERE id = %s", (str(placed.ticket_id),))
        with in_background(refused, write, care.pharmacy, placed.thread_id) as sending:
            wait_until_blocked(settings_env)
            cursor.connection.commit()
            assert sending.result()[0] == "THREAD_CLOSED"
    assert stored(settings_env, placed.thread_id) == []


def test_a_cancellation_waits_for_a_message_that_was_first(care: Care, settings_env: Settings) -> None:
    placed = sent_ticket(care)
    with beside(settings_env, care.pharmacy) as cursor:
        put_message(cursor, care.pharmacy, placed.thread_id)
        with in_background(move, care.doctor, placed, "cancelled") as cancelling:
            wait_until_blocked(settings_env)
            cursor.connection.commit()
            cancelling.result()
    assert stored(settings_env, placed.thread_id) == [1]


def test_no_message_is_younger_than_the_cancellation_it_raced_with(care: Care, settings_env: Settings) -> None:
    def try_to_write(who: Identity, placed: Placed) -> int:
        try:
            return int(write(who, placed.thread_id)["number"])
        except TicketError as error:
            assert error.code == "THREAD_CLOSED"  # noqa: PT017  (either may come first)
            return 0

    for _ in range(12):
        placed = sent_ticket(care)
        replies = at_once(
            partial(try_to_write, care.pharmacy, placed),
            partial(try_to_write, care.patient, placed),
            partial(move, care.doctor, placed, "cancelled"),
        )
        assert stored(settings_env, placed.thread_id) == sorted(number for number in replies if number)
        with acting_as(care.doctor):
            late = "SELECT 1 FROM chat_messages m, healthcare_tickets k WHERE k.id = %s AND m.thread_id = %s"
            assert not fetch_all(f"{late} AND m.created_at >= k.ended_at", (placed.ticket_id, placed.thread_id))


# --- reading


def test_pages_go_both_ways_without_gap_or_double(care: Care) -> None:
    thread = sent_ticket(care).thread_id
    empty = message_page(care.doctor, thread)
    assert (numbers(empty), empty.has_older, empty.has_newer) == ([], False, False)
    for _ in range(7):
        write(care.doctor, thread)
    pages = []
    page = message_page(care.pharmacy, thread, limit=3)
    while True:
        pages.append((numbers(page), page.has_older, page.has_newer))
        if not page.has_older:
            break
        page = message_page(care.pharmacy, thread, before=numbers(page)[0], limit=3)
    assert pages == [([5, 6, 7], True, False), ([2, 3, 4], True, True), ([1], False, True)]
    assert numbers(message_page(care.pharmacy, thread, after=0, limit=3)) == [1, 2, 3]
    newer = message_page(care.pharmacy, thread, after=5)
    assert (numbers(newer), newer.has_older, newer.has_newer) == ([6, 7], True, False)
    for end in ({"before": 1}, {"before": -(1 << 70)}):
        past = message_page(care.pharmacy, thread, **end)
        assert (numbers(past), past.has_older, past.has_newer) == ([], False, True)
    for end in ({"after": 7}, {"after": 1 << 70}):
        past = message_page(care.pharmacy, thread, **end)
        assert (numbers(past), past.has_older, past.has_newer) == ([], True, False)
    assert numbers(message_page(care.pharmacy, thread, before=1 << 70)) == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"limit": 0}, "INVALID_LIMIT"),
        ({"limit": 201}, "INVALID_LIMIT"),
        ({"before": 3, "after": 1}, "INVALID_RANGE"),
    ],
)
def test_a_page_that_cannot_be_is_refused(care: Care, asked: dict[str, int], code: str) -> None:
    thread = created_ticket(care).thread_id
    assert refused(message_page, care.doctor, thread, **asked)[0] == code


def test_reading_goes_on_and_never_back(care: Care, settings_env: Settings) -> None:
    thread = sent_ticket(care).thread_id
    told = [write(care.doctor, thread) for _ in range(3)]
    own = write(care.pharmacy, thread)
    row = mark_read(care.pharmacy, thread, 2)
    assert (row["read_number"], row["has_unread"], row["unread_since"]) == (2, True, told[2]["created_at"])
    assert row["read_by"] == care.pharmacy.person_id
    back = mark_read(care.colleague, thread, 1)
    assert (back["read_number"], back["read_by"], back["read_at"]) == (2, care.pharmacy.person_id, row["read_at"])
    # Read by one of a pharmacy, read by the pharmacy; its own messages are never news to it.
    done = mark_read(care.colleague, thread, 3)
    assert (done["read_number"], done["has_unread"], done["unread_since"]) == (3, False, None)
    for number in (-1, own["number"] + 1, 1 << 70):
        assert refused(mark_read, care.pharmacy, thread, number) == ("MESSAGE_NOT_FOUND", "number")
    receipts = seen(care.doctor, "SELECT party_id, read_number FROM chat_thread_members WHERE thread_id = %s", thread)
    assert {row["party_id"]: row["read_number"] for row in receipts} == {
        care.doctor.party_id: 0,
        care.pharmacy.party_id: 3,
        care.patient.party_id: 0,
    }
    reads = seen(
        care.doctor, "SELECT payload ->> 'readNumber' AS at FROM ticket_changes WHERE what = 'read' ORDER BY id"
    )
    assert [row["at"] for row in reads] == ["2", "3"]
    assert mismarked(settings_env, thread) == 0


@pytest.mark.parametrize("commits", [True, False])
def test_a_reader_waits_for_a_message_that_is_being_sent(care: Care, settings_env: Settings, commits: bool) -> None:
    thread = sent_ticket(care).thread_id
    write(care.doctor, thread)
    with beside(settings_env, care.doctor) as cursor:
        put_message(cursor, care.doctor, thread)
        with in_background(mark_read, care.pharmacy, thread, 1) as reading:
            wait_until_blocked(settings_env)
            cursor.connection.commit() if commits else cursor.connection.rollback()
            assert reading.result()["has_unread"] is commits
    assert stored(settings_env, thread) == ([1, 2] if commits else [1])
    assert mismarked(settings_env, thread) == 0


@pytest.mark.parametrize("commits", [True, False])
def test_a_message_waits_for_a_reader_and_is_unread(care: Care, settings_env: Settings, commits: bool) -> None:
    thread = sent_ticket(care).thread_id
    write(care.doctor, thread)

    class TakenBackError(Exception):
        """The reader's transaction does not come to an end."""

    with ThreadPoolExecutor(1) as pool:
        try:
            with acting_as(care.pharmacy):
                assert mark_read(care.pharmacy, thread, 1)["has_unread"] is False
                sending = pool.submit(write, care.doctor, thread)
                wait_until_blocked(settings_env)
                if not commits:
                    raise TakenBackError
        except TakenBackError:
            pass
        assert sending.result()["number"] == 2
    [row] = seen(
        care.pharmacy,
        "SELECT read_number, has_unread FROM chat_thread_members WHERE thread_id = %s AND party_id = %s",
        thread,
        care.pharmacy.party_id,
    )
    assert row == {"read_number": 1 if commits else 0, "has_unread": True}
    assert mismarked(settings_env, thread) == 0


def test_whoever_reads_while_others_write_has_every_message_marked(care: Care, settings_env: Settings) -> None:
    thread = sent_ticket(care).thread_id
    write(care.doctor, thread)

    def read_all(who: Identity) -> None:
        mark_read(who, thread, message_page(who, thread, limit=1).messages[0]["number"])

    for _ in range(40):
        at_once(
            partial(write, care.doctor, thread),
            partial(write, care.patient, thread),
            partial(read_all, care.pharmacy),
            partial(read_all, care.colleague),
            partial(read_all, care.patient),
        )
        assert mismarked(settings_env, thread) == 0
    for who in (care.doctor, care.pharmacy, care.patient):
        read_all(who)
    assert seen(care.doctor, "SELECT 1 FROM chat_thread_members WHERE thread_id = %s AND has_unread", thread) == []


def test_what_is_unread_is_counted_up_to_a_hundred(care: Care) -> None:
    placed = sent_ticket(care)

    def unread(who: Identity) -> list[int]:
        listed = ticket_page(who, TicketQuery()).tickets[0]["unread"]
        return [ticket_state(who, placed.ticket_id).thread["unread"], listed]

    assert unread(care.pharmacy) == [0, 0]
    for _ in range(99):
        write(care.doctor, placed.thread_id)
    assert (unread(care.doctor), unread(care.pharmacy), unread(care.patient)) == ([0, 0], [99, 99], [99, 99])
    for who in (care.doctor, care.doctor, care.colleague):
        write(who, placed.thread_id)
    assert (unread(care.doctor), unread(care.pharmacy), unread(care.patient)) == ([1, 1], [100, 100], [100, 100])
    mark_read(care.colleague, placed.thread_id, 60)
    assert unread(care.pharmacy) == [41, 41]  # of the doctor's 101, and none of the pharmacy's own
    mark_read(care.pharmacy, placed.thread_id, 101)
    assert unread(care.colleague) == [0, 0]


def test_a_pharmacy_chosen_later_has_all_before_it_unread(care: Care, settings_env: Settings) -> None:
    placed = created_ticket(care, pharmacy=care.pharmacy2)
    write(care.doctor, placed.thread_id)
    with acting_as(care.doctor):
        execute(
            "UPDATE healthcare_tickets SET secondary_provider_id = %s WHERE id = %s",
            (care.pharmacy.party_id, placed.ticket_id),
        )
    send(care, placed)
    assert numbers(message_page(care.pharmacy, placed.thread_id)) == [1]
    assert refused(message_page, care.pharmacy2, placed.thread_id)[0] == "THREAD_NOT_FOUND"
    assert mismarked(settings_env, placed.thread_id) == 0
    assert mark_read(care.pharmacy, placed.thread_id, 1)["has_unread"] is False
