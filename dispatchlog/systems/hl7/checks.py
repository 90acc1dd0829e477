"""What is wrong with a visit as reported: every fault by its field, so that no malformed message is ever made."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.hl7 import codes, emirates_id
from dispatchlog.systems.hl7.encoding import FORBIDDEN, NEW_LINE
from dispatchlog.systems.hl7.message_types import MESSAGE_TYPES, MESSAGES, PARTS, MessageType
from dispatchlog.systems.hl7.records import Appointment, Guardian, Immunisation, Provider, Student, Visit, Vitals

LONGEST_NOTES = 65_536  # FT, v2.5.1 section 2.A.31
LONGEST_LIST = 100
LONGEST_LIFE = timedelta(days=130 * 366)
PHONE = re.compile(r"\+?[0-9][0-9 ()./-]{3,39}")
EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
DELETION = '""'


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong; `field` is named as in a report (`student.birthDate`)."""

    field: str
    code: str
    message: str


class VisitError(DispatchlogError):
    """The visit cannot be taken as it is: `field` names the first culprit, `faults` all. Nothing was stored."""

    def __init__(self, message: str, *, code: str, field: str = "", faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message, code=code)
        self.field = field
        self.faults = faults or (Fault(field, code, message),)


def check_visit(visit: Visit, message_type: str | None = None, *, now: datetime | None = None) -> tuple[str, ...]:
    """Warnings for a visit that can be sent as `message_type` (or as its kind is by default); touches no database.

    Raises VisitError with every fault found. With `now`, a visit more than a day ahead of it is one.
    """
    wanted = message_type or MESSAGES[visit.kind]
    if wanted not in MESSAGE_TYPES:
        message = f"a visit is sent as {', '.join(MESSAGE_TYPES)}"
        raise VisitError(message, code="UNKNOWN_MESSAGE_TYPE", field="messageType")
    faults = Faults()
    _check_visit(faults, visit, now)
    _check_needs(faults, visit, MESSAGE_TYPES[wanted])
    if faults.found:
        first = faults.found[0]
        raise VisitError(first.message, code=first.code, field=first.field, faults=tuple(faults.found))
    return tuple(_warnings(visit, MESSAGE_TYPES[wanted]))


class Faults:
    """Collects what is wrong while the parts are looked at."""

    def __init__(self) -> None:
        self.found: list[Fault] = []

    def add(self, field: str, code: str, message: str) -> None:
        self.found.append(Fault(field, code, f"{field} {message}"))

    def text(self, field: str, value: str, limit: int, *, required: bool = False) -> None:
        """One line of at most `limit` characters (the length of its component in v2.5.1)."""
        if not value:
            if required:
                self.add(field, "MISSING", "must not be empty")
        elif len(value) > limit:
            self.add(field, "TOO_LONG", f"has {len(value)} characters; HL7 has room for {limit}")
        elif found := FORBIDDEN.search(value):
            self.add(field, "CONTROL_CHARACTER", f"holds the control character U+{ord(found[0]):04X}")
        elif value.isspace() or value == DELETION:
            self.add(field, "INVALID_TEXT", "must not be blank or two quotation marks, which mean deletion in HL7")

    def choice(self, field: str, value: str, choices: Iterable[str]) -> None:
        if value not in choices:
            self.add(field, "UNKNOWN_VALUE", f"is one of {', '.join(choices)}")

    def form(self, field: str, value: str, form: re.Pattern[str], words: str) -> None:
        if not form.fullmatch(value):
            self.add(field, "INVALID_FORM", words)

    def day(self, field: str, value: date, *, until: date) -> None:
        if value > until:
            self.add(field, "IMPLAUSIBLE", "is after the visit")
        elif until - value > LONGEST_LIFE:
            self.add(field, "IMPLAUSIBLE", "is too long ago")


def _check_visit(faults: Faults, visit: Visit, now: datetime | None) -> None:
    faults.text("number", visit.number, 20, required=True)
    faults.choice("patientClass", visit.patient_class, codes.PATIENT_CLASS)
    _check_instant(faults, "visitedAt", visit.visited_at)
    if now is not None and visit.visited_at.tzinfo and visit.visited_at > now + timedelta(days=1):
        faults.add("visitedAt", "IMPLAUSIBLE", "is more than a day ahead")
    _check_student(faults, visit.student, visit.visited_at.date())
    if visit.provider is not None:
        _check_provider(faults, visit.provider)
    if visit.vitals is not None:
        _check_vitals(faults, visit.vitals)
    if visit.appointment is not None:
        _check_appointment(faults, visit.appointment)
    for field in ("immunisations", "problems", "diagnoses", "allergies"):
        if len(getattr(visit, field)) > LONGEST_LIST:
            faults.add(field, "TOO_MANY", f"has more than {LONGEST_LIST} entries")
    for index, dose in enumerate(visit.immunisations):
        _check_immunisation(faults, f"immunisations[{index}].", dose, visit.visited_at)
    _check_findings(faults, visit)
    _check_notes(faults, visit.notes)


def _check_findings(faults: Faults, visit: Visit) -> None:
    icd_10 = "is not an ICD-10 code, such as J06.9"
    today = visit.visited_at.date()
    for index, problem in enumerate(visit.problems):
        faults.form(f"problems[{index}].code", problem.code, codes.ICD_10, icd_10)
        faults.text(f"problems[{index}].text", problem.text, 199, required=True)
        if problem.onset is not None:
            faults.day(f"problems[{index}].onset", problem.onset, until=today)
    for index, diagnosis in enumerate(visit.diagnoses):
        faults.form(f"diagnoses[{index}].code", diagnosis.code, codes.ICD_10, icd_10)
        faults.text(f"diagnoses[{index}].text", diagnosis.text, 199, required=True)
        faults.choice(f"diagnoses[{index}].type", diagnosis.type, codes.DIAGNOSIS_TYPE)
    for index, allergy in enumerate(visit.allergies):
        faults.text(f"allergies[{index}].text", allergy.text, 199, required=True)
        faults.choice(f"allergies[{index}].type", allergy.type, codes.ALLERGY_TYPE)
        faults.choice(f"allergies[{index}].severity", allergy.severity, codes.SEVERITY)
        faults.text(f"allergies[{index}].reaction", allergy.reaction, 15)
        if allergy.since is not None:
            faults.day(f"allergies[{index}].since", allergy.since, until=today)


def _check_student(faults: Faults, student: Student, today: date) -> None:
    """Lengths: CX.1 (20, for a national number has more than the standard's 15), FN.1 50, XPN.2 and 3 30 (2.A)."""
    faults.text("student.id", student.id, 20, required=True)
    faults.text("student.familyName", student.family_name, 50, required=True)
    faults.text("student.givenName", student.given_name, 30, required=True)
    faults.text("student.middleName", student.middle_name, 30)
    faults.text("student.familyNameAr", student.family_name_ar, 50)
    faults.text("student.givenNameAr", student.given_name_ar, 30)
    faults.text("student.emiratesId", student.emirates_id, 20)
    faults.text("student.grade", student.grade, 40)
    faults.choice("student.sex", student.sex, codes.SEX)
    faults.day("student.birthDate", student.birth_date, until=today)
    _check_country(faults, "student.nationality", student.nationality)
    _check_reach(faults, "student.", student.phone, student.email)
    if student.guardian is not None:
        _check_guardian(faults, student.guardian)
    if student.address is not None:
        address = student.address
        limits = (("street", 120), ("city", 50), ("state", 50))
        for name, limit in limits:
            faults.text(f"student.address.{name}", getattr(address, name), limit)
        faults.text("student.address.postalCode", address.postal_code, 12)
        _check_country(faults, "student.address.country", address.country)


def _check_guardian(faults: Faults, guardian: Guardian) -> None:
    faults.text("student.guardian.familyName", guardian.family_name, 50, required=True)
    faults.text("student.guardian.givenName", guardian.given_name, 30, required=True)
    faults.choice("student.guardian.relationship", guardian.relationship, codes.RELATIONSHIP)
    _check_reach(faults, "student.guardian.", guardian.phone, guardian.email)


def _check_reach(faults: Faults, place: str, phone: str, email: str) -> None:
    if phone:
        faults.form(f"{place}phone", phone, PHONE, "is not a telephone number")
    faults.text(f"{place}email", email, 199)
    if email and not FORBIDDEN.search(email):
        faults.form(f"{place}email", email, EMAIL, "is not an e-mail address")


def _check_country(faults: Faults, field: str, value: str) -> None:
    if value and value not in codes.COUNTRIES:
        faults.add(field, "UNKNOWN_VALUE", "is not an ISO 3166-1 alpha-3 code, such as ARE")


def _check_provider(faults: Faults, provider: Provider) -> None:
    faults.text("provider.id", provider.id, 15, required=True)
    faults.text("provider.familyName", provider.family_name, 50, required=True)
    faults.text("provider.givenName", provider.given_name, 30, required=True)


def _check_vitals(faults: Faults, vitals: Vitals) -> None:
    for sign in codes.VITALS:
        value: Decimal | None = getattr(vitals, sign.attribute)
        if value is None:
            continue
        if not value.is_finite() or not sign.least <= value <= sign.most:
            limits = f"is not between {sign.least} and {sign.most} {sign.unit}"
            faults.add(f"vitals.{sign.field}", "IMPLAUSIBLE", limits)
        elif int(value.as_tuple().exponent) < -4:
            faults.add(f"vitals.{sign.field}", "TOO_LONG", "has more than four decimals")
    systolic, diastolic = vitals.systolic_mmhg, vitals.diastolic_mmhg
    if systolic and diastolic and systolic.is_finite() and diastolic.is_finite() and systolic <= diastolic:
        faults.add("vitals.systolicMmhg", "IMPLAUSIBLE", "is not above the diastolic pressure")


def _check_immunisation(faults: Faults, place: str, dose: Immunisation, visited_at: datetime) -> None:
    faults.form(f"{place}cvx", dose.cvx, codes.CVX, "is not a CVX code of two or three digits")
    faults.text(f"{place}name", dose.name, 199)
    faults.choice(f"{place}route", dose.route, codes.ROUTE)
    if dose.site:
        faults.choice(f"{place}site", dose.site, codes.SITE)
    faults.text(f"{place}lot", dose.lot, 20)
    faults.text(f"{place}manufacturer", dose.manufacturer, 199)
    _check_instant(faults, f"{place}at", dose.at)
    if dose.at.tzinfo and visited_at.tzinfo and not -LONGEST_LIFE < dose.at - visited_at < timedelta(days=1):
        faults.add(f"{place}at", "IMPLAUSIBLE", "is after the visit or too long before it")
    amount = dose.dose_ml
    if amount is not None and not (amount.is_finite() and Decimal("0.001") <= amount <= 50):
        faults.add(f"{place}doseMl", "IMPLAUSIBLE", "is not between 0.001 and 50 mL")
    elif amount is not None and int(amount.as_tuple().exponent) < -4:
        faults.add(f"{place}doseMl", "TOO_LONG", "has more than four decimals")


def _check_appointment(faults: Faults, appointment: Appointment) -> None:
    faults.text("appointment.id", appointment.id, 40, required=True)
    faults.text("appointment.reason", appointment.reason, 199, required=True)
    faults.text("appointment.location", appointment.location, 60)
    faults.choice("appointment.status", appointment.status, codes.NEW_BOOKING)
    _check_instant(faults, "appointment.startsAt", appointment.starts_at)
    if not 1 <= appointment.duration_minutes <= 1440:
        faults.add("appointment.durationMinutes", "IMPLAUSIBLE", "is not between 1 and 1440")


def _check_instant(faults: Faults, field: str, at: datetime) -> None:
    if at.tzinfo is None or at.utcoffset() is None:
        faults.add(field, "NAIVE_DATE", "needs a time zone")
    elif not 1900 <= at.year <= 9998:
        faults.add(field, "IMPLAUSIBLE", "is too long ago or too far ahead")


def _check_notes(faults: Faults, notes: str) -> None:
    faults.text("notes", NEW_LINE.sub(" ", notes), LONGEST_NOTES)


def _check_needs(faults: Faults, visit: Visit, message: MessageType) -> None:
    name = f"{message.code}^{message.event}"
    if message.needs and not any(_has(visit, part) for part in message.needs):
        faults.add(message.needs[0], "MISSING", f"is missing: {name} needs {' or '.join(message.needs)}")
    if message.code == "SIU" and visit.provider is None:
        faults.add("provider", "MISSING", f"is missing: {name} names whom to ask (SCH-16)")


def _has(visit: Visit, part: str) -> bool:
    value = getattr(visit, part)
    if part == "vitals" and value is not None:
        return any(getattr(value, sign.attribute) is not None for sign in codes.VITALS)
    return bool(value)


def _warnings(visit: Visit, message: MessageType) -> Iterable[str]:
    if visit.student.emirates_id:
        yield from emirates_id.doubts(visit.student.emirates_id, visit.student.birth_date)
    for part in PARTS:
        if part not in message.carries and _has(visit, part):
            yield f"{message.code}^{message.event} has no place for {part}; they are kept with the visit but not sent"
