"""Made-up schools, students and visits for demonstrations. Owns their variety; the same seed gives the same visits.

Nobody is meant: every student is a "Sample" with a letter of the spelling alphabet. Stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from dispatchlog.systems.hl7.records import (
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
API_KEY = "sample-key"
REFUSED, BUSY = "NORTH-13", "NORTH-17"
_LETTERS = ("Alfa", "Bravo", "Charlie", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliett", "Kilo", "Lima")


@dataclass(frozen=True, slots=True)
class SampleSchool:
    """A school and what its endpoint's settings are besides the address; `why` says what it shows."""

    code: str
    name: str
    why: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def over_http(self) -> bool:
        return self.settings.get("transport") == "HTTPS"


SCHOOLS = (
    SampleSchool("NORTH", "North Sample School", "MLLP; two students' messages meet errors"),
    SampleSchool("SOUTH", "South Sample School", "HTTP with an API key", {"transport": "HTTPS", "api_key": API_KEY}),
    SampleSchool(
        "EAST",
        "East Sample School",
        "a wrong API key: tried again, then failed",
        {"transport": "HTTPS", "api_key": "a wrong key", "max_retries": 2, "first_retry_seconds": 8},
    ),
    SampleSchool("WEST", "West Sample School", "switched off: its messages wait", {"enabled": False}),
)


def exchange_script() -> dict[str, Any]:
    """What the exchange answers: two students of the first school are refused, for good and for now."""
    refused = {"code": "AE", "error": "101", "text": "Required field missing"}
    busy = {"code": "AE", "error": "207", "text": "Application busy"}
    return {"rules": [{"patient": REFUSED, "answer": refused}, {"patient": BUSY, "answer": busy}]}


def sample_visits(n: int, *, seed: int, now: datetime) -> Iterator[tuple[str, Visit]]:
    """`n` visits with the code of their school, of every kind, of the hours before `now`."""
    chance = Random(seed)  # noqa: S311  (repeatable on purpose; nothing secret is made from it)
    visited_at = now.astimezone(GULF).replace(microsecond=0) - timedelta(hours=2)
    kinds = list(VisitKind)
    for number in range(n):
        # Half of all go to the first school, whose exchange takes nearly all.
        school = SCHOOLS[(0, 1, 0, 2, 0, 1, 0, 3)[number % 8]]
        student = _student(school.code, 10 + chance.randrange(12))
        yield school.code, _visit(chance, kinds[number % len(kinds)], number, student, visited_at)


def _student(school: str, number: int) -> Student:
    letter = _LETTERS[number % len(_LETTERS)]
    return Student(
        id=f"{school}-{number}",
        family_name="Sample",
        given_name=letter,
        family_name_ar="نموذج",
        given_name_ar="طالب",
        birth_date=date(2012, 1, 1) + timedelta(days=97 * number),
        sex="FM"[number % 2],
        nationality="ARE",
        phone="+971 50 000 0000",
        guardian=Guardian("Sample", f"Guardian of {letter}"),
        grade=f"{1 + number % 9}",
    )


def _visit(chance: Random, kind: VisitKind, number: int, student: Student, visited_at: datetime) -> Visit:
    return Visit(
        id=UUID(int=chance.getrandbits(128), version=4),
        kind=kind,
        number=f"SV-{1000 + number}",
        visited_at=visited_at,
        student=student,
        provider=Provider("SAMPLE-1", "Sample", "Clinician"),
        **_reported(chance, kind, number, visited_at),
    )


def _reported(chance: Random, kind: VisitKind, number: int, visited_at: datetime) -> dict[str, Any]:
    """What a visit of this kind is about."""
    if kind is VisitKind.ASSESSMENT:
        return {"vitals": _vitals(chance), "diagnoses": (Diagnosis("J06.9", "Acute upper respiratory infection"),)}
    if kind is VisitKind.IMMUNISATION:
        dose = Immunisation("03", visited_at, "SC", "MMR", "LA", f"LOT{number}", Decimal("0.5"), "MSD")
        return {"immunisations": (dose,)}
    if kind is VisitKind.APPOINTMENT:
        starts_at = visited_at + timedelta(days=7)
        return {"appointment": Appointment(f"SA-{number}", starts_at, 20, "Follow-up", "Clinic")}
    if kind is VisitKind.PROBLEM:
        return {"problems": (Problem("J45.909", "Unspecified asthma, uncomplicated"),)}
    return {"allergies": (Allergy("Peanut", "FA", "MO"),), "notes": "Seen at the school clinic."}


def _vitals(chance: Random) -> Vitals:
    return Vitals(
        temperature_c=Decimal(365 + chance.randrange(15)) / 10,
        systolic_mmhg=Decimal(95 + chance.randrange(25)),
        diastolic_mmhg=Decimal(55 + chance.randrange(20)),
        heart_rate=Decimal(70 + chance.randrange(35)),
        spo2_percent=Decimal(96 + chance.randrange(4)),
        height_cm=Decimal(120 + chance.randrange(45)),
        weight_kg=Decimal(25 + chance.randrange(30)),
    )
