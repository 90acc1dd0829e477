"""What patients' own pages ask besides their link: where a message went. Owns its SQL."""

from __future__ import annotations

from uuid import UUID

from dispatchlog.engine.database import fetch_all
from dispatchlog.systems.outreach.states import Channel


def address_of_job(job_id: UUID | None, channel: Channel) -> str | None:
    """Where the message went in which the link stood, if it went by this channel."""
    if job_id is None:
        return None
    rows = fetch_all("SELECT recipient FROM comm_jobs WHERE id = %s AND channel = %s", (job_id, str(channel)))
    return rows[0][0] or None if rows else None
