"""What is refused when a visit is reported, by field and reason, and what is only warned of."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from dispatchlog.systems.hl7.checks import VisitError, check_visit
from dispatchlog.systems.hl7.records import Allergy, Appointment, Diagnosis, Immunisation, Problem, Provider, Visit
from tests.systems.hl7.visits import AT, STUDENT, VISIT, VITALS

GUARDIAN = STUDENT.guardian
ADDRESS = STUDENT.address
APPOINTMENT = VISIT.appointment
assert GUARDIAN
assert ADDRESS
assert APPOINTMENT


def student(**changed: object) -> Visit:
    return replace(VISIT, student=replace(STUDENT, **changed))


def vitals(**changed: Decimal) -> Visit:
    return replace(VISIT, vitals=replace(VITALS, **changed))


def dose(**changed: object) -> Visit:
    return replace(VISIT, immunisations=(replace(VISIT.immunisations[0], **changed),))


def faults(visit: Visit, message_type: str = "ADT^A04") -> list[tuple[str, str]]:
    with pytest.raises(VisitError) as refused:
        check_visit(visit, message_type)
    assert refused.value.field == refused.value.faults[0].field
    assert all(fault.field in fault.message for fault in refused.value.faults)
    return [(fault.field, fault.code) for fault in refused.value.faults]


@pytest.mark.parametrize(
    ("visit", "field", "code"),
    [
        (replace(VISIT, number=""), "number", "MISSING"),
        (replace(VISIT, number="9" * 21), "number", "TOO_LONG"),
        (replace(VISIT, visited_at=AT.replace(tzinfo=None)), "visitedAt", "NAIVE_DATE"),
        (replace(VISIT, patient_class="X"), "patientClass", "UNKNOWN_VALUE"),
        (replace(VISIT, notes="a\tb"), "notes", "CONTROL_CHARACTER"),
        (replace(VISIT, notes="\x0b"), "notes", "CONTROL_CHARACTER"),
        (replace(VISIT, notes='""'), "notes", "INVALID_TEXT"),
        (replace(VISIT, notes="x" * 65_537), "notes", "TOO_LONG"),
        (replace(VISIT, provider=Provider("D" * 16, "A", "B")), "provider.id", "TOO_LONG"),
        (student(id=" "), "student.id", "INVALID_TEXT"),
        (student(family_name=""), "student.familyName", "MISSING"),
        (student(family_name="x" * 51), "student.familyName", "TOO_LONG"),
        (student(given_name="Ali\rMSH|"), "student.givenName", "CONTROL_CHARACTER"),
        (student(given_name="Ali\ud800"), "student.givenName", "CONTROL_CHARACTER"),
        (student(given_name='""'), "student.givenName", "INVALID_TEXT"),
        (student(given_name_ar="م" * 31), "student.givenNameAr", "TOO_LONG"),
        (student(sex="W"), "student.sex", "UNKNOWN_VALUE"),
        (student(birth_date=AT.date() + timedelta(days=1)), "student.birthDate", "IMPLAUSIBLE"),
        (student(birth_date=date(1850, 1, 1)), "student.birthDate", "IMPLAUSIBLE"),
        (student(nationality="UAE"), "student.nationality", "UNKNOWN_VALUE"),
        (student(phone="call me"), "student.phone", "INVALID_FORM"),
        (student(email="nobody"), "student.email", "INVALID_FORM"),
        (student(address=replace(ADDRESS, street="x" * 121)), "student.address.street", "TOO_LONG"),
        (student(address=replace(ADDRESS, country="XX")), "student.address.country", "UNKNOWN_VALUE"),
        (student(guardian=replace(GUARDIAN, relationship="BOSS")), "student.guardian.relationship", "UNKNOWN_VALUE"),
        (vitals(temperature_c=Decimal("98.6")), "vitals.temperatureC", "IMPLAUSIBLE"),
        (vitals(temperature_c=Decimal("NaN")), "vitals.temperatureC", "IMPLAUSIBLE"),
        (vitals(heart_rate=Decimal("Infinity")), "vitals.heartRate", "IMPLAUSIBLE"),
        (vitals(weight_kg=Decimal("41.00001")), "vitals.weightKg", "TOO_LONG"),
        (vitals(spo2_percent=Decimal(101)), "vitals.spo2Percent", "IMPLAUSIBLE"),
        (vitals(systolic_mmhg=Decimal(60)), "vitals.systolicMmhg", "IMPLAUSIBLE"),
        (dose(cvx="MMR"), "immunisations[0].cvx", "INVALID_FORM"),
        (dose(route="ARM"), "immunisations[0].route", "UNKNOWN_VALUE"),
        (dose(site="HEAD"), "immunisations[0].site", "UNKNOWN_VALUE"),
        (dose(lot="x" * 21), "immunisations[0].lot", "TOO_LONG"),
        (dose(dose_ml=Decimal(0)), "immunisations[0].doseMl", "IMPLAUSIBLE"),
        (dose(at=AT + timedelta(days=2)), "immunisations[0].at", "IMPLAUSIBLE"),
        (replace(VISIT, problems=(Problem("asthma", "Asthma"),)), "problems[0].code", "INVALID_FORM"),
        (replace(VISIT, diagnoses=(Diagnosis("J06.9", ""),)), "diagnoses[0].text", "MISSING"),
        (replace(VISIT, diagnoses=(Diagnosis("J06.9", "Cold", "X"),)), "diagnoses[0].type", "UNKNOWN_VALUE"),
        (replace(VISIT, allergies=(Allergy("Nuts", severity="BAD"),)), "allergies[0].severity", "UNKNOWN_VALUE"),
        (replace(VISIT, allergies=(Allergy("Nuts", reaction="x" * 16),)), "allergies[0].reaction", "TOO_LONG"),
        (
            replace(VISIT, appointment=replace(APPOINTMENT, status="Cancelled")),
            "appointment.status",
            "UNKNOWN_VALUE",
        ),
        (
            replace(VISIT, appointment=replace(APPOINTMENT, duration_minutes=0)),
            "appointment.durationMinutes",
            "IMPLAUSIBLE",
        ),
    ],
)
def test_a_fault_is_refused_by_its_field(visit: Visit, field: str, code: str) -> None:
    assert faults(visit) == [(field, code)]


@pytest.mark.parametrize(
    ("message_type", "without", "field"),
    [
        ("ORU^R01", {"vitals": None, "diagnoses": (), "allergies": (), "notes": ""}, "vitals"),
        ("VXU^V04", {"immunisations": ()}, "immunisations"),
        ("SIU^S12", {"appointment": None}, "appointment"),
        ("SIU^S12", {"provider": None}, "provider"),
        ("PPR^PC1", {"problems": ()}, "problems"),
    ],
)
def test_what_the_message_cannot_do_without_is_refused_when_missing(
    message_type: str, without: dict[str, object], field: str
) -> None:
    assert faults(replace(VISIT, **without), message_type) == [(field, "MISSING")]


def test_every_fault_is_named_at_once() -> None:
    visit = replace(student(sex="W", family_name=""), number="")
    assert [field for field, _ in faults(visit)] == ["number", "student.familyName", "student.sex"]


def test_a_visit_far_ahead_of_the_clock_is_refused() -> None:
    with pytest.raises(VisitError, match="a day ahead"):
        check_visit(VISIT, "ADT^A04", now=AT - timedelta(days=2))
    check_visit(VISIT, "ADT^A04", now=AT - timedelta(hours=2))


@pytest.mark.parametrize(
    ("emirates_id", "doubt"),
    [
        ("784-2014-1234567-3", "check digit"),
        ("784-2013-1234567-1", "year of birth"),
        ("123", "not of the form"),
    ],
)
def test_a_doubtful_emirates_id_is_warned_of_and_not_refused(emirates_id: str, doubt: str) -> None:
    warnings = check_visit(student(emirates_id=emirates_id), "ADT^A04")
    assert any(doubt in warning for warning in warnings)


def test_what_a_message_has_no_place_for_is_warned_of() -> None:
    warnings = check_visit(VISIT, "PPR^PC1")
    assert any("no place for allergies" in warning for warning in warnings)
    assert not any("problems" in warning.split(";")[0].split("for ")[1] for warning in warnings)


def test_a_plain_visit_has_no_warnings() -> None:
    visit = replace(VISIT, immunisations=(), appointment=None, problems=())
    assert check_visit(visit) == ()


def test_values_at_the_limit_are_taken() -> None:
    visit = student(family_name="x" * 50, given_name="م" * 30, phone="", email="")
    check_visit(replace(visit, number="9" * 20, notes="x" * 65_536), "ADT^A04")
    check_visit(vitals(temperature_c=Decimal(45), spo2_percent=Decimal(100)), "ADT^A04")
    check_visit(replace(VISIT, appointment=Appointment("1", AT, 1440, "x" * 199)), "SIU^S12")
    check_visit(replace(VISIT, immunisations=(Immunisation("03", AT, "IM"),)), "VXU^V04")
