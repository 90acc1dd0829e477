"""Which channel, which instant, or why none: a pure function of preferences, templates, limits and the request.

The decision is stored with its job as it was made, so that anybody can read later why.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.inputs import ScheduleInput
from dispatchlog.systems.outreach.preferences import Preferences
from dispatchlog.systems.outreach.states import Channel


@dataclass(frozen=True, slots=True)
class Candidate:
    """One channel that a template exists for, in the language that the patient reads or the nearest one."""

    channel: Channel
    template_id: UUID
    language: str
    is_available: bool
    texts_today: int = 0
    texts_this_week: int = 0
    next_day_begins: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`channel` None: it is not sent, and `refused` is the code. `document` is what is stored:

    {"channel": {"chosen": "sms", "considered": [{"channel", "chosen", "code", "words"}]},
     "time": {"wanted", "at", "zone", "local", "reasons": [{"code", "words"}]},
     "refused": {"code", "words"} | null, "urgent": bool, "preferences_version": int, "decided_at": iso}
    """

    channel: Channel | None
    template_id: UUID | None
    at: datetime
    refused: str
    document: Mapping[str, Any]


def decide(
    wanted: ScheduleInput, preferences: Preferences, candidates: Mapping[Channel, Candidate], *, now: datetime
) -> Decision:
    """Preferred channel first where it may be used, then SMS, WhatsApp, e-mail for short care messages (e-mail first for
    marketing). Urgent ones skip quiet hours, limits and best hour, never a stop or a missing address.

    Codes of a channel not taken: NO_TEMPLATE, NO_ADDRESS, CHANNEL_OFF, STOPPED, NO_MARKETING_CONSENT, NOT_CONFIGURED,
    EXCLUDED, NOT_PREFERRED. Codes of a refusal: PATIENT_INACTIVE, NO_CHANNEL, EXPIRES_BEFORE_LAWFUL.
    """
    raise NotImplementedError
