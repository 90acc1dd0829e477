"""Visits and their HL7 messages as the JSON API shows them. Owns these queries; reads no body, no name, nothing clinical.

Pages go by `seq`, newest first, each along one index whatever is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from dispatchlog.engine.database import connected, execute, fetch_dicts
from dispatchlog.engine.lanes import Row

# created_at is when a message's transaction began and seq is from within it, so they agree but for that one's length.
_LONGEST_TRANSACTION = timedelta(minutes=10)
_COLUMNS = (
    "m.id, m.seq, m.status, m.in_doubt, m.visit_id, s.code AS school, m.school_id, m.message_type, m.control_id,"
    " m.student_number, m.attempts, m.attempts - m.attempts_forgiven AS retry_count, m.due_at, m.sent_at,"
    " m.last_error_code, m.replaces_id, m.trace_id, m.created_at, m.updated_at"
)


@dataclass(frozen=True, slots=True)
class MessageQuestion:
    """Which messages: of a status, of a school's id, created from an instant until before another; None leaves one out."""

    status: str | None = None
    school_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    limit: int = 50


def find_messages(question: MessageQuestion) -> Sequence[Row]:
    """One more than a page of them, newest first, if there are so many."""
    conditions: dict[str, object] = {}
    if question.status:
        conditions["m.status = %s"] = question.status
    if question.school_id:
        conditions["m.school_id = %s"] = question.school_id
    if question.before is not None:
        conditions["m.seq < %s"] = question.before
    with connected():
        if question.since is not None:
            conditions["m.created_at >= %s"] = question.since
            conditions["m.seq > %s"] = _last_before(question.since - _LONGEST_TRANSACTION)
        if question.until is not None:
            conditions["m.created_at < %s"] = question.until
            conditions["m.seq <= %s"] = _first_from(question.until + _LONGEST_TRANSACTION)
        where = " AND ".join(conditions) or "true"
        return fetch_dicts(
            f"SELECT {_COLUMNS} FROM hl7_messages m JOIN schools s ON s.id = m.school_id WHERE {where}"
            " ORDER BY m.seq DESC LIMIT %s",
            (*conditions.values(), question.limit + 1),
        )


def message(message_id: UUID) -> Row | None:
    """One message, None if there is none."""
    with connected():
        rows = fetch_dicts(
            f"SELECT {_COLUMNS} FROM hl7_messages m JOIN schools s ON s.id = m.school_id WHERE m.id = %s", (message_id,)
        )
    return rows[0] if rows else None


def attempts(message_id: UUID) -> Sequence[Row]:
    """The newest tries of a message, oldest first, with the codes of what came back and none of its words."""
    with connected():
        rows = fetch_dicts(
            "SELECT number, gateway, sending_at, finished_at, outcome, code, latency_ms,"
            " evidence->>'code' AS acknowledgement_code, evidence->'errors' AS error_codes"
            " FROM dispatch_attempts WHERE dispatch_id = %s ORDER BY id DESC LIMIT 200",
            (message_id,),
        )
    return rows[::-1]


def visit(visit_id: UUID) -> Row | None:
    """One visit with its school and `messages`, None if there is none."""
    with connected():
        rows = fetch_dicts(
            "SELECT v.id AS visit_id, v.number, v.kind, s.code AS school, v.school_id, v.visited_at, v.student_number,"
            " v.warnings, v.source, v.trace_id, v.created_at FROM visits v JOIN schools s ON s.id = v.school_id"
            " WHERE v.id = %s",
            (visit_id,),
        )
        if not rows:
            return None
        messages = fetch_dicts(
            f"SELECT {_COLUMNS} FROM hl7_messages m JOIN schools s ON s.id = m.school_id WHERE m.visit_id = %s"
            " ORDER BY m.seq",
            (visit_id,),
        )
    return {**rows[0], "messages": messages}


def _last_before(instant: datetime) -> int:
    row = execute(
        "SELECT seq FROM hl7_messages WHERE created_at < %s ORDER BY created_at DESC LIMIT 1", (instant,)
    ).fetchone()
    return row[0] if row else 0


def _first_from(instant: datetime) -> int:
    row = execute(
        "SELECT seq FROM hl7_messages WHERE created_at >= %s ORDER BY created_at LIMIT 1", (instant,)
    ).fetchone()
    return row[0] if row else 2**63 - 1
