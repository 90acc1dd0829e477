"""Owns small rows of outreach for tests: whoever a message needs to exist, made through the product where it has a way."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.row_content import COMM_INBOUND, COMM_JOBS
from dispatchlog.systems.outreach import contacts, patients
from dispatchlog.systems.outreach.inputs import Asker, OrganizationInput, PatientInput, ProviderInput
from dispatchlog.systems.outreach.states import Channel, Purpose

ASKER = Asker("service:clinic", ip_address="203.0.113.7", user_agent="core/1.0")
STAFF = Asker("staff@example.org", user_id=7, ip_address="203.0.113.8", user_agent="browser")
PATIENT = Asker("patient", ip_address="203.0.113.9", user_agent="telephone")
EMAIL = "jo.sample@example.org"
PHONE = "+12025550123"
DUE = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)


def zone_where_it_is(hour: int) -> str:
    """A zone in which a clock shows this hour now."""
    ahead = (hour - datetime.now(UTC).hour + 11) % 24 - 11
    return f"Etc/GMT{-ahead:+d}"


def organization(**values: Any) -> UUID:
    """A clinic."""
    made = OrganizationInput(**{"id": uuid4(), "name": "Sample Clinic", "phone": "+1 202 555 0100", **values})
    with connected():
        patients.put_organization(made, source="test")
    return made.id


def provider(organization_id: UUID | None = None, **values: Any) -> UUID:
    """Somebody who treats patients."""
    made = ProviderInput(**{"id": uuid4(), "name": "Dr Sample", "organization_id": organization_id, **values})
    with connected():
        patients.put_provider(made, source="test")
    return made.id


def patient(**values: Any) -> UUID:
    """A patient with an e-mail address and a telephone; it is about noon there unless `values` say otherwise."""
    given: dict[str, Any] = {
        "id": uuid4(),
        "name": "Jo Sample",
        "email": EMAIL,
        "phone": PHONE,
        "country": "US",
        "region": "NY",
        "timezone": zone_where_it_is(12),
    }
    made = PatientInput(**{**given, **values})
    with connected():
        patients.put_patient(made, source="test", asker=ASKER)
    return made.id


def says(patient_id: UUID, **columns: Any) -> None:
    """Put what a patient chose straight into the table."""
    settings = ", ".join(f"{column} = %s" for column in columns)
    with connected():
        execute(
            f"UPDATE patient_comm_prefs SET {settings} WHERE patient_id = %s",
            (*columns.values(), patient_id),
        )


def template(
    purpose: Purpose = Purpose.APPT_REMINDER, channel: Channel = Channel.SMS, *, language: str = "en", **values: Any
) -> UUID:
    """A template with its first version, straight into the tables; the active one of its place if there is one."""
    body = values.pop("body", "We look forward to seeing you.")
    subject = values.pop("subject", "Your appointment") if channel is Channel.EMAIL else None
    variables = json.dumps(values.pop("variables", []))
    with transaction("test"):
        execute(
            "SELECT pg_advisory_xact_lock(hashtext('tests: one template of a place'))"
        )  # threads ask for the same one
        found = fetch_dicts(
            "SELECT id FROM comm_templates WHERE purpose = %s AND channel = %s AND language = %s AND is_active"
            " AND organization_id IS NULL AND provider_id IS NULL",
            (purpose, channel, language),
        )
        if found:
            return UUID(str(found[0]["id"]))
        template_id = uuid4()
        execute(
            "INSERT INTO comm_templates (id, name, purpose, channel, language, subject, body, variables, is_marketing)"
            " VALUES (%s, 'Sample', %s, %s, %s, %s, %s, %s, %s)",
            (
                template_id,
                purpose,
                channel,
                language,
                subject,
                body,
                variables,
                purpose is Purpose.CAMPAIGN_EDUCATION,
            ),
        )
        execute(
            "INSERT INTO comm_template_versions (template_id, version, subject, body, variables, written_by)"
            " VALUES (%s, 1, %s, %s, %s, 'test')",
            (template_id, subject, body, variables),
        )
    return template_id


def appointment(patient_id: UUID, *, starts_at: datetime, **columns: Any) -> UUID:
    """An appointment, straight into the table."""
    values = {"id": uuid4(), "patient_id": patient_id, "starts_at": starts_at, **columns}
    names = ", ".join(values)
    with connected():
        execute(
            f"INSERT INTO comm_appointments ({names}) VALUES ({', '.join(['%s'] * len(values))})",
            tuple(values.values()),
        )
    return UUID(str(values["id"]))


def job(
    lane: Lane, patient_id: UUID, channel: Channel = Channel.SMS, *, recipient: str | None = None, **columns: Any
) -> UUID:
    """A waiting message of the lane `comm_job`, due at once unless `columns` say otherwise."""
    purpose = Purpose(columns.pop("purpose", Purpose.APPT_REMINDER))
    address = recipient or (EMAIL if channel is Channel.EMAIL else PHONE)
    row = {
        "route": {"email": "email-smtp", "sms": "sms-twilio", "whatsapp": "whatsapp-cloud"}[channel],
        "patient_id": patient_id,
        "template_id": template(purpose, channel),
        "template_version": 1,
        "purpose": str(purpose),
        "channel": str(channel),
        "language": "en",
        "is_marketing": purpose is Purpose.CAMPAIGN_EDUCATION,
        "recipient": address,
        "recipient_hash": contacts.address_hash(channel, address),
        "subject": "Your appointment" if channel is Channel.EMAIL else None,
        "body": "We look forward to seeing you.",
        "scheduled_at": DUE,
        "subject_id": f"patient:{patient_id}",
        **columns,
    }
    for name in ("decision", "variables"):
        row[name] = json.dumps(row.get(name, {}))
    with transaction("test"):
        (job_id,) = ledger.enqueue(lane, [row])
    return job_id


def read(lane: Lane, job_id: UUID) -> dict[str, Any]:
    """A row of the lane as it stands."""
    with connected():
        return dict(lane.opened(fetch_dicts(f"SELECT * FROM {lane.table} WHERE id = %s", (job_id,))[0]))


def rows(sql: str, *params: Any) -> list[dict[str, Any]]:
    """What a query finds; messages to and from patients opened, where it selects `id` and `sealed`."""
    with connected():
        found = fetch_dicts(sql, params)
    return [dict((COMM_INBOUND if "from_address" in row else COMM_JOBS).opened(row)) for row in found]
