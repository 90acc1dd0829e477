"""What providers tell of messages: stored once per event, then applied by rank. Owns `comm_events`.

Storing and applying are two steps: a webhook is answered as soon as it is stored, and what is not applied is found again.
How it is applied stands in `event_applying`, what comes of it in `hearing`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import after_commit, connected, fetch_all
from dispatchlog.storable import key, line, storable
from dispatchlog.systems.outreach import event_applying, waking
from dispatchlog.systems.outreach.states import Heard

# Provider, event key, source, trace id, its message id, our job's id, its word, the status, the code, when, and the body.
EventRow = tuple[Any, ...]

# One statement in autocommit: what is answered with yes is on the disk. The same event twice in one webhook counts once.
_STORE = """
INSERT INTO comm_events (provider, event_key, source, trace_id, provider_message_id, job_id, raw_status, status, code,
    occurred_at, body)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::uuid[], %s::text[], %s::text[],
    %s::text[], %s::timestamptz[], %s::jsonb[])
ON CONFLICT (provider, event_key) DO NOTHING RETURNING provider, event_key
"""


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


def store_reports(
    reports: Sequence[Report],
    *,
    source: str,
    trace_id: str,
    write: Callable[[Sequence[EventRow]], int] | None = None,
) -> int:
    """Store, committed when it returns; how many were new. `source`: "native" or "generic". `write` stores rows and commits
    on a connection of its own; without it, this thread's is used.
    """
    if not reports:
        return 0
    rows = [_row(report, source, trace_id) for report in reports]
    new = write(rows) if write is not None else _write_here(rows)
    if new:
        after_commit("wake:outreach-events", lambda: waking.wake(waking.EVENTS))
    return new


def insertion(rows: Sequence[EventRow]) -> tuple[str, Sequence[Any]]:
    """The statement that stores these, with its parameters; the keys (`key_of`) of those that are new come back from it.

    In one order for all, so that two that store the same events never wait for each other.
    """
    in_order = sorted(rows, key=key_of)
    return _STORE, [list(column) for column in zip(*in_order, strict=True)]


def key_of(row: EventRow) -> tuple[str, ...]:
    """By what an event is known: provider and event key."""
    return row[0], row[1]


def apply_all(*, limit: int = 500) -> int:
    """Apply what is stored: what was heard is a set of instants, so any order of arrival gives the same end; how many.

    `limit` are read at a time, until nothing is left. A message that the provider tells of is proved SENT. An opt-out code
    is a stop. What matches no job is kept as UNMATCHED and matched as soon as the job's message id is known. What cannot be
    applied is logged as OUTREACH_EVENT_NOT_APPLIED, stays open and holds up nothing else. Safe in many processes at once.
    """
    return event_applying.apply_open(limit=limit) + event_applying.match_what_is_known_now()


def _write_here(rows: Sequence[EventRow]) -> int:
    with connected():
        return len(fetch_all(*insertion(rows)))


def _row(report: Report, source: str, trace_id: str) -> EventRow:
    return (
        report.provider,
        key(report.event_key),
        source,
        line(trace_id, most=64),
        line(report.provider_message_id, most=255),
        str(report.job_id) if report.job_id else None,
        line(report.raw_status, most=64),
        str(report.heard) if report.heard else None,
        line(report.code, most=64),
        report.occurred_at,
        json.dumps(storable(report.body), default=str),
    )
