"""What patients' own pages ask besides their link: where a message went. Owns its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.row_content import COMM_JOBS
from dispatchlog.systems.outreach.states import Channel


@dataclass(frozen=True, slots=True)
class Reached:
    """Where the message of a link went; `theirs`: it is the patient's address by this channel still."""

    channel: Channel
    address_hash: bytes
    theirs: bool


_REACHED = """
SELECT j.channel, j.recipient_hash, EXISTS (
    SELECT FROM comm_addresses a
    WHERE a.patient_id = j.patient_id AND a.channel = j.channel AND a.address_hash = j.recipient_hash
) FROM comm_jobs j WHERE j.id = %s AND j.recipient_hash IS NOT NULL
"""


def reached_by(job_id: UUID) -> Reached | None:
    """Who opens the link of this message reads there; None where it went nowhere."""
    rows = fetch_all(_REACHED, (job_id,))
    return Reached(Channel(rows[0][0]), bytes(rows[0][1]), rows[0][2]) if rows else None


def address_of_job(job_id: UUID | None, channel: Channel) -> str | None:
    """Where the message went in which the link stood, if it went by this channel."""
    if job_id is None:
        return None
    rows = fetch_dicts(
        "SELECT id, recipient, sealed FROM comm_jobs WHERE id = %s AND channel = %s", (job_id, str(channel))
    )
    return COMM_JOBS.opened(rows[0])["recipient"] or None if rows else None
