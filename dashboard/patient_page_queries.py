"""What patients' own pages ask besides their link: whose clinic writes, and where a message went. Owns its SQL."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from dispatchlog.engine.database import fetch_all
from dispatchlog.systems.outreach.states import Channel


@dataclass(frozen=True, slots=True)
class Clinic:
    """Who writes to a patient; both are "" where nobody said."""

    name: str
    phone: str


def clinic_of(patient_id: UUID) -> Clinic:
    """The patient's organisation."""
    rows = fetch_all(
        "SELECT o.name, o.phone FROM patients p JOIN comm_organizations o ON o.id = p.organization_id WHERE p.id = %s",
        (patient_id,),
    )
    return Clinic(*rows[0]) if rows else Clinic("", "")


def address_of_job(job_id: UUID | None, channel: Channel) -> str | None:
    """Where the message went in which the link stood, if it went by this channel."""
    if job_id is None:
        return None
    rows = fetch_all("SELECT recipient FROM comm_jobs WHERE id = %s AND channel = %s", (job_id, str(channel)))
    return rows[0][0] or None if rows else None
