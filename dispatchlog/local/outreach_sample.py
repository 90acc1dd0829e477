"""Made-up patients and what happens to them, for demonstrations. Stores nothing.

Nobody is meant: everybody is a "Sample", at addresses reserved for examples and numbers that nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
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
    """A patient; what they answer to a text, "" for nothing, stands in the sandbox's script. `is_asleep`: it is night there."""

    key: str
    name: str
    number: str
    language: str = "en"
    is_asleep: bool = False
    answers: str = ""
    event: str = "appointment.scheduled"
    data: dict[str, Any] = field(default_factory=dict)
    whatsapp: bool = False
    no_email: bool = False

    @property
    def patient_id(self) -> UUID:
        return uuid5(_OURS, f"outreach-{self.key}")

    @property
    def appointment_id(self) -> UUID:
        return uuid5(_OURS, f"outreach-appointment-{self.key}")

    @property
    def email(self) -> str | None:
        return None if self.no_email else f"{self.key}@example.org"


PATIENTS = (
    SamplePatient("sample.romeo", "Sample Romeo", "+12025550101", answers="YES"),
    SamplePatient("sample.sierra", "Sample Sierra", "+12025550102", language="es", answers="Sí, gracias"),
    SamplePatient("sample.tango", "Sample Tango", "+12025550103", answers="Can I come another day?"),
    SamplePatient("sample.uniform", "Sample Uniform", "+12025550104", answers="STOP"),
    SamplePatient("sample.victor", "Sample Victor", "+12025550105", is_asleep=True),
    SamplePatient(
        "sample.whiskey",
        "Sample Whiskey",
        "+12025550106",
        event="lab.results_ready",
        data={"test": "HbA1c", "result": "6.1 %"},
    ),
    SamplePatient(
        "sample.xray", "Sample X-ray", "+12025550107", answers="what is this about?", event="lab.results_ready"
    ),
    SamplePatient("sample.yankee", "Sample Yankee", "+12025550108", language="fr", answers="ok c'est bon"),
)


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
        **({"email": patient.email} if patient.email else {}),
    }


def appointment_report(patient: SamplePatient, now: datetime) -> dict[str, Any]:
    """An appointment of theirs in three days."""
    starts_at = (now + timedelta(days=3)).replace(minute=30, second=0, microsecond=0)
    return {
        "id": str(patient.appointment_id),
        "patient_id": str(patient.patient_id),
        "provider_id": str(PROVIDER_ID),
        "starts_at": starts_at.isoformat(),
        "timezone": zone_of(patient, now),
        "place": "Room 2",
    }
