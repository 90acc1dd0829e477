"""Whoever asks the database itself, as the application's role, sees and writes what is theirs and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any
from uuid import UUID, uuid4

import psycopg2
import pytest

from dispatchlog import people
from dispatchlog.engine.database import connect_arguments
from dispatchlog.engine.lanes import Row
from dispatchlog.settings import Settings
from dispatchlog.systems.tickets.identity import Identity
from dispatchlog.systems.tickets.inputs import MessageInput, PersonInput
from dispatchlog.systems.tickets.messages import send_message
from dispatchlog.systems.tickets.parties import put_person
from dispatchlog.systems.tickets.prescribing import keep_draft
from dispatchlog.systems.tickets.states import TicketStatus
from tests.engine.lane import APPLICATION_ROLE, owner
from tests.systems.ticket_samples import Care, care_database, new_person
from tests.systems.ticket_steps import stored, ticket_at

GUARDED = (
    "healthcare_tickets",
    "prescriptions",
    "prescription_items",
    "prescription_drafts",
    "chat_threads",
    "chat_thread_members",
    "chat_messages",
    "ticket_timeline",
    "emergency_accesses",
    "care_parties",
    "care_people",
)
VIEWS = (
    "ticket_overview",
    "ticket_overview_timeline",
    "ticket_overview_messages",
    "ticket_overview_reading",
    "care_overview",
)
NOBODY: dict[str, str] = {}


@pytest.fixture
def care(settings_env: Settings) -> Iterator[Care]:
    with care_database(settings_env) as care:
        yield care


@pytest.fixture
def ticket(care: Care) -> Row:
    """A ticket that was sent, with messages of both sides; and one that was not, with a draft."""
    begun = ticket_at(care, TicketStatus.CREATED)
    keep_draft(care.doctor, begun["id"], {"notes": "half a thought"})
    ticket = ticket_at(care, TicketStatus.RECEIVED)
    for who in (care.doctor, care.pharmacy, care.patient):
        send_message(who, ticket["thread_id"], MessageInput(uuid4(), "Sample text"))
    return ticket


class Session:
    """A connection of the application's role in the name of somebody; each statement is taken back."""

    def __init__(self, settings: Settings, named: dict[str, str]) -> None:
        self.settings = settings
        self.named = named

    def ask(self, sql: str, *values: object) -> tuple[int, list[tuple[Any, ...]]]:
        """How many rows, and which."""
        arguments = connect_arguments(APPLICATION_ROLE, name="test")
        with closing(psycopg2.connect(self.settings.database_url, **arguments)) as connection:
            cursor = connection.cursor()
            for setting, value in self.named.items():
                cursor.execute("SELECT set_config(%s, %s, true)", (f"dispatchlog.{setting}", value))
            cursor.execute(sql, [str(value) if isinstance(value, UUID) else value for value in values])
            return cursor.rowcount, list(cursor.fetchall()) if cursor.description else []

    def count(self, table: str) -> int:
        return int(self.ask(f"SELECT count(*) FROM {table}")[1][0][0])

    def refusal(self, sql: str, *values: object) -> str:
        """The code with which it is refused, or how many rows it would have changed."""
        try:
            return str(self.ask(sql, *values)[0])
        except psycopg2.Error as error:
            return str(error.pgcode)


def session(settings: Settings, who: Identity) -> Session:
    return Session(settings, {"person": str(who.person_id)})


def counts(asked: Session, *tables: str) -> dict[str, int]:
    return {table: asked.count(table) for table in tables}


def test_the_application_has_no_way_round_the_policies(care: Care, settings_env: Settings) -> None:
    rows = stored(
        settings_env,
        "SELECT c.relname, c.relrowsecurity, pg_get_userbyid(c.relowner) = %s, r.rolsuper OR r.rolbypassrls"
        " FROM pg_class c JOIN pg_roles r ON r.rolname = %s WHERE c.relname = ANY (%s) AND c.relkind = 'r'",
        APPLICATION_ROLE,
        APPLICATION_ROLE,
        [*GUARDED, "ticket_changes"],
    )
    assert len(rows) == len(GUARDED) + 1
    assert {row[1:] for row in rows} == {(True, False, False)}


def test_every_party_sees_its_tickets_and_all_of_them(care: Care, settings_env: Settings, ticket: Row) -> None:
    theirs = {
        "healthcare_tickets": 1,
        "prescriptions": 1,
        "prescription_items": 2,
        "prescription_drafts": 0,
        "chat_threads": 1,
        "chat_thread_members": 3,
        "chat_messages": 3,
        "ticket_timeline": 4,
        "emergency_accesses": 0,
    }
    for who in (care.pharmacy, care.colleague):
        assert counts(session(settings_env, who), *theirs) == theirs
    with_begun = {"healthcare_tickets": 2, "chat_threads": 2, "chat_thread_members": 6, "ticket_timeline": 5}
    assert counts(session(settings_env, care.patient), *theirs) == {**theirs, **with_begun}
    doctors = {**theirs, **with_begun, "prescription_drafts": 1}
    assert counts(session(settings_env, care.doctor), *theirs) == doctors
    assert counts(session(settings_env, care.doctor), *VIEWS) == dict.fromkeys(VIEWS, 0)


def test_strangers_see_the_directory_and_nothing_of_a_ticket(care: Care, settings_env: Settings, ticket: Row) -> None:
    tables = [table for table in GUARDED if not table.startswith("care_")]
    for who in (care.doctor2, care.pharmacy2, care.patient2, care.laboratory):
        asked = session(settings_env, who)
        assert counts(asked, *tables, *VIEWS, "ticket_changes") == dict.fromkeys((*tables, *VIEWS, "ticket_changes"), 0)
        patients = asked.ask("SELECT id::text FROM care_parties WHERE kind = 'patient'")[1]
        assert patients == ([(str(who.party_id),)] if who is care.patient2 else [])
        assert asked.ask("SELECT care_unread(%s, 100)", ticket["thread_id"])[1] == [(0,)]
        assert asked.ask("SELECT care_unread_tickets(100)")[0] == 0
        assert asked.ask("SELECT care_patients_named('sample:*', 100)")[0] == 0


def test_whoever_names_nobody_sees_nothing(care: Care, settings_env: Settings, ticket: Row) -> None:
    for named in (NOBODY, {"person": ""}, {"person": str(uuid4())}, {"staff": "999999"}):
        asked = Session(settings_env, named)
        assert counts(asked, *GUARDED, *VIEWS) == dict.fromkeys((*GUARDED, *VIEWS), 0)


def test_whoever_is_not_active_sees_nothing(care: Care, settings_env: Settings, ticket: Row) -> None:
    user_id, _ = people.create_user("north@example.org", roles=["doctor"])
    disabled = new_person(care.doctor.party_id, "Dr Disabled", user_id=user_id)
    assert session(settings_env, disabled).count("chat_messages") == 3
    with owner(settings_env.database_url) as cursor:
        cursor.execute("UPDATE staff_users SET active = false WHERE id = %s", (user_id,))
    person = PersonInput(care.colleague.person_id, care.colleague.party_id, "Pharmacist Two", active=False)
    put_person(person, source="test")
    with owner(settings_env.database_url) as cursor:
        cursor.execute("UPDATE care_parties SET active = false WHERE id = %s", (str(care.patient.party_id),))
    for who in (disabled, care.colleague, care.patient):
        asked = session(settings_env, who)
        assert counts(asked, *GUARDED, *VIEWS) == dict.fromkeys((*GUARDED, *VIEWS), 0)
        assert asked.refusal(_MESSAGE, *message(who, ticket)) == "42501"


@pytest.mark.parametrize("role", ["viewer", "support", "auditor", "admin", "pharmacist"])
def test_staff_see_metadata_only_and_only_who_may_oversee(
    care: Care, settings_env: Settings, ticket: Row, role: str
) -> None:
    user_id, _ = people.create_user("staff@example.org", roles=[role])
    asked = Session(settings_env, {"staff": str(user_id)})
    assert counts(asked, *GUARDED) == dict.fromkeys(GUARDED, 0)
    oversees = role != "pharmacist"
    assert [asked.count(view) > 0 for view in VIEWS[:4]] == [oversees] * 4
    assert (asked.count("care_overview") > 0) == (role == "admin")
    for view in VIEWS:
        shown = str(asked.ask(f"SELECT * FROM {view}")[1])
        assert "Sample text" not in shown
        assert "Sample medicine" not in shown
    both = Session(settings_env, {"staff": str(user_id), "person": str(care.doctor.person_id)})
    assert counts(both, *VIEWS) == dict.fromkeys(VIEWS, 0)


_MESSAGE = (
    "INSERT INTO chat_messages (id, thread_id, sender_id, client_message_id, body)"
    " VALUES (gen_random_uuid(), %s, %s, gen_random_uuid(), 'forged')"
)
_TICKET = (
    "INSERT INTO healthcare_tickets (id, ticket_number, ticket_type, appointment_id, patient_id, primary_provider_id,"
    " secondary_provider_id) VALUES (gen_random_uuid(), 'TKT-20260129-ABCDE', %s, gen_random_uuid(), %s, %s, %s)"
)


def message(sender: Identity, ticket: Row) -> tuple[UUID, UUID]:
    return ticket["thread_id"], sender.person_id


def test_nobody_writes_in_the_name_of_another(care: Care, settings_env: Settings, ticket: Row) -> None:
    for who in (care.doctor, care.pharmacy, care.patient):
        asked = session(settings_env, who)
        assert asked.refusal(_MESSAGE, *message(who, ticket)) == "1"
        for other in (care.doctor, care.colleague, care.pharmacy2):
            if other is not who:
                assert asked.refusal(_MESSAGE, *message(other, ticket)) == "42501"
        assert asked.refusal(_MESSAGE, ticket["thread_id"], who.party_id) == "42501"
        with_party = _MESSAGE.replace("body)", "body, sender_party_id)").replace(
            "'forged')", "'forged', gen_random_uuid())"
        )
        assert asked.refusal(with_party, *message(who, ticket)) == "42501"
    for stranger in (care.doctor2, care.pharmacy2, care.patient2):
        assert session(settings_env, stranger).refusal(_MESSAGE, *message(stranger, ticket)) == "42501"
    assert Session(settings_env, NOBODY).refusal(_MESSAGE, *message(care.doctor, ticket)) == "42501"


def test_a_message_needs_a_thread_and_a_thread_a_ticket(care: Care, settings_env: Settings, ticket: Row) -> None:
    asked = session(settings_env, care.doctor)
    assert asked.refusal(_MESSAGE, uuid4(), care.doctor.person_id) in ("23503", "42501")
    thread = "INSERT INTO chat_threads (id, ticket_id) VALUES (gen_random_uuid(), %s)"
    assert asked.refusal(thread, ticket["id"]) == "42501"
    with owner(settings_env.database_url) as cursor:
        with pytest.raises(psycopg2.errors.ForeignKeyViolation):
            cursor.execute(_MESSAGE, (str(uuid4()), str(care.doctor.person_id)))
        with pytest.raises(psycopg2.errors.CheckViolation):
            cursor.execute(thread, (None,))
        with pytest.raises(psycopg2.errors.ForeignKeyViolation):
            cursor.execute(thread, (str(uuid4()),))


def test_only_a_doctor_opens_a_ticket_and_only_as_themselves(care: Care, settings_env: Settings) -> None:
    asked = session(settings_env, care.doctor)
    patient, doctor, pharmacy = care.patient.party_id, care.doctor.party_id, care.pharmacy.party_id
    assert asked.refusal(_TICKET, "prescription", patient, doctor, pharmacy) == "1"
    assert asked.refusal(_TICKET, "prescription", patient, care.doctor2.party_id, pharmacy) == "42501"
    assert asked.refusal(_TICKET, "prescription", patient, doctor, care.laboratory.party_id) == "DL005"
    assert asked.refusal(_TICKET, "prescription", care.doctor2.party_id, doctor, pharmacy) == "DL005"
    assert asked.refusal(_TICKET, "prescription", patient, doctor, care.pharmacy.person_id) == "23503"
    for who in (care.pharmacy, care.patient):
        assert session(settings_env, who).refusal(_TICKET, "referral", patient, who.party_id, doctor) == "42501"
    forged = _TICKET.replace("secondary_provider_id)", "secondary_provider_id, sent_at)").replace("%s)", "%s, now())")
    assert asked.refusal(forged, "prescription", patient, doctor, pharmacy) == "42501"


FORGERIES = (
    "INSERT INTO ticket_timeline (ticket_id, kind, actor) SELECT id, 'status', 'forged' FROM healthcare_tickets",
    "UPDATE ticket_timeline SET actor = 'forged'",
    "DELETE FROM ticket_timeline",
    "UPDATE chat_messages SET body = 'forged'",
    "DELETE FROM chat_messages",
    "INSERT INTO chat_thread_members (thread_id, party_id) SELECT id, gen_random_uuid() FROM chat_threads",
    "UPDATE chat_thread_members SET party_id = gen_random_uuid()",
    "DELETE FROM chat_thread_members",
    "UPDATE chat_threads SET last_number = 0",
    "UPDATE chat_threads SET ticket_id = NULL",
    "DELETE FROM chat_threads",
    "UPDATE prescriptions SET notes = 'forged'",
    "DELETE FROM prescriptions",
    "UPDATE prescription_items SET name = 'forged'",
    "DELETE FROM prescription_items",
    "UPDATE healthcare_tickets SET sent_at = now()",
    "UPDATE healthcare_tickets SET version = 1",
    "DELETE FROM healthcare_tickets",
    "TRUNCATE healthcare_tickets CASCADE",
    "UPDATE ticket_changes SET audience = '{}'",
    "INSERT INTO ticket_moves VALUES ('completed', 'created', 'both')",
    "UPDATE emergency_accesses SET reason = 'forged, long enough'",
    "DELETE FROM emergency_accesses",
    "UPDATE care_people SET party_id = gen_random_uuid()",
    "UPDATE care_parties SET active = true",
    "DELETE FROM care_people",
    "SELECT care_put_party(gen_random_uuid(), 'pharmacy', 'Forged', NULL, true)",
    "SELECT care_put_person(gen_random_uuid(), (SELECT id FROM care_parties LIMIT 1), 'Forged', NULL, true)",
    "SELECT care_unlink_person((SELECT id FROM care_people LIMIT 1))",
    "SELECT tickets_tell(k, 'ticket', '{}') FROM healthcare_tickets k",
)


@pytest.mark.parametrize("sql", FORGERIES)
def test_what_was_written_cannot_be_forged_changed_or_deleted(
    care: Care, settings_env: Settings, ticket: Row, sql: str
) -> None:
    for who in (care.doctor, care.pharmacy, care.patient, care.doctor2):
        assert session(settings_env, who).refusal(sql) == "42501"


def test_a_prescription_that_was_sent_gets_nothing_more(care: Care, settings_env: Settings, ticket: Row) -> None:
    item = (
        "INSERT INTO prescription_items (prescription_id, number, name) SELECT id, 9, 'Forged' FROM prescriptions"
        " WHERE ticket_id = %s"
    )
    second = (
        "INSERT INTO prescriptions (id, ticket_id, appointment_id, patient_id, doctor_id, pharmacy_id, created_by)"
        " SELECT gen_random_uuid(), id, appointment_id, patient_id, primary_provider_id, secondary_provider_id,"
        " care_person() FROM healthcare_tickets WHERE id = %s"
    )
    for who in (care.doctor, care.pharmacy, care.patient):
        assert session(settings_env, who).refusal(item, ticket["id"]) == "42501"
        assert session(settings_env, who).refusal(second, ticket["id"]) == "42501"
    assert session(settings_env, care.doctor2).refusal(item, ticket["id"]) == "0"


def test_each_party_says_what_it_has_read_itself(care: Care, settings_env: Settings, ticket: Row) -> None:
    read = "UPDATE chat_thread_members SET read_number = 3 WHERE thread_id = %s AND party_id = %s"
    for who in (care.doctor, care.pharmacy, care.patient):
        assert session(settings_env, who).refusal(read, ticket["thread_id"], who.party_id) == "1"
        for other in (care.doctor, care.pharmacy, care.patient):
            if other is not who:
                assert session(settings_env, who).refusal(read, ticket["thread_id"], other.party_id) == "0"
    for stranger in (care.doctor2, care.pharmacy2):
        assert session(settings_env, stranger).refusal(read, ticket["thread_id"], care.doctor.party_id) == "0"


def test_a_draft_is_written_by_its_doctor_in_their_own_name(care: Care, settings_env: Settings) -> None:
    begun = ticket_at(care, TicketStatus.CREATED)
    keep = "INSERT INTO prescription_drafts (ticket_id, document, updated_by) VALUES (%s, '{}', %s)"
    assert session(settings_env, care.doctor).refusal(keep, begun["id"], care.doctor.person_id) == "1"
    assert session(settings_env, care.doctor).refusal(keep, begun["id"], care.doctor2.person_id) == "42501"
    for who in (care.pharmacy, care.patient, care.doctor2):
        assert session(settings_env, who).refusal(keep, begun["id"], who.person_id) == "42501"


def test_another_services_role_keeps_its_own_policies_and_gets_none_of_ours(care: Care, settings_env: Settings) -> None:
    """Of a service whose tables were adopted, or that just shares the database."""
    ticket = ticket_at(care, TicketStatus.SENT)
    role = f"upstream_{uuid4().hex}"
    with owner(settings_env.database_url) as cursor:
        cursor.execute(f"CREATE ROLE {role}")
        try:
            cursor.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
            cursor.execute(f"GRANT SELECT ON chat_threads TO {role}")
            cursor.execute(f"CREATE POLICY upstream ON chat_threads FOR SELECT TO {role} USING (order_type <> 'other')")
            cursor.execute(f"SET ROLE {role}")
            cursor.execute("SELECT set_config('dispatchlog.person', %s, false)", (str(care.doctor.person_id),))
            cursor.execute("SELECT count(*) FROM chat_threads WHERE ticket_id = %s", (str(ticket["id"]),))
            assert cursor.fetchone() == (1,)
            for call in (
                "care_identity(NULL, 1)",
                "care_party()",
                "care_put_party(gen_random_uuid(), 'doctor', 'x', NULL, true)",
                "care_put_person(gen_random_uuid(), gen_random_uuid(), 'x', NULL, true)",
                "care_unlink_person(gen_random_uuid())",
                "care_find_patient(NULL, 'sample.patient@example.org')",
                "tickets_unread('-1 day', 10)",
            ):
                with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="permission denied for function"):
                    cursor.execute(f"SELECT * FROM {call}")
        finally:
            cursor.execute("RESET ROLE")
            cursor.execute("DROP POLICY IF EXISTS upstream ON chat_threads")
            cursor.execute(f"DROP OWNED BY {role}")
            cursor.execute(f"DROP ROLE {role}")


def test_who_takes_part_is_changed_on_the_record(care: Care, settings_env: Settings) -> None:
    person, name = uuid4(), "Pharmacist New"
    for given in (name, name, "Pharmacist Renamed"):
        put_person(PersonInput(person, care.pharmacy.party_id, given), source="clinic")
    sql = "SELECT actor, detail ->> 'person' FROM operator_actions WHERE action = 'put_person'"
    assert stored(settings_env, sql) == [("service:clinic", str(person))] * 2
