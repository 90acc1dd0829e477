"""The JSON document in which a clinic reports a visit. Owns its shape; what its values may be is `hl7.checks`' to say.

The API and the import read the same document, so what one takes the other takes.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from dispatchlog.engine.tables import new_id
from dispatchlog.order_documents import ONE_LINE, Document, Id, Instant, parse_instant, refuse_naive
from dispatchlog.systems.hl7 import records
from dispatchlog.systems.hl7.records import Visit, VisitKind

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def _parse_day(value: Any) -> date:
    try:
        if isinstance(value, str) and _DAY.fullmatch(value):
            return date.fromisoformat(value)
    except ValueError:
        pass  # such as the 30th of February
    raise PydanticCustomError("INVALID_DATE", "must be a date such as 2014-09-03")


def _parse_number(value: Any) -> Decimal:
    """A JSON number exactly as it was written, as far as a double holds it; NaN is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise PydanticCustomError("WRONG_TYPE", "must be a number")
    number = Decimal(str(value))
    if not number.is_finite():
        raise PydanticCustomError("WRONG_TYPE", "must be a number")
    return number


def _parse_kind(value: Any) -> VisitKind:
    try:
        return VisitKind(value)
    except ValueError as error:
        raise PydanticCustomError("UNKNOWN_VALUE", f"is one of {', '.join(VisitKind)}") from error


Day = Annotated[date, BeforeValidator(_parse_day), Field(examples=["2014-09-03"])]
Moment = Annotated[
    datetime,
    AfterValidator(refuse_naive),
    BeforeValidator(parse_instant),
    Field(examples=["2026-03-09T08:15:00+04:00"]),
]
Number = Annotated[Decimal, BeforeValidator(_parse_number), WithJsonSchema({"type": "number"})]
Kind = Annotated[VisitKind, BeforeValidator(_parse_kind), WithJsonSchema({"type": "string", "enum": list(VisitKind)})]


class VisitPart(Document):
    """A part of a visit. What is absent or null is what the record has without it."""

    record: ClassVar[type]

    def to_record(self) -> Any:
        """The part as the HL7 system takes it."""
        return self.record(**_said(self))


def _said(document: Document) -> dict[str, Any]:
    return {name: _plain(value) for name, value in document if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_plain(entry) for entry in value)
    return value.to_record() if isinstance(value, VisitPart) else value


class AddressDocument(VisitPart):
    """Where the student lives; `country` is ISO 3166-1 alpha-3."""

    record = records.Address
    street: str | None = None
    city: str | None = None
    state: str | None = None
    postal_code: str | None = None
    country: str | None = None


class GuardianDocument(VisitPart):
    """Whom the clinic calls; `relationship` is a code of HL7 table 0063, GRD unless told."""

    record = records.Guardian
    family_name: str
    given_name: str
    relationship: str | None = None
    phone: str | None = None
    email: str | None = None


class StudentDocument(VisitPart):
    """The patient; `id` is the clinic's own number, `sex` F, M, O or U."""

    record = records.Student
    id: str
    family_name: str
    given_name: str
    birth_date: Day
    sex: str
    middle_name: str | None = None
    family_name_ar: str | None = None
    given_name_ar: str | None = None
    emirates_id: str | None = None
    nationality: str | None = None
    phone: str | None = None
    email: str | None = None
    address: AddressDocument | None = None
    guardian: GuardianDocument | None = None
    grade: str | None = None


class ProviderDocument(VisitPart):
    """The clinician who attended; `id` is the licence number."""

    record = records.Provider
    id: str
    family_name: str
    given_name: str


class VitalsDocument(VisitPart):
    """What was measured, each in the unit of its name."""

    record = records.Vitals
    temperature_c: Number | None = None
    systolic_mmhg: Number | None = None
    diastolic_mmhg: Number | None = None
    heart_rate: Number | None = None
    respiratory_rate: Number | None = None
    spo2_percent: Number | None = None
    height_cm: Number | None = None
    weight_kg: Number | None = None
    bmi: Number | None = None


class ImmunisationDocument(VisitPart):
    """One dose given: `cvx` is the vaccine, `route` and `site` are codes of HL7 tables 0162 and 0163."""

    record = records.Immunisation
    cvx: str
    at: Moment
    route: str
    name: str | None = None
    site: str | None = None
    lot: str | None = None
    dose_ml: Number | None = None
    manufacturer: str | None = None


class AppointmentDocument(VisitPart):
    """A booking that was made; `status` is Booked unless told."""

    record = records.Appointment
    id: str
    starts_at: Moment
    duration_minutes: int
    reason: str
    location: str | None = None
    status: str | None = None


class ProblemDocument(VisitPart):
    """Something to watch over from now on; `code` is ICD-10."""

    record = records.Problem
    code: str
    text: str
    onset: Day | None = None


class DiagnosisDocument(VisitPart):
    """What the clinician found; `code` is ICD-10, `type` A, W or F (final, unless told)."""

    record = records.Diagnosis
    code: str
    text: str
    type: str | None = None


class AllergyDocument(VisitPart):
    """`type` and `severity` are codes of HL7 tables 0127 and 0128; MA and U unless told."""

    record = records.Allergy
    text: str
    type: str | None = None
    severity: str | None = None
    reaction: str | None = None
    since: Day | None = None


@dataclass(frozen=True, slots=True)
class ReportedVisit:
    """A visit and whose it is, by the school's code or id."""

    school: str
    visit: Visit


class VisitDocument(Document):
    """A visit. Reporting it again under its `visitId` changes nothing; a correction is a visit of its own."""

    visit_id: Annotated[Id | None, Field(description="made when it is left out; with it a report may be repeated")] = (
        None
    )
    school_id: Annotated[str, Field(min_length=1, max_length=64, description="a school's code or UUID"), ONE_LINE]
    kind: Kind
    number: Annotated[str | None, Field(description="the clinic's number of the visit; made when it is left out")] = (
        None
    )
    visited_at: Instant
    student: StudentDocument
    provider: ProviderDocument | None = None
    vitals: VitalsDocument | None = None
    immunisations: list[ImmunisationDocument] | None = None
    appointment: AppointmentDocument | None = None
    problems: list[ProblemDocument] | None = None
    diagnoses: list[DiagnosisDocument] | None = None
    allergies: list[AllergyDocument] | None = None
    notes: str | None = None
    patient_class: str | None = None

    def to_reported(self) -> ReportedVisit:
        """The visit as the HL7 system takes it, with an id and a number where none was given."""
        values = _said(self)
        school = values.pop("school_id")
        visit_id = values.pop("visit_id", None) or new_id()
        number = values.pop("number", None)
        return ReportedVisit(
            school, Visit(id=visit_id, number=number_of(visit_id) if number is None else number, **values)
        )


def number_of(visit_id: UUID) -> str:
    """A number for a visit that came without one: always the same for one id, so that a repetition stays one."""
    return f"V-{b32encode(hashlib.sha256(visit_id.bytes).digest()).decode()[:14]}"
