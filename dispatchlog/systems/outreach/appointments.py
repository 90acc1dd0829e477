"""Appointments as the core platform reports them, and what patients answer about them. Owns their tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import AppointmentInput, Asker


def put_appointment(appointment: AppointmentInput, *, source: str) -> tuple[bool, Mapping[str, Any] | None]:
    """Create or update; whether something changed, and how it was before. In the caller's transaction.

    Raises:
        OutreachError: PATIENT_NOT_FOUND, PROVIDER_NOT_FOUND, INVALID_TIMEZONE, UNKNOWN_STATUS, with the field.
    """
    raise NotImplementedError


def confirm(appointment_id: UUID, *, asker: Asker) -> bool:
    """The patient confirmed it; False: it was confirmed before, or is over or cancelled."""
    raise NotImplementedError


def ask_for_another_time(appointment_id: UUID, *, inbound_id: UUID | None, asker: Asker) -> UUID:
    """Open a reschedule request; the one that is open already comes back."""
    raise NotImplementedError


def close_request(request_id: UUID, *, note: str, asker: Asker) -> bool:
    """Somebody has dealt with it; False: it was closed before.

    Raises:
        OutreachError: REQUEST_NOT_FOUND.
    """
    raise NotImplementedError


def open_requests(*, limit: int = 200) -> Sequence[Mapping[str, Any]]:
    """Open requests, oldest first, with their appointment."""
    raise NotImplementedError


def of_patient(patient_id: UUID, *, limit: int = 50) -> Sequence[Mapping[str, Any]]:
    """A patient's appointments, next first."""
    raise NotImplementedError
