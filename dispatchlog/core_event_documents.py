"""What an event of the core platform says, by its kind. Owns the shape of `data`; rules about values belong to
`dispatchlog.systems.outreach`.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

from pydantic import Field

from dispatchlog.comm_documents import Language, SnakeDocument, Text, Values
from dispatchlog.order_documents import ONE_LINE, Id, Instant
from dispatchlog.systems.outreach.inputs import AppointmentInput, OrganizationInput, PatientInput, ProviderInput

Name = Annotated[str, Field(min_length=1, max_length=255), ONE_LINE]
Place = Annotated[str, Field(max_length=16), ONE_LINE]
Phone = Annotated[str, Field(max_length=40, examples=["+12025550123"]), ONE_LINE]
Tag = Annotated[str, Field(min_length=1, max_length=64), ONE_LINE]
Zone = Annotated[str, Field(max_length=50, examples=["America/New_York"]), ONE_LINE]


class OrganizationDocument(SnakeDocument):
    """A clinic or group of clinics, as it is now."""

    id: Id
    name: Name
    phone: Phone = ""
    country: Place = ""

    def to_input(self) -> OrganizationInput:
        return OrganizationInput(self.id, self.name, self.phone, self.country)


class ProviderDocument(SnakeDocument):
    """Somebody who treats patients, as they are now."""

    id: Id
    name: Name
    organization_id: Id | None = None

    def to_input(self) -> ProviderInput:
        return ProviderInput(self.id, self.name, self.organization_id)


class PatientDocument(SnakeDocument):
    """A patient, as they are now; what is left out is not known any more. `gender`: male, female, other or unknown; `tags`:
    words by which segments find patients."""

    id: Id
    name: Name
    organization_id: Id | None = None
    provider_id: Id | None = None
    email: Annotated[str, Field(max_length=255), ONE_LINE] | None = None
    phone: Annotated[str, Field(max_length=40), ONE_LINE] | None = None
    country: Place = ""
    region: Place = ""
    timezone: Zone | None = None
    language: Language | None = None
    active: bool = True
    birth_date: date | None = None
    gender: Annotated[str, Field(max_length=16), ONE_LINE] = ""
    tags: Annotated[list[Tag], Field(default_factory=list)]

    def to_input(self, reported_at: datetime) -> PatientInput:
        return PatientInput(**self.model_dump(), reported_at=reported_at)


class AppointmentDocument(SnakeDocument):
    """An appointment, as it is now. Its hour is told in `timezone`, that of its place; the patient's unless told."""

    id: Id
    patient_id: Id
    starts_at: Instant
    provider_id: Id | None = None
    timezone: Zone = ""
    place: Text = ""
    status: Annotated[str, Field(max_length=24), ONE_LINE] | None = None

    def to_input(self, reported_at: datetime) -> AppointmentInput:
        said = self.model_dump(exclude={"status"})
        return AppointmentInput(**said, status=self.status or "scheduled", reported_at=reported_at)


class EndedAppointmentDocument(SnakeDocument):
    """Which appointment was cancelled or missed."""

    id: Id


class CareDocument(SnakeDocument):
    """Whose medicine or results; `variables` are those of its text."""

    patient_id: Id
    variables: Annotated[Values, Field(default_factory=dict)]


class StatementDocument(SnakeDocument):
    """Whose bill is ready."""

    patient_id: Id
