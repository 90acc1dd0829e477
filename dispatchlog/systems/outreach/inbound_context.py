"""What a patient's message may be about: who is reached at its address, and what was asked there. Reads only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.systems.outreach.contacts import address_hash
from dispatchlog.systems.outreach.patients import patients_at_hash
from dispatchlog.systems.outreach.reply_parser import CONFIRMATION, Reading, read_reply
from dispatchlog.systems.outreach.states import Channel

# An answer may come before its question is recorded as sent: the message is on its way, or nobody knows whether it left.
# What was asked about another time is not asked any more: a yes to Tuesday is none to Thursday.
_ASKED = """
WITH asked AS (
    (SELECT id FROM comm_jobs WHERE channel = %(channel)s AND recipient_hash = %(hash)s AND sent_at IS NOT NULL
        ORDER BY sent_at DESC LIMIT 40)
    UNION
    SELECT id FROM comm_jobs WHERE patient_id = ANY (%(patients)s::uuid[]) AND status IN ('QUEUED', 'FAILED')
        AND channel = %(channel)s AND recipient_hash = %(hash)s AND sending_at IS NOT NULL
)
SELECT j.id, j.patient_id, j.channel, j.appointment_id, j.body, j.sealed, j.language, j.purpose, j.answered_at, j.asks,
    j.sent_at, a.starts_at, a.timezone, a.status AS appointment_status,
    coalesce(a.starts_at > now() AND a.status IN ('scheduled', 'confirmed', 'reschedule_requested')
        AND a.starts_at = coalesce((j.decision ->> 'appointment_starts_at')::timestamptz, a.starts_at), false) AS is_ahead
FROM asked JOIN comm_jobs j USING (id) LEFT JOIN comm_appointments a ON a.id = j.appointment_id
ORDER BY coalesce(j.sent_at, j.sending_at) DESC, j.id DESC
"""
# As those that were asked about are given; no message asked about these.
_COMING = """
SELECT NULL::uuid AS id, patient_id, id AS appointment_id, starts_at, timezone, status AS appointment_status
FROM comm_appointments WHERE patient_id = ANY (%s::uuid[]) AND starts_at > now()
    AND status IN ('scheduled', 'confirmed', 'reschedule_requested')
ORDER BY starts_at, id LIMIT %s
"""
_MOST_COMING = 12


@dataclass(frozen=True, slots=True)
class Context:
    """`patients`: whoever is reached there. `newest`: the last message that went there, of whatever kind. `asking`: the
    newest about an appointment ahead, for each patient who was asked; the open ones where there are any."""

    patients: tuple[UUID, ...]
    newest: Mapping[str, Any] | None
    asking: tuple[Mapping[str, Any], ...]

    @property
    def asked(self) -> Mapping[str, Any] | None:
        """The question that is answered; None where there is none, or where two patients were asked."""
        return self.asking[0] if len(self.asking) == 1 else None

    @property
    def patient_id(self) -> UUID | None:
        """The patient who writes, as far as it is certain."""
        if self.asked is not None:
            return UUID(str(self.asked["patient_id"]))
        return self.patients[0] if len(self.patients) == 1 else None

    @property
    def related_job_id(self) -> UUID | None:
        """The message that is answered."""
        job = self.asked or (self.newest if len(self.asking) < 2 else None)
        return UUID(str(job["id"])) if job else None


def context_of(channel: Channel, address: str) -> Context:
    """What is known about a normalised address."""
    found = address_hash(channel, address)
    patients = tuple(patients_at_hash(channel, found))
    rows = fetch_dicts(_ASKED, {"channel": str(channel), "hash": found, "patients": list(patients)})
    jobs = [COMM_JOBS.opened(row) for row in rows]
    asking = [job for job in jobs if job["asks"] == CONFIRMATION and job["is_ahead"]]
    still_open = [job for job in asking if job["answered_at"] is None]
    return Context(patients, jobs[0] if jobs else None, _newest_of_each(still_open or asking))


def coming(context: Context) -> Sequence[Mapping[str, Any]]:
    """The next appointments of whoever is reached at the address, whether they were asked about or not."""
    return fetch_dicts(_COMING, (list(context.patients), _MOST_COMING))


def reading_of(message: Mapping[str, Any], context: Context, *, provider_opt_out: str = "") -> Reading:
    """What the message means, given what was asked."""
    job = context.asking[0] if context.asking else context.newest
    return read_reply(
        message["body"],
        asks=CONFIRMATION if context.asking else "",
        language=job["language"] if job else "",
        provider_opt_out=provider_opt_out,
        offered=job["body"] if job else "",
    )


def _newest_of_each(jobs: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], ...]:
    found: dict[UUID, Mapping[str, Any]] = {}
    for job in jobs:
        found.setdefault(job["patient_id"], job)
    return tuple(found.values())
