"""Links that patients open without signing in: to read a message, or to choose how to be reached. Owns their table.

A link names a random token of 256 bits whose hash alone is kept; it ends by itself, and can be ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from dispatchlog.systems.outreach.inputs import Asker
from dispatchlog.systems.outreach.states import Channel


@dataclass(frozen=True, slots=True)
class PortalLink:
    """What a token opens. `text` of kind "message" is what may not stand in the message itself."""

    id: UUID
    kind: str
    patient_id: UUID
    job_id: UUID | None
    channel: Channel | None
    marketing: bool
    text: str
    expires_at: datetime


def issue_message_link(patient_id: UUID, job_id: UUID, text: str, *, expires_at: datetime) -> str:
    """A link to read `text`, in the caller's transaction: the whole address."""
    raise NotImplementedError


def issue_preferences_link(
    patient_id: UUID, *, channel: Channel | None, marketing: bool, job_id: UUID | None = None
) -> str:
    """A link to the patient's preferences, whose address ends in a token; with `channel`, the one-click address of RFC 8058
    is the same with "/one-click" behind it. In the caller's transaction."""
    raise NotImplementedError


def open_link(token: str, *, kind: str, asker: Asker) -> PortalLink:
    """What the token opens; counted and audited (`access`).

    Raises:
        OutreachError: LINK_UNKNOWN, LINK_EXPIRED, LINK_REVOKED.
    """
    raise NotImplementedError


def revoke_links(patient_id: UUID) -> int:
    """End all the patient's links."""
    raise NotImplementedError
