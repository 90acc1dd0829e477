"""Owns an upstream service's old tables of prescriptions and threads, and what a real one would hold. Asserts nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

OLD_TABLES = """
CREATE TABLE prescriptions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    appointment_id uuid,
    patient_id uuid NOT NULL,
    doctor_id uuid NOT NULL,
    pharmacy_id uuid,
    notes text,
    printed boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE chat_threads (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    order_id uuid,
    order_type text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE chat_thread_members (
    thread_id uuid NOT NULL REFERENCES chat_threads (id) ON DELETE CASCADE,
    user_id uuid NOT NULL,
    PRIMARY KEY (thread_id, user_id)
);
CREATE TABLE chat_messages (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    thread_id uuid NOT NULL REFERENCES chat_threads (id) ON DELETE CASCADE,
    sender_id uuid NOT NULL,
    content text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE heard (what text);
CREATE FUNCTION hear() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO heard VALUES (TG_TABLE_NAME); RETURN NULL; END $$;
CREATE TRIGGER hear AFTER UPDATE ON prescriptions FOR EACH ROW EXECUTE FUNCTION hear();
CREATE TRIGGER hear AFTER UPDATE ON chat_threads FOR EACH ROW EXECUTE FUNCTION hear();
CREATE TRIGGER hear AFTER UPDATE ON chat_thread_members FOR EACH ROW EXECUTE FUNCTION hear();
CREATE TRIGGER hear AFTER UPDATE ON chat_messages FOR EACH ROW EXECUTE FUNCTION hear();
"""
# Ids that can be told from their number, so that tests can ask for them: who is who in every order.
_ID = "('00000000-0000-4000-{kind}-' || lpad(to_hex({number}), 12, '0'))::uuid"
MANY = """
INSERT INTO prescriptions (id, appointment_id, doctor_id, patient_id, pharmacy_id, notes, created_at)
    SELECT {prescription}, {order}, {doctor}, {patient}, {pharmacy}, 'twice a day',
        timestamptz '2025-03-01 12:00Z' + n * interval '1 minute'
    FROM generate_series(1, {count}) n;
INSERT INTO chat_threads (id, order_id, order_type, created_at)
    SELECT {thread}, {order}, 'prescription', timestamptz '2025-03-01 11:00Z' + n * interval '1 minute'
    FROM generate_series(1, {count}) n;
INSERT INTO chat_thread_members
    SELECT {thread}, member FROM generate_series(1, {count}) n,
        unnest(ARRAY[{doctor_person}, {pharmacist}, {patient}]) member;
INSERT INTO chat_messages (thread_id, sender_id, content, created_at)
    SELECT {thread}, CASE WHEN m % 2 = 1 THEN {doctor_person} ELSE {pharmacist} END, 'message ' || m,
        timestamptz '2025-03-01 13:00Z' + n * interval '1 minute' + m * interval '1 second'
    FROM generate_series(1, {count}) n, generate_series(1, {messages}) m
"""
WHO = """
INSERT INTO care_parties (id, kind, name)
    SELECT {doctor}, 'doctor', 'Doctor ' || n FROM generate_series(0, 9) n
    UNION ALL SELECT {pharmacy}, 'pharmacy', 'Pharmacy ' || n FROM generate_series(0, 9) n
    UNION ALL SELECT {patient}, 'patient', 'Patient ' || n FROM generate_series(0, 99) n;
INSERT INTO care_people (id, party_id, name)
    SELECT {doctor_person}, {doctor}, 'Doctor ' || n FROM generate_series(0, 9) n
    UNION ALL SELECT {pharmacist}, {pharmacy}, 'Pharmacist ' || n FROM generate_series(0, 9) n
"""
_KINDS = {
    "prescription": ("8001", "n"),
    "order": ("8002", "n"),
    "thread": ("8003", "n"),
    "doctor": ("8004", "n % 10"),
    "doctor_person": ("8005", "n % 10"),
    "pharmacy": ("8006", "n % 10"),
    "pharmacist": ("8007", "n % 10"),
    "patient": ("8008", "n % 100"),
}


def _sql(text: str, **numbers: int) -> str:
    ids = {name: _ID.format(kind=kind, number=number) for name, (kind, number) in _KINDS.items()}
    return text.format(**ids, **numbers)


def old_id(what: str, number: int) -> UUID:
    """The id of what belongs to the order of this number."""
    kind, expression = _KINDS[what]
    _, _, modulo = expression.partition("% ")
    return UUID(f"00000000-0000-4000-{kind}-{number % int(modulo) if modulo else number:012x}")


def make_old_tables(cursor: Any, *, count: int = 0, messages: int = 3) -> None:
    """The old tables, with so many prescriptions that each have a thread: doctors and pharmacists as people, patients as
    parties.
    """
    cursor.execute(OLD_TABLES)
    if count:
        cursor.execute(_sql(MANY, count=count, messages=messages))


def report_everybody(cursor: Any) -> None:
    """The parties and people of all of them, as their services report them once the tables are migrated."""
    cursor.execute(_sql(WHO))
