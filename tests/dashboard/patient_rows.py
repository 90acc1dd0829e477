"""Owns patients and their messages for tests of pages: rows of every state, and links as they stand in messages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import execute, transaction
from dispatchlog.engine.lanes import Lane
from dispatchlog.systems import registry
from dispatchlog.systems.outreach import portal
from dispatchlog.systems.outreach.lane import LANE
from dispatchlog.systems.outreach.states import Channel
from tests.outreach import builders

NOW = datetime.now(UTC)
DECISION = {
    "channel": {
        "chosen": "sms",
        "considered": [
            {"channel": "sms", "chosen": True, "code": "CHOSEN", "words": "By SMS: it may be used."},
            {"channel": "email", "chosen": False, "code": "CHANNEL_OFF", "words": "Not by e-mail: it is turned off."},
        ],
    },
    "time": {
        "wanted": "2026-01-06T04:10:00+00:00",
        "at": "2026-01-06T13:00:00+00:00",
        "zone": "America/New_York",
        "local": "2026-01-06T08:00:00-05:00",
        "reasons": [{"code": "QUIET_HOURS", "words": "It was 23:10 there."}],
    },
    "refused": None,
}


def lane() -> Lane:
    return registry.lane(LANE)


def planned(patient_id: UUID, channel: Channel = Channel.SMS, **columns: Any) -> UUID:
    """A message that leaves tomorrow."""
    due = {"due_at": NOW + timedelta(days=1), "scheduled_at": NOW + timedelta(days=1)}
    return builders.job(lane(), patient_id, channel, **{"decision": DECISION, **due, **columns})


def moved(patient_id: UUID, status: str, channel: Channel = Channel.SMS, **columns: Any) -> UUID:
    """A message that has gone through all moves up to this state; `columns` of what was heard of it."""
    late = {name: columns.pop(name) for name in [*columns] if name in _LATE}
    past = {"scheduled_at": NOW - timedelta(hours=2)}
    job_id = builders.job(lane(), patient_id, channel, **{"decision": DECISION, **past, **columns})
    with transaction("test", "a test"):
        if status != "CANCELLED":
            execute(_CLAIM, (job_id,))
        values = {"status": status, **(_SENT if status == "SENT" else {}), **late}
        settings = ", ".join(f"{name} = %s" for name in values)
        execute(f"UPDATE comm_jobs SET {settings} WHERE id = %s", (*values.values(), job_id))
    return job_id


_LATE = (
    "sent_at",
    "delivered_at",
    "opened_at",
    "clicked_at",
    "replied_at",
    "bounced_at",
    "bounce_code",
    "unsubscribed_at",
    "in_doubt",
    "last_error",
    "last_error_code",
    "updated_at",
    "fallback_decided_at",
)
_SENT = {"sent_at": NOW - timedelta(hours=1), "provider": "sms-twilio", "provider_message_id": "SM1"}
_CLAIM = (
    "UPDATE comm_jobs SET status = 'QUEUED', claim_token = gen_random_uuid(), claimed_by = 1, claimed_at = now(),"
    " claims = 1, first_claimed_at = now(), attempts = 6 WHERE id = %s"
)


def failed(patient_id: UUID, channel: Channel = Channel.SMS, **columns: Any) -> UUID:
    """A message that a provider refused for good."""
    why = {"last_error_code": "TWILIO_21211", "last_error": "The number +12025550123 does not exist."}
    return moved(patient_id, "FAILED", channel, **{**why, **columns})


def preferences_link(patient_id: UUID, channel: Channel | None = None, **values: Any) -> str:
    """The path of a link to the patient's choices."""
    with transaction("test"):
        address = portal.issue_preferences_link(
            patient_id, channel=channel, marketing=values.pop("marketing", False), **values
        )
    return "/p/" + address.partition("/p/")[2]


def message_link(patient_id: UUID, job_id: UUID, text: str, *, expires_at: datetime | None = None) -> str:
    """The path of a link to a message."""
    with transaction("test"):
        address = portal.issue_message_link(patient_id, job_id, text, expires_at=expires_at or NOW + timedelta(days=7))
    return "/p/" + address.partition("/p/")[2]
