"""What holds for a patient: the nearest level that says something, and who said it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from dispatchlog.engine.database import connected, execute
from dispatchlog.sealing import CannotUnsealError
from dispatchlog.systems.outreach import consents, contacts, patients, preferences
from dispatchlog.systems.outreach.inputs import OutreachError, PatientInput, PreferenceChange
from dispatchlog.systems.outreach.preferences import Preferences, Said, resolve
from dispatchlog.systems.outreach.states import Channel
from tests.outreach import builders
from tests.outreach.conftest import Desk

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


def test_of_reports_that_come_at_once_the_newest_wins() -> None:
    patient_id, now = uuid4(), datetime.now(UTC)

    def report(minute: int) -> None:
        builders.patient(id=patient_id, name=f"Name {minute}", reported_at=now + timedelta(minutes=minute))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(report, (3, 1, 7, 5, 2, 6, 4)))
    with connected():
        assert patients.patient(patient_id).name == "Name 7"
        assert [found.id for found in patients.find_patients("7 name")] == [patient_id]
        assert patients.find_patients("6 name") == []


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


def change(
    patient_id: UUID,
    source: str = "preference_page",
    wording: str = "",
    came_to: tuple[Channel, str] | None = None,
    **values: Any,
) -> Preferences:
    where = (came_to[0], contacts.address_hash(*came_to)) if came_to else None
    wanted = PreferenceChange(values, source=source, wording=wording, wording_version="3", language="en", came_to=where)
    asker = builders.STAFF if source == "staff" else builders.PATIENT
    with connected():
        return preferences.change(patient_id, wanted, asker=asker)


def told() -> list[tuple[str, dict[str, Any]]]:
    """What the audit says of preferences, but for the patient's own report."""
    found = builders.rows("SELECT action, details FROM comm_audit_log ORDER BY id")
    return [(line["action"], line["details"]) for line in found if "reported_by" not in line["details"]]


def test_a_change_holds_at_once_and_is_told_from_what_to_what() -> None:
    patient_id = builders.patient()
    found = change(patient_id, quiet_start="21:30", best_hour=18, language="PT-br", timezone="Europe/Lisbon")
    assert found.quiet_start == Said(time(21, 30), "patient")
    assert (found.language.value, found.timezone.value, found.version) == ("pt-BR", "Europe/Lisbon", 2)
    ((action, details),) = told()
    assert action == "preference_change"
    assert details["changes"]["best_hour"] == {"from": None, "to": 18}
    assert change(patient_id, best_hour=18).version == 2
    taken_back = change(patient_id, best_hour=None, quiet_start=None)
    assert taken_back.quiet_start == Said(time(22), "global")
    assert len(told()) == 2


def test_the_last_write_wins_and_both_are_told() -> None:
    patient_id = builders.patient()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda hour: change(patient_id, best_hour=hour), (9, 17)))
    first, second = (details["changes"]["best_hour"] for _, details in told())
    assert first["from"] is None
    assert second["from"] == first["to"]
    with connected():
        assert resolve(patient_id).best_hour.value == second["to"]


def test_an_address_that_is_chosen_goes_before_the_one_reported_and_is_told_nowhere() -> None:
    patient_id = builders.patient(country="US")
    found = change(patient_id, sms_number="(202) 555-0166", email_address="New.Sample@EXAMPLE.org")
    assert found.channels[Channel.SMS].address == Said("+12025550166", "patient")
    assert found.channels[Channel.WHATSAPP].address == Said(builders.PHONE, "core")
    assert found.channels[Channel.EMAIL].address.value == "New.Sample@example.org"
    with connected():
        assert patients.patients_at(Channel.SMS, "+12025550166") == [patient_id]
        assert patients.patients_at(Channel.SMS, builders.PHONE) == []
    assert "555" not in str(told())
    assert "ample" not in str(told())
    assert change(patient_id, sms_number=None).channels[Channel.SMS].address == Said(builders.PHONE, "core")


def test_turning_a_channel_off_and_on_is_kept_as_evidence_and_cancels_what_waits(desk: Desk) -> None:
    patient_id = builders.patient()
    text, mail = (builders.job(desk.lane, patient_id, channel) for channel in (Channel.SMS, Channel.EMAIL))
    assert not change(patient_id, allow_sms=False).channels[Channel.SMS].enabled.value
    assert builders.read(desk.lane, text)["status"] == "CANCELLED"
    assert builders.read(desk.lane, mail)["status"] == "PENDING"
    change(patient_id, allow_sms=None)
    kept = builders.rows("SELECT channel, given, source, wording_version FROM comm_consents ORDER BY id")
    assert [(e["channel"], e["given"], e["source"]) for e in kept] == [
        ("sms", False, "preference_page"),
        ("sms", True, "preference_page"),
    ]
    assert [action for action, _ in told()].count("opt_out") == 1


def test_a_stop_is_lifted_by_whoever_reads_at_that_address_alone() -> None:
    patient_id = builders.patient()
    with connected():
        consents.stop(Channel.SMS, builders.PHONE, source="reply", asker=builders.PATIENT)
    there, by_mail = (Channel.SMS, builders.PHONE), (Channel.EMAIL, builders.EMAIL)
    elsewhere, as_whatsapp = (Channel.SMS, "+12025550124"), (Channel.WHATSAPP, builders.PHONE)
    for source, wording, came_to, code in (
        ("staff", "Yes", None, "STOPPED_BY_PATIENT"),
        ("patient", "Yes", by_mail, "STOPPED_BY_PATIENT"),
        ("patient", "Yes", elsewhere, "STOPPED_BY_PATIENT"),
        ("patient", "Yes", as_whatsapp, "STOPPED_BY_PATIENT"),
        ("patient", " ", there, "WORDING_REQUIRED"),
    ):
        with pytest.raises(OutreachError) as refused:
            change(patient_id, source, wording, came_to, allow_sms=True, best_hour=9)
        assert refused.value.code == code
    with connected():
        found = resolve(patient_id)
    assert (found.best_hour.value, found.channels[Channel.SMS].stopped_by) == (None, "reply")
    lifted = change(patient_id, "patient", "Text me again.", there, allow_sms=True)
    assert lifted.channels[Channel.SMS].stopped_at is None
    assert "Text me again." in {e["wording"] for e in builders.rows("SELECT wording FROM comm_consents")}


def test_marketing_is_turned_on_with_its_words_and_off_without() -> None:
    patient_id = builders.patient()
    with pytest.raises(OutreachError) as refused:
        change(patient_id, marketing_opt_in_email=True, best_hour=9)
    assert refused.value.code == "WORDING_REQUIRED"
    with connected():
        assert resolve(patient_id).best_hour.value is None
    agreed = change(
        patient_id, wording="Health tips by e-mail.", marketing_opt_in_email=True, marketing_opt_in_sms=False
    )
    assert agreed.channels[Channel.EMAIL].marketing_opt_in.value
    assert not change(patient_id, marketing_opt_in_email=None).channels[Channel.EMAIL].marketing_opt_in.value
    kept = builders.rows("SELECT channel, purpose_class, given, wording, language FROM comm_consents ORDER BY id")
    assert [tuple(e.values()) for e in kept] == [
        ("email", "marketing", True, "Health tips by e-mail.", "en"),
        ("email", "marketing", False, "", "en"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("timezone", "EST5EDT4", "INVALID_TIMEZONE"),
        ("language", "english", "INVALID_LANGUAGE"),
        ("quiet_start", "25:00", "INVALID_TIME"),
        ("quiet_end", 8, "INVALID_TIME"),
        ("best_hour", 24, "INVALID_HOUR"),
        ("best_hour", True, "INVALID_HOUR"),
        ("email_address", "nobody", "INVALID_EMAIL"),
        ("sms_number", "12", "INVALID_PHONE"),
        ("allow_sms", "false", "INVALID_VALUE"),
        ("marketing_opt_in_sms", "no", "INVALID_VALUE"),
        ("version", 7, "UNKNOWN_FIELD"),
    ],
)
def test_a_choice_that_cannot_be_is_told_and_changes_nothing(name: str, value: Any, code: str) -> None:
    patient_id = builders.patient()
    before = builders.rows("SELECT * FROM patient_comm_prefs")
    with pytest.raises(OutreachError) as refused:
        change(patient_id, work_start="10:00", **{name: value})
    assert (refused.value.code, refused.value.field) == (code, name)
    assert builders.rows("SELECT * FROM patient_comm_prefs") == before
    assert told() == []


def change_defaults(level: str, owner: UUID | None, **values: Any) -> None:
    with connected():
        preferences.change_defaults(level, owner, values, asker=builders.STAFF)


def test_defaults_of_a_clinic_hold_for_its_patients_until_taken_back() -> None:
    clinic = builders.organization()
    patient_id = builders.patient(organization_id=clinic)
    change_defaults("organization", clinic, quiet_start="20:00", allow_whatsapp=True)
    with connected():
        assert resolve(patient_id).quiet_start == Said(time(20), "organization")
        assert resolve(patient_id).channels[Channel.WHATSAPP].enabled == Said(True, "organization")
    change_defaults("organization", clinic, quiet_start=None)
    change_defaults("global", None, quiet_start="23:00")
    with connected():
        assert resolve(patient_id).quiet_start == Said(time(23), "global")
        assert preferences.defaults("organization", clinic)["quiet_start"] is None
        assert preferences.defaults("global", None)["quiet_start"] == time(23)
        assert set(preferences.defaults("provider", uuid4()).values()) == {None}
    assert [details["level"] for _, details in told()] == ["organization", "organization", "global"]


@pytest.mark.parametrize(
    ("level", "owner", "values", "code", "field"),
    [
        ("global", None, {"timezone": None}, "VALUE_REQUIRED", "timezone"),
        ("organization", uuid4(), {"best_hour": 3}, "ORGANIZATION_NOT_FOUND", "organization_id"),
        ("provider", uuid4(), {"best_hour": 3}, "PROVIDER_NOT_FOUND", "provider_id"),
        ("provider", None, {"best_hour": 3}, "PROVIDER_NOT_FOUND", "owner_id"),
        ("planet", None, {"best_hour": 3}, "UNKNOWN_FIELD", "level"),
        ("global", None, {"marketing_opt_in_sms": True}, "UNKNOWN_FIELD", "marketing_opt_in_sms"),
    ],
)
def test_defaults_that_cannot_be_are_told(
    level: str, owner: UUID | None, values: dict[str, Any], code: str, field: str
) -> None:
    with pytest.raises(OutreachError) as refused:
        change_defaults(level, owner, **values)
    assert (refused.value.code, refused.value.field) == (code, field)
    assert told() == []


def test_patients_are_found_by_id_address_number_and_whole_words_of_their_name() -> None:
    builders.organization(country="US")
    zoe = builders.patient(name="Zoë Ana Example", email="zoe@example.org", phone="+12025550111")
    ana = builders.patient(name="Ana Sample", email="ana@example.org", phone="+12025550112")
    with connected():

        def found(text: str) -> list[UUID]:
            return [record.id for record in patients.find_patients(text)]

        assert found(str(zoe)) == [zoe]
        assert found("ZOE@example.org") == [zoe]
        assert found("(202) 555-0112") == [ana]
        assert found("ana") == [ana, zoe]
        assert found("example zoe") == [zoe]
        assert found("exam") == []
        assert found("ana nobody") == []
        assert found(" - ") == []
        assert found("@") == []
        assert len(patients.find_patients("ana", limit=1)) == 1
