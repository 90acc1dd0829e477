"""Owns two patients with rows in every system, each with words of their own in everything that can hold words."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.content import pack
from dispatchlog.engine.database import execute, transaction
from dispatchlog.engine.lanes import Letter
from dispatchlog.keys.columns import PORTAL_TEXTS
from dispatchlog.retention.belongings import lanes
from dispatchlog.retention.erasure import _triggers_off
from dispatchlog.row_content import PAYLOADS, SEALED, SealedRow
from dispatchlog.sealing import seal
from dispatchlog.systems.outreach import contacts, patients
from dispatchlog.systems.outreach.inputs import Asker, PatientInput
from dispatchlog.systems.outreach.states import Channel

_numbers = count(1)
ASKER = Asker("service:test")
SEALED_ROWS = {column.table: column for column in SEALED if isinstance(column, SealedRow)}
LANES = {each.table: each.lane for each in lanes()}


@dataclass
class Shared:
    """What both have to do with: a pharmacy, a school, a doctor, a template."""

    pharmacy: UUID = field(default_factory=uuid4)
    school: UUID = field(default_factory=uuid4)
    doctor: UUID = field(default_factory=uuid4)
    party: UUID = field(default_factory=uuid4)
    template: UUID = field(default_factory=uuid4)


@dataclass
class Neighbour:
    """One patient: `word` stands in every text of theirs, also in the name and the address."""

    word: str
    phone: str
    id: UUID = field(default_factory=uuid4)
    order: UUID = field(default_factory=uuid4)
    ticket: UUID = field(default_factory=uuid4)
    dispatches: dict[str, UUID] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"Jo {self.word}"

    @property
    def email(self) -> str:
        return f"jo.{self.word}@example.org"

    @property
    def student(self) -> str:
        return f"S-{self.word}"

    @property
    def canaries(self) -> list[str]:
        return [self.word, self.phone, self.email]


def insert(table: str, **columns: Any) -> None:
    """A row as the product writes it: sealed where it seals."""
    if table in SEALED_ROWS:
        columns = SEALED_ROWS[table].sealing(columns)
    values = [json.dumps(each) if isinstance(each, dict) else each for each in columns.values()]
    execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(values))})", tuple(values))


def make_shared() -> Shared:
    shared = Shared()
    with transaction("test"):
        insert(
            "pharmacies",
            id=shared.pharmacy,
            code="PH-1",
            name="Pharmacy",
            phone="",
            email="ph@example.org",
            address="1 Road",
            latitude=1,
            longitude=1,
        )
        insert("schools", id=shared.school, code="SC1", name="School")
        for party, kind in ((shared.doctor, "doctor"), (shared.party, "pharmacy")):
            execute("SELECT care_put_party(%s, %s, 'Dr North', 'north@example.org', true)", (party, kind))
        insert(
            "comm_templates",
            id=shared.template,
            name="Sample",
            purpose="appt_reminder",
            channel="email",
            subject="s",
            body="b",
        )
    return shared


def make(word: str, phone: str, shared: Shared, *, settled: bool = True, age: str = "11 years") -> Neighbour:
    """A patient known to all five systems, whose messages have been sent, `age` ago."""
    who = Neighbour(word, phone)
    with transaction("test"):
        patients.put_patient(
            PatientInput(
                who.id, who.name, email=who.email, phone=who.phone, country="US", tags=(f"tag{word}".lower(),)
            ),
            source="test",
            asker=ASKER,
        )
        _kits(who)
        _courier(who, shared)
        _school(who, shared)
        _tickets(who, shared)
        _outreach(who, shared)
        if settled:
            for table, dispatch_id in who.dispatches.items():
                _send(table, dispatch_id, who, age)
        for table in ("visits", "pharmacy_orders", "prescriptions"):
            with _triggers_off({table}):
                execute(f"UPDATE {table} SET created_at = created_at - interval '{age}'")
                if table == "visits":
                    execute(f"UPDATE visits SET visited_at = visited_at - interval '{age}'")
    return who


def _dispatch(who: Neighbour, table: str, **columns: Any) -> None:
    who.dispatches[table] = uuid4()
    seal_of = SEALED_ROWS.get(table)
    insert(
        table,
        id=who.dispatches[table],
        search_keys=[seal_of.search_key(who.email) if seal_of else who.email, who.word],
        subject_id=columns.pop("subject_id", f"order:{who.order}"),
        **columns,
    )


def _send(table: str, dispatch_id: UUID, who: Neighbour, age: str) -> None:
    execute(
        f"UPDATE {table} SET status = 'QUEUED', claim_token = gen_random_uuid(), claimed_by = 1, claimed_at = now(),"
        " last_error = %s WHERE id = %s",
        (f"550 <{who.email}> is busy", dispatch_id),
    )
    execute(
        f"UPDATE {table} SET status = 'SENT', sent_at = now() - interval '{age}', updated_at = now() - interval '{age}'"
        " WHERE id = %s",
        (dispatch_id,),
    )
    letter = Letter(who.email, f"Dear {who.name}".encode(), headers={"to": who.name})
    sealed = PAYLOADS.seal(pack(letter), dispatch_id)
    plain = {"recipient": letter.recipient, "headers": dict(letter.headers), "body": letter.body}
    insert(
        "dispatch_payloads",
        dispatch_id=dispatch_id,
        generation=1,
        lane=LANES[table],
        content_type="text/plain",
        sha256=b"x",
        **(plain if sealed is None else {"recipient": "", "sealed": sealed}),
    )
    insert(
        "dispatch_attempts",
        lane=LANES[table],
        dispatch_id=dispatch_id,
        claim_token=uuid4(),
        number=1,
        generation=1,
        worker_id=1,
        gateway="smtp",
        outcome="ACCEPTED",
        message=f"250 {who.email}",
        evidence={"to": who.email},
    )


def _kits(who: Neighbour) -> None:
    kit = {"order_id": who.order, "kit_id": f"K-{who.order}"}
    mail = {**kit, "order_number": "O-1", "practitioner_id": uuid4(), "recipient_email": who.email}
    insert("orders", id=who.order, order_number="O-1", status="shipped")
    insert("order_kits", id=uuid4(), **kit, recipient_email=who.email)
    _dispatch(who, "kit_registrations", **mail)
    _dispatch(who, "health_information_dispatch_logs", **mail, registered_at="2015-01-05T12:00Z")


def _courier(who: Neighbour, shared: Shared) -> None:
    order, dispatch = who.order, uuid4()
    insert(
        "pharmacy_orders",
        id=order,
        order_number=f"PO-{order}",
        pharmacy_id=shared.pharmacy,
        patient_id=str(who.id),
        patient_name=who.name,
        patient_phone=who.phone,
        patient_email=who.email,
        address=f"1 {who.word} Road",
        city=who.word,
        latitude=1,
        longitude=1,
        address_note=f"ask {who.word}",
        currency="USD",
        total_minor=1,
        payment_reference=who.word,
        document_sha256=b"x",
        source="test",
        trace_id="",
    )
    insert("pharmacy_order_items", order_id=order, number=1, name=f"Pills for {who.word}", quantity=1)
    insert(
        "courier_dispatches",
        id=dispatch,
        order_id=order,
        attempt=1,
        courier="generic",
        tracking_url=f"https://c.example.org/{who.word}",
        failure_reason=f"{who.word} not at home",
        job_references={"to": who.word},
        trace_id="",
    )
    insert(
        "courier_events",
        courier="generic",
        event_id=str(dispatch),
        source="webhook",
        dispatch_id=dispatch,
        raw_status="x",
        body={"recipient": who.name},
        reason=f"{who.word} said so",
    )
    of_order = {"order_id": order, "courier_dispatch_id": dispatch, "order_number": f"PO-{order}"}
    _dispatch(who, "courier_bookings", **of_order, attempt=1, courier="generic")
    _dispatch(who, "courier_cancellations", **of_order, request=1, courier="generic", courier_reference="r")
    _dispatch(
        who,
        "courier_messages",
        **of_order,
        kind="UPDATE",
        about="BOOKED",
        recipient_role="PATIENT",
        recipient_email=who.email,
    )


def _school(who: Neighbour, shared: Shared) -> None:
    visit = uuid4()
    student = {"student_number": who.student, "student_name": who.name}
    insert(
        "visits",
        id=visit,
        school_id=shared.school,
        number=f"V{str(visit)[:8]}",
        kind="ASSESSMENT",
        visited_at="2026-01-05T12:00Z",
        **student,
        record={"note": f"{who.word} has a cold"},
        record_sha256=b"x",
        source="test",
    )
    _dispatch(
        who,
        "hl7_messages",
        route="SC1",
        visit_id=visit,
        school_id=shared.school,
        message_type="ADT^A04",
        control_id=f"C{str(visit)[:8]}",
        body=f"PID|{who.name}".encode(),
        **student,
        record={"note": who.word},
        subject_id=f"student:SC1:{who.student}",
        ordering_key=f"SC1:{who.student}",
    )


def _tickets(who: Neighbour, shared: Shared) -> None:
    prescription, thread, person = uuid4(), uuid4(), uuid4()
    execute("SELECT care_put_party(%s, 'patient', %s, %s, true)", (who.id, who.name, who.email))
    execute("SELECT care_put_person(%s, %s, %s, NULL, true)", (person, who.id, who.name))
    tables = {
        "healthcare_tickets",
        "prescriptions",
        "prescription_items",
        "prescription_drafts",
        "chat_threads",
        "chat_messages",
    }
    with _triggers_off(tables):
        insert(
            "healthcare_tickets",
            id=who.ticket,
            ticket_number=f"TKT-20260105-{next(_numbers):05d}",
            ticket_type="prescription",
            appointment_id=uuid4(),
            patient_id=who.id,
            primary_provider_id=shared.doctor,
            secondary_provider_id=shared.party,
        )
        of_patient = {"patient_id": who.id, "doctor_id": shared.doctor, "pharmacy_id": shared.pharmacy}
        insert(
            "prescriptions", id=prescription, ticket_id=who.ticket, appointment_id=uuid4(), **of_patient, notes=who.word
        )
        insert(
            "prescription_items", prescription_id=prescription, number=1, name=f"for {who.word}", instructions=who.word
        )
        insert("prescription_drafts", ticket_id=who.ticket, document={"for": who.word}, updated_by=shared.doctor)
        insert("chat_threads", id=thread, ticket_id=who.ticket)
        for number, sender in enumerate((person, shared.doctor), 1):
            insert(
                "chat_messages",
                id=uuid4(),
                thread_id=thread,
                number=number,
                sender_id=sender,
                client_message_id=uuid4(),
                body=f"about {who.word}",
            )
    _dispatch(
        who,
        "ticket_notifications",
        ticket_id=who.ticket,
        ticket_number="RX-1",
        ticket_type="prescription",
        kind="SENT",
        about="1",
        party_id=who.id,
        recipient_email=who.email,
        subject_id=f"ticket:{who.ticket}",
    )


def _outreach(who: Neighbour, shared: Shared) -> None:
    of_patient = {"patient_id": who.id}
    _dispatch(
        who,
        "comm_jobs",
        **of_patient,
        route="email-smtp",
        template_id=shared.template,
        template_version=1,
        purpose="appt_reminder",
        channel="email",
        language="en",
        recipient=who.email,
        recipient_hash=contacts.address_hash(Channel.EMAIL, who.email),
        subject=f"For {who.word}",
        body=f"Dear {who.word}",
        variables={"name": who.name},
        preferences_link=f"https://x.example.org/{who.word}",
        scheduled_at="2026-01-05T12:00Z",
        decision={},
        subject_id=f"patient:{who.id}",
    )
    job = who.dispatches["comm_jobs"]
    insert(
        "comm_events",
        provider="sendgrid",
        event_key=str(job),
        source="generic",
        job_id=job,
        raw_status="delivered",
        body={"to": who.email},
    )
    insert(
        "comm_inbound",
        **of_patient,
        id=uuid4(),
        channel="email",
        from_address=who.email,
        to_address="clinic@example.org",
        body=f"{who.word} cannot come",
        provider="smtp",
        event_key=str(job),
        source="generic",
    )
    insert(
        "comm_consents",
        **of_patient,
        channel="email",
        purpose_class="all",
        given=True,
        source="reply",
        actor="patient",
        evidence={"said": who.word},
        user_agent=f"browser of {who.word}",
    )
    link = uuid4()
    insert(
        "comm_portal_tokens",
        **of_patient,
        id=link,
        token_hash=str(job).encode(),
        kind="message",
        job_id=job,
        content_sealed=seal(who.word, purpose=PORTAL_TEXTS, owner=str(link)),
        expires_at="2026-01-05T12:00Z",
    )
