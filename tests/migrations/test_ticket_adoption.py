"""An upstream service's prescriptions and threads are adopted where they are: nothing of theirs is lost or changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from playhouse.migrations import MigrationError

from dispatchlog.engine.database import configure, database
from dispatchlog.migrate import migrate_down, migrate_up, migration_status
from dispatchlog.systems.tickets.identity import identity_of_person
from dispatchlog.systems.tickets.inputs import MessageInput, TicketError, TicketInput
from dispatchlog.systems.tickets.messages import message_page, send_message
from dispatchlog.systems.tickets.opening import choose_receiver
from dispatchlog.systems.tickets.reading import find_thread
from dispatchlog.systems.tickets.states import TicketType
from tests.engine.lane import APPLICATION_ROLE
from tests.migrations.test_migrations import COLUMNS, cursor_of, everything, rows
from tests.systems.old_conversations import make_old_tables, old_id, report_everybody
from tests.systems.ticket_samples import Care, make_care

BEFORE = "0022_order_pages"
TABLES = {
    "prescriptions": "id, appointment_id, patient_id, doctor_id, pharmacy_id, coalesce(notes, ''), printed, created_at",
    "chat_threads": "id, order_id, coalesce(order_type, ''), created_at",
    "chat_thread_members": "thread_id, user_id",
    "chat_messages": "id, thread_id, sender_id, content, created_at",
}
NOW = datetime.now(UTC)


def theirs(url: str) -> dict[str, list[object]]:
    return {table: sorted(rows(url, f"SELECT {columns} FROM {table}")) for table, columns in TABLES.items()}


@pytest.fixture
def old_url(empty_database_url: str) -> str:
    """A database with the old tables, migrated as far as tickets."""
    with cursor_of(empty_database_url) as cursor:
        make_old_tables(cursor, count=12)
    migrate_up(empty_database_url, BEFORE)
    return empty_database_url


@pytest.fixture
def care(old_url: str) -> Iterator[Care]:
    """Everybody in the adopted database, as the application sees it."""
    migrate_up(old_url)
    configure(old_url, role=APPLICATION_ROLE, name="test")
    try:
        yield make_care()
    finally:
        database.close_all()


def test_every_old_row_stays_and_is_marked_old(old_url: str) -> None:
    with cursor_of(old_url) as cursor:
        cursor.execute("INSERT INTO chat_threads (order_id, order_type) VALUES (NULL, NULL)")
        cursor.execute(
            "INSERT INTO prescriptions (patient_id, doctor_id) VALUES (gen_random_uuid(), gen_random_uuid())"
        )
    before = theirs(old_url)
    migrate_up(old_url)
    assert theirs(old_url) == before
    assert rows(old_url, "SELECT DISTINCT is_legacy, ticket_id FROM chat_threads") == [(True, None)]
    assert rows(old_url, "SELECT DISTINCT is_legacy, ticket_id FROM prescriptions") == [(True, None)]
    assert rows(old_url, "SELECT * FROM heard") == []
    assert rows(old_url, "SELECT count(*) FROM pg_trigger WHERE tgname = 'hear' AND tgenabled = 'O'") == [(4,)]


def test_messages_are_numbered_as_they_were_written(old_url: str) -> None:
    thread, doctor, patient = uuid4(), uuid4(), uuid4()
    told = [
        ("third", NOW, doctor),
        ("first", NOW - timedelta(days=40), doctor),
        ("second", NOW - timedelta(days=1), patient),
    ]
    with cursor_of(old_url) as cursor:
        cursor.execute(
            "INSERT INTO chat_threads (id, order_id, order_type) VALUES (%s, %s, 'prescription')", (thread, uuid4())
        )
        for member in (doctor, patient):
            cursor.execute("INSERT INTO chat_thread_members VALUES (%s, %s)", (thread, member))
        for content, at, sender in told:
            cursor.execute(
                "INSERT INTO chat_messages (thread_id, sender_id, content, created_at) VALUES (%s, %s, %s, %s)",
                (thread, sender, content, at),
            )
    migrate_up(old_url)
    of_thread = "FROM chat_messages WHERE thread_id = %s ORDER BY number"
    assert rows(old_url, f"SELECT number, body, content {of_thread}", thread) == [
        (1, "first", "first"),
        (2, "second", "second"),
        (3, "third", "third"),
    ]
    assert rows(old_url, "SELECT last_number, last_message_at FROM chat_threads WHERE id = %s", thread) == [(3, NOW)]
    members = rows(
        old_url,
        "SELECT party_id, read_number, has_unread, unread_since FROM chat_thread_members WHERE thread_id = %s",
        thread,
    )
    # The doctor wrote the last one; the patient has answered the first, and nobody knows of the third.
    assert set(members) == {(doctor, 3, False, None), (patient, 2, True, None)}


def test_an_old_message_of_any_length_is_kept_and_a_new_one_has_its_limits(old_url: str) -> None:
    with cursor_of(old_url) as cursor:
        cursor.execute("UPDATE chat_messages SET content = repeat('x', 20000) WHERE content = 'message 1'")
        cursor.execute("UPDATE chat_messages SET content = '' WHERE content = 'message 2'")
    migrate_up(old_url)
    assert rows(old_url, "SELECT max(length(body)), min(length(body)) FROM chat_messages") == [(20000, 0)]
    new = (
        "INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body)"
        " SELECT gen_random_uuid(), thread_id, sender_id, gen_random_uuid(), %s FROM chat_messages LIMIT 1 RETURNING id"
    )
    for body in ("x" * 8001, ""):
        with pytest.raises(Exception, match="adopted_chat_messages"):
            rows(old_url, new, body)
    assert len(rows(old_url, new, "short")) == 1


def test_an_old_thread_is_read_and_written_by_its_members_before_it_has_a_ticket(old_url: str, care: Care) -> None:
    with cursor_of(old_url) as cursor:
        report_everybody(cursor)
    order, thread = old_id("order", 7), old_id("thread", 7)
    doctor = identity_of_person(old_id("doctor_person", 7))
    pharmacist = identity_of_person(old_id("pharmacist", 7))
    assert find_thread(doctor, order_id=order)["id"] == thread
    message, _ = send_message(doctor, thread, MessageInput(uuid4(), "Is it in stock?"))
    assert [each["number"] for each in message_page(pharmacist, thread).messages] == [1, 2, 3, 4]
    assert rows(old_url, "SELECT content FROM chat_messages WHERE id = %s", message["id"]) == [("Is it in stock?",)]
    for stranger in (care.patient, care.doctor2, identity_of_person(old_id("doctor_person", 8))):
        for attempt in (
            lambda who: find_thread(who, order_id=order),
            lambda who: message_page(who, thread),
            lambda who: send_message(who, thread, MessageInput(uuid4(), "Hello")),
        ):
            with pytest.raises(TicketError) as refused:
                attempt(stranger)
            assert refused.value.code == "THREAD_NOT_FOUND"


def test_new_tickets_live_in_adopted_tables(old_url: str, care: Care) -> None:
    def given(receiver: UUID) -> TicketInput:
        return TicketInput(TicketType.PRESCRIPTION, appointment, care.patient.party_id, receiver)

    appointment = uuid4()
    ticket, _ = choose_receiver(care.doctor, given(care.pharmacy2.party_id))
    choose_receiver(care.doctor, given(care.pharmacy.party_id))
    send_message(care.doctor, ticket["thread_id"], MessageInput(uuid4(), "On its way"))
    members = rows(
        old_url, "SELECT user_id, party_id FROM chat_thread_members WHERE thread_id = %s", ticket["thread_id"]
    )
    assert {user for user, _ in members} == {care.doctor.party_id, care.pharmacy.party_id, care.patient.party_id}
    assert all(user == party for user, party in members)


def test_down_leaves_an_upstreams_tables_with_everything_in_them(old_url: str) -> None:
    with cursor_of(old_url) as cursor:
        cursor.execute("ALTER TABLE chat_threads ENABLE ROW LEVEL SECURITY")
        cursor.execute("CREATE POLICY theirs ON chat_threads TO pg_monitor USING (true)")
    before, made = everything(old_url), theirs(old_url)
    secured = "SELECT relname FROM pg_class WHERE relrowsecurity UNION SELECT polname FROM pg_policy ORDER BY 1"
    columns = COLUMNS + f" AND table_name = ANY(ARRAY{list(TABLES)})"
    shape = sorted((row[0], row[1], row[2], row[3]) for row in rows(old_url, columns))
    for _ in range(2):
        migrate_up(old_url)
        assert migrate_down(old_url, "0023_tickets")[-1] == "0023_tickets"
        assert theirs(old_url) == made
        assert sorted((row[0], row[1], row[2], row[3]) for row in rows(old_url, columns)) == shape
        assert everything(old_url) - before == {"i idx_chat_threads_order_id"}
        assert before - everything(old_url) == set()
        assert rows(old_url, secured) == [("chat_threads",), ("theirs",)]
        assert rows(old_url, "SELECT count(*) FROM heard") == [(0,)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("DROP TABLE chat_messages", "all or none"),
        ("CREATE TABLE healthcare_tickets (id int)", "there is a table healthcare_tickets already"),
        ("ALTER TABLE chat_messages DROP COLUMN content", "neither body nor content"),
        ("ALTER TABLE prescriptions DROP COLUMN doctor_id", "prescriptions has no column doctor_id"),
        ("ALTER TABLE chat_threads ALTER order_id TYPE text", "chat_threads.order_id is text, not uuid"),
        ("ALTER TABLE chat_messages ALTER created_at TYPE timestamp", "created_at is timestamp without time zone"),
        ("ALTER TABLE chat_messages ADD number int", "has a column number of its own"),
        (
            (
                "ALTER TABLE chat_thread_members ADD role text NOT NULL DEFAULT '';"
                "ALTER TABLE chat_thread_members ALTER role DROP DEFAULT"
            ),
            "role must be given",
        ),
        (
            "ALTER TABLE prescriptions ADD ticket_id uuid DEFAULT gen_random_uuid()",
            "12 rows of prescriptions with a ticket_id",
        ),
        (
            (
                "CREATE TABLE users (id uuid PRIMARY KEY);"
                "ALTER TABLE prescriptions ADD CONSTRAINT of_user FOREIGN KEY (doctor_id) REFERENCES users NOT VALID"
            ),
            "DROP CONSTRAINT of_user",
        ),
        ("GRANT SELECT ON chat_messages TO PUBLIC", "REVOKE ALL ON chat_messages FROM PUBLIC"),
        ("CREATE POLICY everybody ON chat_messages USING (true)", "policy everybody on chat_messages is for everybody"),
        (
            (
                "ALTER TABLE chat_thread_members DROP CONSTRAINT chat_thread_members_pkey;"
                "INSERT INTO chat_thread_members SELECT * FROM chat_thread_members LIMIT 1"
            ),
            "1 rows of chat_thread_members that stand",
        ),
        (
            (
                "ALTER TABLE chat_messages DROP CONSTRAINT chat_messages_thread_id_fkey;"
                "UPDATE chat_messages SET thread_id = gen_random_uuid()"
            ),
            "36 rows of chat_messages of no thread",
        ),
        ("ALTER TABLE chat_messages DROP CONSTRAINT chat_messages_pkey", "chat_messages has not id as its primary key"),
    ],
)
def test_tables_that_are_not_as_expected_are_refused_and_stay(old_url: str, made: str, said: str) -> None:
    with cursor_of(old_url) as cursor:
        cursor.execute(made)
    before = everything(old_url)
    with pytest.raises(MigrationError, match=said):
        migrate_up(old_url)
    assert everything(old_url) == before
    assert [state.name for state in migration_status(old_url) if state.applied_at][-1] == BEFORE
