"""The orchestrator: a request becomes a job of lane `comm_job` with its text rendered, or a clear no. One transaction."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.systems.outreach.inputs import Asker, Scheduled, ScheduleInput


def schedule(wanted: ScheduleInput, *, asker: Asker, trace_id: str) -> Scheduled:
    """Decide, render, store, audit and wake; the same `request_key` gives the same job.

    Where consent or a stop forbids it, a job is stored all the same, cancelled, with the decision (`refused` in the answer).

    Raises:
        OutreachError: PATIENT_NOT_FOUND, UNKNOWN_TEMPLATE, TEMPLATE_MISMATCH (its purpose or channel is another),
            UNKNOWN_VARIABLE, MISSING_VARIABLE, INVALID_VARIABLE, NO_ADDRESS, SEND_AT_PAST, INVALID_DATE,
            APPOINTMENT_NOT_FOUND, REQUEST_KEY_REUSED, each with its field; nothing is stored then.
    """
    raise NotImplementedError


def cancel(job_id: UUID, *, asker: Asker, reason: str) -> bool:
    """Cancel a job that waits; False: it is on its way or over.

    Raises:
        OutreachError: JOB_NOT_FOUND.
    """
    raise NotImplementedError


def cancel_for_appointment(appointment_id: UUID, *, reason: str) -> int:
    """Cancel what waits about an appointment; how many. In the caller's transaction."""
    raise NotImplementedError
