"""Reading messages to patients: one, a patient's, and what was lately sent and answered. Writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.optimiser.learning import fatigue

_COLUMNS = (
    "j.id, j.patient_id, j.template_id, j.template_version, j.campaign_id, j.appointment_id, j.purpose, j.channel,"
    " j.language, j.recipient, j.subject, j.sealed, j.scheduled_at, j.due_at, j.sent_at, j.delivered_at, j.opened_at,"
    " j.clicked_at, j.replied_at, j.bounced_at, j.bounce_code, j.unsubscribed_at, j.provider, j.provider_message_id,"
    " j.is_urgent, j.ab_variant, j.fallback_of, j.decision, j.in_doubt, j.attempts AS retry_count,"
    " j.last_error AS error_message, j.last_error_code AS error_code, j.trace_id, j.created_at, j.updated_at,"
    " comm_job_word(j.status, j.replied_at, j.clicked_at, j.opened_at, j.bounced_at, j.delivered_at) AS status"
)


@dataclass(frozen=True, slots=True)
class Activity:
    """When a patient was last written to, opened something and answered. `fatigue_score` from 0 to 1: the messages of the
    last 30 days since the patient last opened, clicked or answered one, in tenths.
    """

    last_sent: datetime | None
    last_opened: datetime | None
    last_replied: datetime | None
    fatigue_score: float


def job(job_id: UUID) -> Mapping[str, Any]:
    """One message, with `status` as the API says it.

    Raises:
        OutreachError: JOB_NOT_FOUND.
    """
    rows = fetch_dicts(f"SELECT {_COLUMNS} FROM comm_jobs j WHERE j.id = %s", (job_id,))
    if not rows:
        raise OutreachError("there is no such message", code="JOB_NOT_FOUND", field="job_id")
    return _opened(rows[0])


def jobs_of(patient_id: UUID, *, limit: int, before: tuple[datetime, UUID] | None = None) -> list[Mapping[str, Any]]:
    """A patient's messages by the instant they were scheduled for, latest first; before that position."""
    where, values = ("", ()) if before is None else (" AND (j.scheduled_at, j.id) < (%s, %s)", before)
    sql = (
        f"SELECT {_COLUMNS} FROM comm_jobs j WHERE j.patient_id = %s{where}"
        " ORDER BY j.scheduled_at DESC, j.id DESC LIMIT %s"
    )
    return [_opened(row) for row in fetch_dicts(sql, (patient_id, *values, limit))]


def activity(patient_id: UUID) -> Activity:
    """What was lately sent to the patient, and what came back."""
    [(sent, opened, replied, unanswered)] = fetch_all(
        """
        WITH sent AS (SELECT sent_at, opened_at, replied_at, greatest(opened_at, clicked_at, replied_at) AS engaged_at
            FROM comm_jobs WHERE patient_id = %(id)s AND status = 'SENT')
        SELECT max(sent_at), max(opened_at), max(replied_at), count(*) FILTER (WHERE sent_at > now() - interval '30 days'
            AND sent_at > coalesce((SELECT max(engaged_at) FROM sent), '-infinity')) FROM sent
        """,
        {"id": patient_id},
    )
    return Activity(sent, opened, replied, fatigue(unanswered))


def _opened(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """With where it goes and its subject, and nothing else of what was sealed."""
    said = COMM_JOBS.opened(row)
    return {name: said[name] for name in row if name != COMM_JOBS.column}
