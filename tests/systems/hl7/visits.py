"""The visit that the tests of this system begin with: everything that can be said is said."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

from dispatchlog.systems.hl7.identity import Authority, Identity
from dispatchlog.systems.hl7.records import (
    Address,
    Allergy,
    Appointment,
    Diagnosis,
    Guardian,
    Immunisation,
    Problem,
    Provider,
    Student,
    Visit,
    VisitKind,
    Vitals,
)

GULF = timezone(timedelta(hours=4))
AT = datetime(2026, 3, 9, 8, 15, 30, tzinfo=GULF)
CREATED_AT = datetime(2026, 3, 9, 4, 20, 5, tzinfo=UTC)
CONTROL_ID = "7F3K2M9QX4T8W6C1B5ZD"

STUDENT = Student(
    id="S-10042",
    family_name="Al Mansoori",
    given_name="Maryam",
    middle_name="Saeed",
    family_name_ar="المنصوري",
    given_name_ar="مريم",
    emirates_id="784-2014-1234567-6",
    birth_date=date(2014, 9, 3),
    sex="F",
    nationality="ARE",
    phone="+971 50 123 4567",
    email="family@example.org",
    address=Address(street="12 Palm Street", city="Abu Dhabi", country="ARE"),
    guardian=Guardian("Al Mansoori", "Saeed", "FTH", phone="+971501234568"),
    grade="6B",
)
VITALS = Vitals(
    temperature_c=Decimal("36.8"),
    systolic_mmhg=Decimal(108),
    diastolic_mmhg=Decimal(66),
    heart_rate=Decimal(84),
    respiratory_rate=Decimal(18),
    spo2_percent=Decimal(98),
    height_cm=Decimal("148.5"),
    weight_kg=Decimal("41.20"),
    bmi=Decimal("18.7"),
)
VISIT = Visit(
    id=UUID("0190a7a8-0000-7000-8000-000000000001"),
    kind=VisitKind.ASSESSMENT,
    number="V-2026-0001",
    visited_at=AT,
    student=STUDENT,
    provider=Provider("GD12345", "Haddad", "Lina"),
    vitals=VITALS,
    immunisations=(
        Immunisation("121", AT, "IM", "zoster, live", "LD", "A77X", Decimal("0.5"), "MSD"),
        Immunisation("03", AT, "SC", manufacturer="Serum & Co"),
    ),
    appointment=Appointment("A-55", AT + timedelta(days=7), 20, "Follow-up", "Clinic room 2"),
    problems=(Problem("J45.909", "Unspecified asthma, uncomplicated", date(2025, 11, 2)), Problem("E66", "Obesity")),
    diagnoses=(Diagnosis("J06.9", "Acute upper respiratory infection"),),
    allergies=(Allergy("Peanut", "FA", "SV", "Hives", date(2019, 5, 1)),),
    notes="Sore throat | since Monday.\nRest & fluids; see ^plan~ and \\\\server\\notes.",
)
IDENTITY = Identity(
    sending_application=Authority("DISPATCHLOG"),
    sending_facility=Authority("SCH01", "2.16.784.1.1", "ISO"),
    receiving_application=Authority("HIE"),
    receiving_facility=Authority("EXCHANGE"),
    patient_authority=Authority("SCH01"),
    national_authority=Authority("EID", "2.16.784.2.1", "ISO"),
    visit_authority=Authority("SCH01"),
)
