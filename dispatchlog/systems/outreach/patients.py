"""Patients, those who treat them and their organisations, as the core platform reports them. Owns their tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dispatchlog.systems.outreach.inputs import Asker, OrganizationInput, PatientInput, ProviderInput
from dispatchlog.systems.outreach.states import Channel


@dataclass(frozen=True, slots=True)
class PatientRecord:
    """A patient with name and contact data opened; `emails` and numbers are normalised."""

    id: UUID
    name: str
    email: str | None
    phone: str | None
    organization_id: UUID | None
    provider_id: UUID | None
    organization_name: str
    provider_name: str
    country: str
    region: str
    active: bool
    reported_at: datetime
    version: int


def put_organization(organization: OrganizationInput, *, source: str) -> None:
    """Create or update.

    Raises:
        OutreachError: INVALID_TEXT, INVALID_COUNTRY, with the field.
    """
    raise NotImplementedError


def put_provider(provider: ProviderInput, *, source: str) -> None:
    """Create or update.

    Raises:
        OutreachError: ORGANIZATION_NOT_FOUND, INVALID_TEXT, with the field.
    """
    raise NotImplementedError


def put_patient(patient: PatientInput, *, source: str, asker: Asker) -> bool:
    """Create or update with everything that hangs on it (preferences' row, hashes of addresses and of the name's words);
    False: a newer report is stored already and nothing changed. Runs in the caller's transaction or one of its own.

    Raises:
        OutreachError: ORGANIZATION_NOT_FOUND, PROVIDER_NOT_FOUND, INVALID_EMAIL, INVALID_PHONE, INVALID_TIMEZONE,
            INVALID_LANGUAGE, INVALID_COUNTRY, INVALID_TEXT, with the field.
    """
    raise NotImplementedError


def patient(patient_id: UUID) -> PatientRecord:
    """One patient.

    Raises:
        OutreachError: PATIENT_NOT_FOUND.
    """
    raise NotImplementedError


def patients_at(channel: Channel, address: str) -> list[UUID]:
    """Whoever is reached by this channel at this normalised address; families share telephones, so there may be several."""
    raise NotImplementedError


def refresh_addresses(patient_id: UUID) -> None:
    """Write `comm_addresses` anew from what is stored now; after every change of an address. In a transaction."""
    raise NotImplementedError


def find_patients(text: str, *, limit: int = 50) -> Sequence[PatientRecord]:
    """Those whose id, address or number is this, or whose name has all these words; by name. For pages."""
    raise NotImplementedError
