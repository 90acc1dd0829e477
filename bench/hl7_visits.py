"""Owns the visit that the benchmark reports again and again, and who sends it; nobody in it exists."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

from dispatchlog.engine.tables import new_id
from dispatchlog.systems.hl7.identity import Authority, Identity
from dispatchlog.systems.hl7.records import Provider, Student, Visit, VisitKind, Vitals

IDENTITY = Identity(
    sending_application=Authority("DISPATCHLOG"),
    sending_facility=Authority("BENCH"),
    receiving_application=Authority("HIE"),
    receiving_facility=Authority("EXCHANGE"),
    patient_authority=Authority("BENCH"),
)
_VITALS = Vitals(
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


def a_visit(student: str) -> Visit:
    """An assessment with all vital signs, of today."""
    return Visit(
        id=new_id(),
        kind=VisitKind.ASSESSMENT,
        number="V-1",
        visited_at=datetime.now(UTC),
        student=Student(
            id=student,
            family_name="Family",
            given_name="Given",
            birth_date=date(2014, 9, 3),
            sex="F",
            nationality="ARE",
        ),
        provider=Provider("GD12345", "Doctor", "School"),
        vitals=_VITALS,
        notes="Sore throat since Monday. Rest and fluids.",
    )
