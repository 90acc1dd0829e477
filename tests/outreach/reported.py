"""Owns messages that left, and what providers tell of them, for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.systems.outreach import events
from dispatchlog.systems.outreach.events import Report
from dispatchlog.systems.outreach.hearing import COLUMNS
from dispatchlog.systems.outreach.provider_words import heard_of
from dispatchlog.systems.outreach.states import Channel
from tests.outreach import builders

ROUTES = {"twilio": "sms-twilio", "sendgrid": "email-sendgrid", "whatsapp": "whatsapp-cloud"}
CHANNELS = {"twilio": Channel.SMS, "sendgrid": Channel.EMAIL, "whatsapp": Channel.WHATSAPP}
_CLAIM = """
UPDATE comm_jobs SET status = 'QUEUED', claim_token = %s, claimed_by = 1, claimed_at = clock_timestamp(), claims = 1,
    first_claimed_at = clock_timestamp(), sending_at = clock_timestamp() WHERE id = %s
"""
_ENDS = {
    "SENT": "status = 'SENT', sent_at = clock_timestamp(), provider_message_id = %s",
    "SENT BEFORE": "status = 'SENT', sent_at = clock_timestamp() - interval '2 hours', provider_message_id = %s",
    "DOUBT": "status = 'FAILED', in_doubt = true, provider_message_id = %s",
    "REFUSED": "status = 'FAILED', last_error_code = '21211', provider_message_id = %s",
    "RETRIED": "status = 'PENDING', provider_message_id = %s",
}


def job(lane: Lane, patient_id: UUID, provider: str = "twilio", *, end: str = "SENT", message_id: str | None = None,
        **columns: Any) -> UUID:  # fmt: skip
    """A message by this provider, as its sending ended; `end` "QUEUED": its sender has it, "PENDING": it never left."""
    made = builders.job(lane, patient_id, CHANNELS[provider], **{"route": ROUTES[provider], **columns})
    if end == "PENDING":
        return made
    with transaction("test"):
        execute(_CLAIM, (uuid4(), made))
        if end != "QUEUED":
            finish(made, message_id, end=end)
    return made


def finish(job_id: UUID, message_id: str | None, *, end: str = "SENT") -> None:
    """Its sender says how it ended."""
    with transaction("test"):
        execute(f"UPDATE comm_jobs SET {_ENDS[end]} WHERE id = %s", (message_id, job_id))


def tell(word: str, job_id: UUID | None = None, *, provider: str = "twilio", minutes: int = 0, **values: Any) -> Report:
    """One event; `minutes` after the message was made, as far as the provider says so."""
    made: dict[str, Any] = {
        "provider": provider,
        "event_key": str(uuid4()),
        "raw_status": word,
        "heard": heard_of(provider, word),
        "job_id": job_id,
        "occurred_at": datetime.now(UTC) + timedelta(minutes=minutes),
        **values,
    }
    return Report(**made)


def store(*reports: Report) -> int:
    return events.store_reports(reports, source="native", trace_id="t-1")


def heard(job_id: UUID) -> dict[str, Any]:
    """What is known of the message."""
    with connected():
        return fetch_dicts(f"SELECT status, in_doubt, {', '.join(COLUMNS)} FROM comm_jobs WHERE id = %s", (job_id,))[0]


def effects() -> list[str]:
    """What the events did, in the order in which they came."""
    return [row["effect"] for row in builders.rows("SELECT effect FROM comm_events ORDER BY id")]
