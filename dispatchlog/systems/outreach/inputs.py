"""What others say to the outreach system, as plain values, and how it refuses. Reads and writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.outreach.states import Channel, Purpose


class OutreachError(DispatchlogError):
    """It cannot be done as asked; `field` names what is wrong, `present` what a caller may need to know besides."""

    def __init__(self, message: str, *, code: str, field: str = "", present: Mapping[str, Any] | None = None) -> None:
        super().__init__(message, code=code)
        self.field = field
        self.present: Mapping[str, Any] = present or {}


@dataclass(frozen=True, slots=True)
class Asker:
    """Who does something, for the audit: `actor` such as `service:clinic`, `staff@example.org`, `patient`, `worker`."""

    actor: str
    user_id: int | None = None
    ip_address: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class OrganizationInput:
    """A clinic or group of clinics. `country`: ISO 3166-1 alpha-2 or ""."""

    id: UUID
    name: str
    phone: str = ""
    country: str = ""


@dataclass(frozen=True, slots=True)
class ProviderInput:
    """Somebody who treats patients."""

    id: UUID
    name: str
    organization_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class PatientInput:
    """A patient as the core platform has them; `reported_at` orders reports, the newest wins.

    `region`: a state or province as in ISO 3166-2 without its country ("FL"), or "". What the patient chose goes before
    `timezone` and `language`. `gender`: male, female, other, unknown (as FHIR has it), or "". `tags`: words in lower case
    by which segments find patients.
    """

    id: UUID
    name: str
    organization_id: UUID | None = None
    provider_id: UUID | None = None
    email: str | None = None
    phone: str | None = None
    country: str = ""
    region: str = ""
    timezone: str | None = None
    language: str | None = None
    active: bool = True
    birth_date: date | None = None
    gender: str = ""
    tags: Sequence[str] = ()
    reported_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AppointmentInput:
    """An appointment as the core platform has it; `status` is one of the table's words."""

    id: UUID
    patient_id: UUID
    starts_at: datetime
    provider_id: UUID | None = None
    timezone: str = ""
    place: str = ""
    status: str = "scheduled"
    reported_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PreferenceChange:
    """What a patient, or somebody for them, changes: only the names in `values` change; None takes a choice back.

    Names are those of `patient_comm_prefs`. Addresses are plain text here and sealed in the table. A marketing opt-in that
    becomes true needs `wording`, what the patient agreed to, with its version.

    `came_to`: the channel and the hash of the address that the message went to by whose link this is said, so whoever says
    it is known to read there; a stop at that address, and at no other, is lifted by it.
    """

    values: Mapping[str, str | bool | int | time | None]
    source: str
    wording: str = ""
    wording_version: str = ""
    language: str = ""
    came_to: tuple[Channel, bytes] | None = None


@dataclass(frozen=True, slots=True)
class ScheduleInput:
    """What the orchestrator is asked to send; as `POST /api/v1/comm/schedule` has it.

    `request_key` makes the same request one message however often it comes; it is unique per source. `asks` is
    "confirmation" where an answer YES confirms `appointment_id`; None: by the purpose (appt_confirm and appt_reminder of an
    appointment do). `fallback_of` is the job in whose place this one goes. `template_family`: its texts are chosen from, by
    channel and language, instead of those that hold for all.
    """

    patient_id: UUID
    purpose: Purpose
    template_id: UUID | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    preferred_channel: Channel | None = None
    send_at: datetime | None = None
    campaign_id: UUID | None = None
    is_urgent: bool = False
    appointment_id: UUID | None = None
    asks: str | None = None
    request_key: str = ""
    expires_at: datetime | None = None
    fallback_of: UUID | None = None
    not_by: frozenset[Channel] = frozenset()
    ab_variant: str | None = None
    campaign_step: str | None = None
    template_family: str | None = None


@dataclass(frozen=True, slots=True)
class Scheduled:
    """What became of a request: `job_id` is one of lane `comm_job`. `refused` is a code where it will not be sent."""

    job_id: UUID
    scheduled_at: datetime
    channel: Channel
    estimated_delivery: datetime
    decision: Mapping[str, Any]
    refused: str = ""
    created: bool = True
