"""What a school's clinic reports of one visit. Values only: `checks.check_visit` says what is wrong with them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from uuid import UUID


class VisitKind(StrEnum):
    """Why the visit is reported; each kind makes one message (`message_types.MESSAGES`)."""

    REGISTRATION = "REGISTRATION"
    UPDATE = "UPDATE"
    ASSESSMENT = "ASSESSMENT"
    IMMUNISATION = "IMMUNISATION"
    APPOINTMENT = "APPOINTMENT"
    PROBLEM = "PROBLEM"


@dataclass(frozen=True, slots=True)
class Address:
    """Where somebody lives; `country` is ISO 3166-1 alpha-3."""

    street: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class Guardian:
    """Whom the clinic calls; `relationship` is a code of HL7 table 0063, such as MTH, FTH or GRD."""

    family_name: str
    given_name: str
    relationship: str = "GRD"
    phone: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class Student:
    """The patient. `id` is the clinic's number of the student; `sex` is F, M, O (other) or U (unknown).

    `emirates_id` is written 784-YYYY-NNNNNNN-C, and a wrong one is warned of, never refused. `nationality` is
    ISO 3166-1 alpha-3. `grade` is for the school's own lists: HL7 v2.5.1 has no field for it.
    """

    id: str
    family_name: str
    given_name: str
    birth_date: date
    sex: str
    middle_name: str = ""
    family_name_ar: str = ""
    given_name_ar: str = ""
    emirates_id: str = ""
    nationality: str = ""
    phone: str = ""
    email: str = ""
    address: Address | None = None
    guardian: Guardian | None = None
    grade: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """The clinician who attended; `id` is the licence number."""

    id: str
    family_name: str
    given_name: str


@dataclass(frozen=True, slots=True)
class Vitals:
    """What was measured, each in the unit of its name (the rates are per minute, `bmi` is kg/m2)."""

    temperature_c: Decimal | None = None
    systolic_mmhg: Decimal | None = None
    diastolic_mmhg: Decimal | None = None
    heart_rate: Decimal | None = None
    respiratory_rate: Decimal | None = None
    spo2_percent: Decimal | None = None
    height_cm: Decimal | None = None
    weight_kg: Decimal | None = None
    bmi: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Immunisation:
    """One dose given. `cvx` is the vaccine, `route` and `site` are codes of HL7 tables 0162 and 0163.

    `manufacturer` is an MVX code or a name; a dose that was not measured is None.
    """

    cvx: str
    at: datetime
    route: str
    name: str = ""
    site: str = ""
    lot: str = ""
    dose_ml: Decimal | None = None
    manufacturer: str = ""


@dataclass(frozen=True, slots=True)
class Appointment:
    """A booking that was made; `status` is a code of HL7 table 0278 that a new booking can have."""

    id: str
    starts_at: datetime
    duration_minutes: int
    reason: str
    location: str = ""
    status: str = "Booked"


@dataclass(frozen=True, slots=True)
class Problem:
    """Something to watch over from now on; `code` is ICD-10."""

    code: str
    text: str
    onset: date | None = None


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the clinician found; `code` is ICD-10, `type` A (admitting), W (working) or F (final)."""

    code: str
    text: str
    type: str = "F"


@dataclass(frozen=True, slots=True)
class Allergy:
    """`type` and `severity` are codes of HL7 tables 0127 (DA drug, FA food, ...) and 0128 (SV, MO, MI, U)."""

    text: str
    type: str = "MA"
    severity: str = "U"
    reaction: str = ""
    since: date | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """One visit as reported. `visited_at` is aware, with the offset of the clinic's clock, for it is sent as it is.

    `patient_class` is a code of HL7 table 0004; a school clinic's patients are O, outpatients.
    """

    id: UUID
    kind: VisitKind
    number: str
    visited_at: datetime
    student: Student
    provider: Provider | None = None
    vitals: Vitals | None = None
    immunisations: tuple[Immunisation, ...] = ()
    appointment: Appointment | None = None
    problems: tuple[Problem, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    allergies: tuple[Allergy, ...] = ()
    notes: str = ""
    patient_class: str = "O"
