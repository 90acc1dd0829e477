"""Old prescriptions get tickets and old threads are linked to them, each once; what cannot be linked is left and named."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest
from click.testing import CliRunner

from dispatchlog.cli import main
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.backfill import BackfillReport, backfill, findings, standing
from dispatchlog.systems.tickets.handling import move_ticket, open_ticket
from dispatchlog.systems.tickets.inputs import MessageInput, TicketError
from dispatchlog.systems.tickets.messages import message_page, send_message
from dispatchlog.systems.tickets.reading import find_thread, ticket_state
from dispatchlog.systems.tickets.states import TicketStatus
from tests.engine.lane import owner
from tests.scenarios.processes import wait_for
from tests.systems.ticket_rows import sent_ticket
from tests.systems.ticket_samples import Care, care_database

WRITTEN = datetime(2025, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as everybody:
        yield everybody


@pytest.fixture
def url(settings_env: Settings) -> str:
    return settings_env.database_url


def rows(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    with owner(url) as cursor:
        cursor.execute(sql, values or None)
        return list(cursor.fetchall())


def old_prescription(url: str, care: Care, *, order: UUID | None = None, **ids: UUID) -> UUID:
    """A prescription without a ticket, of the sample's doctor, patient and pharmacy unless told."""
    return rows(
        url,
        "INSERT INTO prescriptions (id, appointment_id, doctor_id, patient_id, pharmacy_id, is_legacy, created_at)"
        " VALUES (gen_random_uuid(), %s, %s, %s, %s, true, %s) RETURNING id",
        order or uuid4(),
        ids.get("doctor", care.doctor.party_id),
        ids.get("patient", care.patient.party_id),
        ids.get("pharmacy", care.pharmacy.party_id),
        WRITTEN,
    )[0][0]


def old_thread(
    url: str,
    order: UUID | None,
    members: tuple[UUID, ...],
    senders: tuple[UUID, ...] = (),
    order_type: str = "prescription",
) -> UUID:
    """A thread without a ticket, with a message of each sender."""
    thread = rows(
        url,
        "INSERT INTO chat_threads (id, order_id, order_type, is_legacy)"
        " VALUES (gen_random_uuid(), %s, %s, true) RETURNING id",
        order,
        order_type,
    )[0][0]
    with owner(url) as cursor:
        for member in members:
            cursor.execute("INSERT INTO chat_thread_members (thread_id, party_id) VALUES (%s, %s)", (thread, member))
        for sender in senders:
            cursor.execute(
                "INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body)"
                " VALUES (gen_random_uuid(), %s, %s, gen_random_uuid(), 'said')",
                (thread, sender),
            )
    return thread


def left(url: str) -> dict[UUID, str]:
    return {each: code for _, each, code in findings(url)}


def whole(url: str) -> list[Any]:
    """Everything that a backfill may change."""
    tables = ("healthcare_tickets", "chat_threads", "chat_thread_members", "chat_messages", "prescriptions")
    more = ("ticket_timeline", "ticket_changes", "ticket_backfill_findings", "ticket_notifications")
    return [rows(url, f"SELECT to_jsonb(r)::text FROM {table} r ORDER BY 1") for table in (*tables, *more)]


def test_an_old_prescription_and_its_thread_become_a_ticket_that_was_sent_then(url: str, care: Care) -> None:
    order = uuid4()
    prescription = old_prescription(url, care, order=order)
    thread = old_thread(
        url, order, (care.doctor.person_id, care.pharmacy.party_id), (care.doctor.person_id, care.pharmacy.person_id)
    )
    assert backfill(url) == BackfillReport(1, 1, 1, {})
    ((ticket_id, number, status, sent_at, created_at),) = rows(
        url, "SELECT id, ticket_number, status, sent_at, created_at FROM healthcare_tickets"
    )
    assert (status, sent_at, created_at) == ("sent", WRITTEN, WRITTEN)
    assert number.startswith("TKT-20250301-")
    assert rows(url, "SELECT id, ticket_id, is_legacy FROM prescriptions") == [(prescription, ticket_id, False)]
    assert rows(url, "SELECT id, ticket_id, is_legacy, last_number FROM chat_threads") == [
        (thread, ticket_id, False, 2)
    ]
    assert rows(url, "SELECT kind, to_status, actor FROM ticket_timeline") == [("backfilled", "sent", "backfill")]
    assert rows(url, "SELECT sender_party_id FROM chat_messages ORDER BY number") == [
        (care.doctor.party_id,),
        (care.pharmacy.party_id,),
    ]
    for who in (care.doctor, care.pharmacy, care.colleague, care.patient):
        assert find_thread(who, ticket_id=ticket_id) == find_thread(who, order_id=order)
        assert [each["number"] for each in message_page(who, thread).messages] == [1, 2]
    assert open_ticket(care.colleague, ticket_id)[1]
    with pytest.raises(TicketError):
        ticket_state(care.pharmacy2, ticket_id)


def test_members_become_parties_each_once_and_keep_what_they_have_read(url: str, care: Care) -> None:
    order = uuid4()
    old_prescription(url, care, order=order)
    people = (care.doctor.person_id, care.pharmacy.person_id, care.colleague.person_id)
    thread = old_thread(url, order, people, (care.doctor.person_id, care.colleague.person_id, care.doctor.person_id))
    backfill(url)
    found = rows(url, "SELECT party_id, read_number, has_unread FROM chat_thread_members WHERE thread_id = %s", thread)
    assert set(found) == {
        (care.doctor.party_id, 3, False),
        (care.pharmacy.party_id, 2, True),
        (care.patient.party_id, 0, True),
    }


def test_nobody_is_written_to_about_a_backfilled_ticket(url: str, care: Care) -> None:
    order = uuid4()
    old_prescription(url, care, order=order)
    thread = old_thread(url, order, (care.patient.party_id,), (care.doctor.person_id,))
    with owner(url) as cursor:  # as adopted tables have it
        cursor.execute("UPDATE chat_thread_members SET unread_since = NULL WHERE thread_id = %s", (thread,))
    backfill(url)
    # A mail is due a while after `unread_since`, so without one there is none.
    unread = "SELECT party_id, unread_since FROM chat_thread_members WHERE has_unread"
    assert set(rows(url, unread)) == {(care.patient.party_id, None), (care.pharmacy.party_id, None)}
    assert rows(url, "SELECT count(*) FROM ticket_notifications") == [(0,)]


def test_a_prescription_without_a_thread_gets_one(url: str, care: Care) -> None:
    old_prescription(url, care, doctor=care.doctor.person_id, pharmacy=care.colleague.person_id)
    assert backfill(url) == BackfillReport(1, 0, 1, {})
    ((ticket_id,),) = rows(url, "SELECT id FROM healthcare_tickets")
    thread = find_thread(care.pharmacy, ticket_id=ticket_id)
    message, _ = send_message(care.pharmacy, thread["id"], MessageInput(uuid4(), "It is ready"))
    assert message["number"] == 1
    assert rows(url, "SELECT count(*) FROM chat_thread_members WHERE thread_id = %s", thread["id"]) == [(3,)]


def test_the_type_is_the_receivers(url: str, care: Care) -> None:
    order = uuid4()
    old_prescription(url, care, order=order)
    old_prescription(url, care, order=order, pharmacy=care.laboratory.party_id)
    old_prescription(url, care, order=order, pharmacy=care.doctor2.party_id)
    members = (care.doctor.person_id, care.laboratory.person_id)
    thread = old_thread(url, order, members, order_type="lab_request")
    assert backfill(url) == BackfillReport(3, 1, 3, {})
    found = rows(
        url,
        "SELECT ticket_type, secondary_provider_id, t.id = %s FROM healthcare_tickets k"
        " JOIN chat_threads t ON t.ticket_id = k.id",
        thread,
    )
    assert set(found) == {
        ("prescription", care.pharmacy.party_id, False),
        ("lab_request", care.laboratory.party_id, True),
        ("referral", care.doctor2.party_id, False),
    }


def test_what_cannot_be_linked_is_left_and_named(url: str, care: Care) -> None:
    doctor, patient = care.doctor.person_id, care.patient.person_id
    unknown, twice, strange, other = uuid4(), uuid4(), uuid4(), uuid4()
    expected = {
        old_prescription(url, care, order=unknown, pharmacy=uuid4()): "PARTY_UNKNOWN",
        old_thread(url, unknown, (doctor, patient)): "PARTY_UNKNOWN",
        old_prescription(url, care, order=strange): "OTHER_MEMBERS",
        old_thread(url, strange, (doctor, care.pharmacy2.person_id)): "OTHER_MEMBERS",
        old_thread(url, uuid4(), (doctor, patient)): "NO_PRESCRIPTION",
        old_thread(url, None, (doctor, patient)): "NO_PRESCRIPTION",
        old_thread(url, other, (doctor, patient), order_type="video_call"): "OTHER_TYPE",
        old_thread(url, other, (doctor, patient), order_type="referral"): "NO_PRESCRIPTION",
        old_thread(url, twice, (doctor, patient), (doctor,)): "SECOND_THREAD",
        old_thread(url, twice, (doctor, patient)): "SECOND_THREAD",
    }
    first = old_prescription(url, care, order=twice)
    second = old_prescription(url, care, order=twice)
    expected[min(first, second)] = "SECOND_PRESCRIPTION"
    linked = old_thread(url, twice, (doctor, patient), (doctor, patient))
    old_prescription(url, care, order=other)
    report = backfill(url)
    assert (report.tickets, report.threads, report.prescriptions) == (2, 1, 2)
    assert left(url) == expected
    assert sum(report.left.values()) == len(expected)
    assert rows(url, "SELECT id FROM chat_threads WHERE NOT is_legacy AND order_id = %s", twice) == [(linked,)]
    assert all(find_thread(care.doctor, order_id=order) for order in (unknown, strange))
    before = whole(url)
    assert backfill(url) == BackfillReport(0, 0, 0, report.left)
    assert whole(url) == before


def test_an_order_whose_ticket_was_opened_meanwhile_keeps_that_one(url: str, care: Care) -> None:
    placed = sent_ticket(care)
    ((order,),) = rows(url, "SELECT appointment_id FROM healthcare_tickets WHERE id = %s", placed.ticket_id)
    prescription = old_prescription(url, care, order=order)
    thread = old_thread(url, order, (care.doctor.person_id,))
    assert backfill(url).tickets == 0
    assert left(url) == {prescription: "SECOND_PRESCRIPTION", thread: "SECOND_THREAD"}


def test_what_was_cancelled_does_not_come_back_as_an_older_prescription(url: str, care: Care) -> None:
    order = uuid4()
    for _ in range(2):
        old_prescription(url, care, order=order)
    assert backfill(url).tickets == 1
    ((ticket_id,),) = rows(url, "SELECT id FROM healthcare_tickets WHERE appointment_id = %s", order)
    move_ticket(care.doctor, ticket_id, TicketStatus.CANCELLED, reason="allergic")
    assert backfill(url).tickets == 0
    assert rows(url, "SELECT status FROM healthcare_tickets WHERE appointment_id = %s", order) == [("cancelled",)]


def test_a_party_that_is_reported_later_is_linked_by_the_next_run(url: str, care: Care) -> None:
    order, late = uuid4(), uuid4()
    old_prescription(url, care, order=order)
    old_thread(url, order, (care.doctor.person_id, late), (late,))
    assert backfill(url).left == {"PARTY_UNKNOWN": 2}
    with owner(url) as cursor:
        cursor.execute("SELECT care_put_person(%s, %s, 'Pharmacist Late', NULL, false)", (late, care.pharmacy.party_id))
    assert backfill(url) == BackfillReport(1, 1, 1, {})
    assert left(url) == {}


def test_a_dry_run_says_the_same_and_changes_nothing(url: str, care: Care) -> None:
    order = uuid4()
    old_prescription(url, care, order=order)
    old_thread(url, order, (care.doctor.person_id,))
    old_prescription(url, care)
    old_prescription(url, care, pharmacy=uuid4())
    before = whole(url)
    said = backfill(url, dry_run=True, batch=1)
    assert whole(url) == before
    assert backfill(url, batch=1) == said == BackfillReport(2, 1, 2, {"PARTY_UNKNOWN": 1})


def test_a_message_that_is_sent_meanwhile_is_waited_for(url: str, care: Care) -> None:
    order = uuid4()
    old_prescription(url, care, order=order)
    thread = old_thread(url, order, (care.doctor.person_id, care.pharmacy.party_id))
    with closing(psycopg2.connect(url)) as sender, sender.cursor() as cursor:
        cursor.execute(
            "INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body)"
            " VALUES (gen_random_uuid(), %s, %s, gen_random_uuid(), 'just now')",
            (thread, care.pharmacy.person_id),
        )
        running = threading.Thread(target=backfill, args=(url,))
        running.start()
        waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        wait_for(lambda: bool(rows(url, waiting)))
        sender.commit()
        running.join()
    assert rows(url, "SELECT sender_party_id FROM chat_messages") == [(care.pharmacy.party_id,)]
    reading = "SELECT has_unread, unread_since IS NOT NULL FROM chat_thread_members WHERE party_id = %s"
    assert rows(url, reading, care.doctor.party_id) == [(True, True)]
    assert rows(url, reading, care.pharmacy.party_id) == [(False, False)]


def test_two_at_once_double_nothing(url: str, care: Care) -> None:
    for _ in range(40):
        order = uuid4()
        old_prescription(url, care, order=order)
        old_thread(url, order, (care.doctor.person_id,))
    reports: list[BackfillReport] = []
    runs = [threading.Thread(target=lambda: reports.append(backfill(url, batch=3))) for _ in range(2)]
    for each in runs:
        each.start()
    for each in runs:
        each.join()
    assert sum(report.tickets for report in reports) == 40
    assert rows(url, "SELECT count(*), count(DISTINCT appointment_id) FROM healthcare_tickets") == [(40, 40)]
    assert rows(url, "SELECT count(*) FROM chat_threads WHERE ticket_id IS NOT NULL") == [(40,)]


def test_somebody_who_would_not_see_every_row_is_refused(url: str, care: Care) -> None:
    old_prescription(url, care)
    name = f"clerk_{uuid4().hex}"
    try:
        with owner(url) as cursor:
            cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'clerk'; GRANT dispatchlog_app TO {name}")
        clerk = re.sub("//.*@", f"//{name}:clerk@", url)
        with pytest.raises(DispatchlogError) as refused:
            backfill(clerk)
    finally:
        with owner(url) as cursor:
            cursor.execute(f"DROP ROLE IF EXISTS {name}")
    assert refused.value.code == "NOT_OWNER"


def test_whose_party_a_sender_is_may_be_learned_once_and_nothing_else_changes(url: str, care: Care) -> None:
    old_thread(url, None, (), (uuid4(),))
    learn = "UPDATE chat_messages SET sender_party_id = %s RETURNING 1"
    assert rows(url, learn, care.doctor.party_id) == [(1,)]
    for sql in (
        learn,
        learn.replace("SET", "SET body = 'else',"),
        "DELETE FROM chat_messages WHERE %s IS NOT NULL RETURNING 1",
    ):
        with pytest.raises(psycopg2.Error) as refused:
            rows(url, sql, care.doctor2.party_id)
        assert refused.value.pgcode == "DL004"


def test_the_command_says_what_it_did_and_what_is_left(url: str, care: Care) -> None:
    old_prescription(url, care)
    lonely = old_thread(url, uuid4(), (care.doctor.person_id,))
    run: Callable[..., Any] = CliRunner().invoke
    would = run(main, ["tickets", "backfill", "--dry-run", "--json"])
    assert json.loads(would.stdout) == {
        "dry_run": True,
        "tickets": 1,
        "threads": 0,
        "prescriptions": 1,
        "left": {"NO_PRESCRIPTION": 1},
    }
    done = run(main, ["tickets", "backfill", "--batch", "1"])
    assert done.exit_code == 0
    assert "1 tickets, 0 old threads linked, 1 left alone" in done.stdout
    report = run(main, ["tickets", "report", "--json"])
    assert json.loads(report.stdout) == {
        "tickets": 1,
        "linked_threads": 1,
        "old_threads": 1,
        "old_prescriptions": 0,
        "left": [{"kind": "thread", "code": "NO_PRESCRIPTION", "count": 1}],
    }
    assert standing(url).tickets == 1
    assert str(lonely) in run(main, ["tickets", "report", "--code", "no_prescription"]).stdout
