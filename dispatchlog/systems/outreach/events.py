"""What providers tell of messages: stored once per event, then applied by rank. Owns `comm_events`.

Storing and applying are two steps: a webhook is answered as soon as it is stored, and what is not applied is found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.systems.outreach.states import Heard


@dataclass(frozen=True, slots=True)
class Report:
    """One event. `event_key`: what the provider says never comes twice for two events; made of message id, status and
    timestamp where it gives none. `heard` None: a word that we do not know, or one that changes nothing."""

    provider: str
    event_key: str
    raw_status: str
    heard: Heard | None
    provider_message_id: str = ""
    job_id: UUID | None = None
    code: str = ""
    occurred_at: datetime | None = None
    body: Mapping[str, Any] = field(default_factory=dict)


def store_reports(reports: Sequence[Report], *, source: str, trace_id: str) -> int:
    """Store, committed when it returns; how many were new. `source`: "native" or "generic"."""
    raise NotImplementedError


def apply_all(*, limit: int = 500) -> int:
    """Apply what is stored: what was heard is a set of instants, so any order of arrival gives the same end; how many.

    A message in doubt that the provider tells of is proved SENT. An opt-out code is a stop. What matches no job is kept as
    UNMATCHED and matched as soon as the job's message id is known."""
    raise NotImplementedError
