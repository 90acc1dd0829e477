"""The HL7 pages' queries. Owns their SQL; changes nothing.

A list walks the index on (created_at, id) that its filter's school and state begin, and stops after one page; counts stop
at a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.hl7_filter import MessageFilter
from dashboard.queries import COUNT_LIMIT, MATCH_LIMIT, PAGE_ROWS, Count, Page, Query, page_of
from dispatchlog.engine.database import fetch_all, fetch_dicts, fetch_one
from dispatchlog.engine.errors import DispatchNotFound
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import HL7_MESSAGES
from dispatchlog.systems.hl7.schools import School

# How far back a retry by hand is looked for among those of all lanes.
LATEST_RETRIES = 2_000

_COLUMNS = (
    "m.id, 'hl7' AS lane, m.status, m.in_doubt, m.due_at, m.expires_at, m.first_claimed_at, m.attempts,"
    " m.attempts_forgiven, m.last_error, m.last_error_code, m.created_at, m.sent_at, m.updated_at, m.route,"
    " m.message_type, m.control_id, m.student_number, m.student_name, m.sealed, m.replaces_id, m.search_keys"
)


@dataclass(frozen=True, slots=True)
class LastRetry:
    """When somebody last asked for a message again, and who."""

    at: datetime
    actor: str


def list_messages(wanted: MessageFilter) -> Page:
    """One page of the messages that the filter lets through, the newest first."""
    sql, params = list_query(wanted)
    return page_of([_listed(row) for row in fetch_dicts(sql, params)], wanted.position)


def _listed(row: Row) -> Row:
    """With the student's name, and nothing else of what was sealed."""
    said = HL7_MESSAGES.opened(row)
    return {name: said[name] for name in row if name != HL7_MESSAGES.column}


def list_query(wanted: MessageFilter) -> Query:
    """The rows from the filter's position on, in walking order."""
    where: list[str] = []
    params: list[Any] = []
    if wanted.school is not None:
        where.append("m.school_id = %s")
        params.append(wanted.school.id)
    if wanted.status:
        where.append("m.status = %s")
        params.append(wanted.status)
    for at, comparison in ((wanted.from_at, ">="), (wanted.before_at, "<")):
        if at is not None:
            where.append(f"m.created_at {comparison} %s")
            params.append(at)
    newer = wanted.position is not None and wanted.position.newer
    if wanted.position is not None:
        where.append(f"(m.created_at, m.id) {'>' if newer else '<'} (%s, %s)")
        params += [wanted.position.at, wanted.position.id]
    way = "ASC" if newer else "DESC"
    narrowed = f" WHERE {' AND '.join(where)}" if where else ""
    sql = f"SELECT {_COLUMNS}, m.created_at AS sort_at FROM hl7_messages m{narrowed}"
    return f"{sql} ORDER BY m.created_at {way}, m.id {way} LIMIT %s", [*params, PAGE_ROWS + 1]


def count_messages(status: str, school: School | None, *, limit: int = COUNT_LIMIT) -> Count:
    """How many messages, of one school or all, are in this state; it stops beyond `limit`."""
    where, params = ("school_id = %s AND ", [school.id]) if school else ("", [])
    counted = fetch_one(
        f"SELECT count(*) FROM (SELECT FROM hl7_messages WHERE {where}status = %s LIMIT %s) c",
        (*params, status, limit + 1),
    )
    return Count(int(counted[0]), limit)


def count_to_retry(status: str, school: School | None) -> Count:
    """The same, counted as far as somebody is asked to type it."""
    return count_messages(status, school, limit=MATCH_LIMIT)


def last_retry() -> LastRetry | None:
    """The latest retry of a message by hand; None where there is none among the latest of all lanes."""
    rows = fetch_all(
        "SELECT at, actor FROM (SELECT at, actor, lane FROM operator_actions WHERE action = 'retry'"
        " ORDER BY at DESC, id DESC LIMIT %s) r WHERE lane = 'hl7' ORDER BY at DESC LIMIT 1",
        (LATEST_RETRIES,),
    )
    return LastRetry(*rows[0]) if rows else None


def find_message(message_id: UUID) -> Row:
    """The message with its school's name, its visit's number and kind, and what it replaces.

    Raises:
        DispatchNotFound: there is no such message.
    """
    rows = fetch_dicts(
        "SELECT m.*, 'hl7' AS lane, s.name AS school_name, v.number AS visit_number, v.visited_at, v.source,"
        " r.control_id AS replaces_control_id FROM hl7_messages m JOIN schools s ON s.id = m.school_id"
        " LEFT JOIN visits v ON v.id = m.visit_id LEFT JOIN hl7_messages r ON r.id = m.replaces_id WHERE m.id = %s",
        (message_id,),
    )
    if not rows:
        raise DispatchNotFound(f"no dispatch {message_id} in HL7 messages")
    return HL7_MESSAGES.opened(rows[0])


def replacements(message_id: UUID) -> list[Row]:
    """The messages written in place of this one, the newest first."""
    return [
        *fetch_dicts(
            "SELECT id, 'hl7' AS lane, control_id, status, in_doubt, created_at, written_by FROM hl7_messages"
            " WHERE replaces_id = %s ORDER BY created_at DESC, id DESC LIMIT 20",
            (message_id,),
        )
    ]


def control_id_of(message_id: UUID) -> str:
    """What both sides call the message; "" where there is none such."""
    rows = fetch_all("SELECT control_id FROM hl7_messages WHERE id = %s", (message_id,))
    return rows[0][0] if rows else ""
