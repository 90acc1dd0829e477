"""Events of the core platform: patients, appointments, providers, billing. Each is taken in once and may become messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.systems.outreach.inputs import Asker

KINDS = (
    "organization.updated",
    "provider.updated",
    "patient.updated",
    "appointment.scheduled",
    "appointment.updated",
    "appointment.cancelled",
    "appointment.no_show",
    "prescription.refill_due",
    "lab.results_ready",
    "billing.statement_ready",
)


def take(document: Mapping[str, Any], *, source: str, asker: Asker, trace_id: str) -> Mapping[str, Any]:
    """Take one event in: {event_id, kind, occurred_at, data}. What came of it: {"taken": bool, "effect": {...}}; the same
    event again gives the same answer and does nothing. All in one transaction.

    Raises:
        OutreachError: UNKNOWN_EVENT, EVENT_REUSED (same id, other content), and those of what it says, with the field.
    """
    raise NotImplementedError
