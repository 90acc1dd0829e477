"""Made-up patients and what happens to them, for demonstrations. Stores nothing.

Nobody is meant: everybody is a "Sample", at addresses reserved for examples and numbers that nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

_OURS = UUID("5d6d2f70-0d0f-5b1e-9a57-6c3a4de6b720")
CLINIC_ID, PROVIDER_ID = uuid5(_OURS, "outreach-clinic"), uuid5(_OURS, "outreach-provider")
CLINIC = {"id": str(CLINIC_ID), "name": "Harbour Sample Clinic", "phone": "+12025550100", "country": "US"}
PROVIDER = {"id": str(PROVIDER_ID), "name": "Dr Sample Quebec", "organization_id": str(CLINIC_ID)}

# Somewhere in these it is the middle of the day, whenever somebody looks.
_ZONES = (
    "America/New_York",
    "America/Los_Angeles",
    "Pacific/Auckland",
    "Australia/Sydney",
    "Asia/Tokyo",
    "Asia/Kolkata",
    "Asia/Dubai",
    "Africa/Lagos",
    "Europe/London",
    "America/Sao_Paulo",
)


@dataclass(frozen=True, slots=True)
class SamplePatient:
    """A patient, and what they answer to a text ("": nothing). `is_asleep`: it is night where they are.

    Without a `test` whose result is ready there is an appointment in three days.
    """

    key: str
    name: str
    number: str
    language: str = "en"
    is_asleep: bool = False
    answer: str = ""
    test: str = ""

    @property
    def patient_id(self) -> UUID:
        return uuid5(_OURS, f"outreach-{self.key}")

    @property
    def appointment_id(self) -> UUID:
        return uuid5(_OURS, f"outreach-appointment-{self.key}")

    @property
    def email(self) -> str:
        return f"{self.key}@example.org"


NOBODY_THERE = SamplePatient("sample.zulu", "Sample Zulu", "+12025550109", test="blood count")
PATIENTS = (
    SamplePatient("sample.romeo", "Sample Romeo", "+12025550101", answer="YES"),
    SamplePatient("sample.sierra", "Sample Sierra", "+12025550102", language="es", answer="Sí, gracias"),
    SamplePatient("sample.tango", "Sample Tango", "+12025550103", answer="Can I come another day?"),
    SamplePatient("sample.uniform", "Sample Uniform", "+12025550104", answer="STOP"),
    SamplePatient("sample.victor", "Sample Victor", "+12025550105", is_asleep=True),
    SamplePatient("sample.whiskey", "Sample Whiskey", "+12025550106", test="HbA1c"),
    SamplePatient("sample.xray", "Sample X-ray", "+12025550107", test="lipids", answer="My mother is in hospital now"),
    SamplePatient("sample.yankee", "Sample Yankee", "+12025550108", language="fr", answer="ok c'est bon"),
    NOBODY_THERE,
)


# One number is out of service.
NUMBERS = {NOBODY_THERE.number: {"ends": "failed", "code": 30005}}


def zone_of(patient: SamplePatient, now: datetime) -> str:
    """A zone where it is day now, or the dead of night."""
    wanted = 2 if patient.is_asleep else 13

    def apart(zone: str) -> float:
        local = now.astimezone(ZoneInfo(zone))
        hours = abs(local.hour + local.minute / 60 - wanted)
        return min(hours, 24 - hours)

    return min(_ZONES, key=apart)


def patient_report(patient: SamplePatient, now: datetime) -> dict[str, Any]:
    """What the core platform says of the patient."""
    return {
        "id": str(patient.patient_id),
        "name": patient.name,
        "organization_id": str(CLINIC_ID),
        "provider_id": str(PROVIDER_ID),
        "phone": patient.number,
        "timezone": zone_of(patient, now),
        "language": patient.language,
        "country": "US",
        "email": patient.email,
    }


def appointment_report(patient: SamplePatient, now: datetime) -> dict[str, Any]:
    """An appointment of theirs in three days."""
    there = now.astimezone(ZoneInfo(zone_of(patient, now)))
    starts_at = (there + timedelta(days=3)).replace(hour=10, minute=30, second=0, microsecond=0)
    return {
        "id": str(patient.appointment_id),
        "patient_id": str(patient.patient_id),
        "provider_id": str(PROVIDER_ID),
        "starts_at": starts_at.isoformat(),
        "timezone": zone_of(patient, now),
        "place": "Room 2",
    }


def event_of(patient: SamplePatient, now: datetime) -> tuple[str, dict[str, Any]]:
    """What happens to the patient: the event's kind, and what it says."""
    if patient.test:
        return "lab.results_ready", {"patient_id": str(patient.patient_id), "variables": {"test_name": patient.test}}
    return "appointment.scheduled", appointment_report(patient, now)
