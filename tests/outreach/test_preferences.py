"""What holds for a patient: the nearest level that says something, and who said it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from uuid import uuid4

import pytest

from dispatchlog.engine.database import connected, execute
from dispatchlog.sealing import CannotUnsealError
from dispatchlog.systems.outreach import patients
from dispatchlog.systems.outreach.inputs import OutreachError, PatientInput
from dispatchlog.systems.outreach.preferences import Said, resolve
from dispatchlog.systems.outreach.states import Channel
from tests.outreach import builders

pytestmark = pytest.mark.usefixtures("application")


def test_each_value_comes_from_the_nearest_level_that_says_something() -> None:
    clinic = builders.organization()
    doctor = builders.provider(clinic)
    patient_id = builders.patient(organization_id=None, provider_id=doctor, timezone=None, language="es")
    with connected():
        for level, owner, hour, start in (("organization", clinic, 11, time(20)), ("provider", doctor, 10, None)):
            execute(
                "INSERT INTO comm_pref_defaults (id, level, owner_id, best_hour, quiet_start) VALUES (%s, %s, %s, %s, %s)",
                (uuid4(), level, owner, hour, start),
            )
    builders.says(patient_id, quiet_end=time(9, 30))
    with connected():
        found = resolve(patient_id)
    assert found.quiet_end == Said(time(9, 30), "patient")
    assert found.language == Said("es", "core")
    assert found.best_hour == Said(10, "provider")
    assert found.quiet_start == Said(time(20), "organization")
    assert found.timezone == Said("America/New_York", "global")
    assert found.organization_id == clinic
    whatsapp = found.channels[Channel.WHATSAPP]
    assert (whatsapp.enabled, whatsapp.address) == (Said(False, "global"), Said(builders.PHONE, "core"))
    assert whatsapp.marketing_opt_in == Said(False, "patient")


def test_what_is_said_for_another_owner_does_not_hold() -> None:
    clinic, doctor = builders.organization(), builders.provider()
    patient_id = builders.patient(organization_id=clinic, provider_id=doctor)
    with connected():
        # A level is its kind and its owner: nothing else is taken although the ids fit.
        for level, owner in (("organization", doctor), ("provider", clinic)):
            execute(
                "INSERT INTO comm_pref_defaults (id, level, owner_id, best_hour) VALUES (%s, %s, %s, 3)",
                (uuid4(), level, owner),
            )
        assert resolve(patient_id).best_hour == Said(None, "global")


def test_an_unknown_patient_is_told() -> None:
    with connected(), pytest.raises(OutreachError) as refused:
        resolve(uuid4())
    assert refused.value.code == "PATIENT_NOT_FOUND"


def test_an_older_report_of_a_patient_changes_nothing() -> None:
    now = datetime.now(UTC)
    patient_id = builders.patient(reported_at=now)
    with connected():
        older = PatientInput(patient_id, "Old Name", reported_at=now - timedelta(seconds=1))
        assert not patients.put_patient(older, source="test", asker=builders.ASKER)
        newer = PatientInput(patient_id, "New Name", phone="(202) 555-0199", country="US", reported_at=now)
        assert patients.put_patient(newer, source="test", asker=builders.ASKER)
        found = patients.patient(patient_id)
        assert (found.name, found.email, found.phone, found.version) == ("New Name", None, "+12025550199", 3)
        assert patients.patients_at(Channel.SMS, "+12025550199") == [patient_id]
        assert patients.patients_at(Channel.SMS, builders.PHONE) == []
        assert patients.patients_at(Channel.EMAIL, builders.EMAIL) == []


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"email": "nobody"}, "INVALID_EMAIL", "email"),
        ({"phone": "+1 202 555"}, "INVALID_PHONE", "phone"),
        ({"timezone": "posix/Europe/Paris"}, "INVALID_TIMEZONE", "timezone"),
        ({"timezone": "Mars/Olympus"}, "INVALID_TIMEZONE", "timezone"),
        ({"language": "English"}, "INVALID_LANGUAGE", "language"),
        ({"country": "USA"}, "INVALID_COUNTRY", "country"),
        ({"name": " "}, "INVALID_TEXT", "name"),
        ({"organization_id": uuid4()}, "ORGANIZATION_NOT_FOUND", "organization_id"),
        ({"provider_id": uuid4()}, "PROVIDER_NOT_FOUND", "provider_id"),
    ],
)
def test_what_cannot_be_so_is_told_with_its_field_and_stores_nothing(
    values: dict[str, object], code: str, field: str
) -> None:
    with pytest.raises(OutreachError) as refused:
        builders.patient(**values)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert builders.rows("SELECT * FROM patients") == []


def test_a_copy_of_the_tables_tells_no_address() -> None:
    builders.patient()
    stored = [
        bytes(value)
        for table in ("patients", "comm_addresses", "patient_names", "comm_audit_log")
        for row in builders.rows(f"SELECT * FROM {table}")
        for value in row.values()
        if isinstance(value, memoryview)
    ]
    audited = str(builders.rows("SELECT * FROM comm_audit_log")).lower().encode()
    assert stored
    for clear in (b"sample", b"2025550123", b"example"):
        assert all(clear not in text.lower() for text in (*stored, audited))


def test_a_row_sealed_for_another_patient_does_not_open() -> None:
    patient_id, other = builders.patient(), builders.patient(email="other.sample@example.org")
    with connected():
        execute(
            "UPDATE patients p SET email_sealed = o.email_sealed FROM patients o WHERE p.id = %s AND o.id = %s",
            (patient_id, other),
        )
        for asked in (patients.patient, resolve):
            with pytest.raises(CannotUnsealError):
                asked(patient_id)
        assert patients.patient(other).email == "other.sample@example.org"
