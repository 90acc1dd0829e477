"""Taking a visit: it and its message are stored in one transaction, and then it is known. Never talks to an endpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg2

from dispatchlog.broker import get_waker
from dispatchlog.engine import ledger
from dispatchlog.engine.database import execute, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.row_content import VISITS
from dispatchlog.settings import get_settings
from dispatchlog.systems.hl7 import stored_visit
from dispatchlog.systems.hl7.builder import build
from dispatchlog.systems.hl7.checks import VisitError, check_visit
from dispatchlog.systems.hl7.endpoints import SELECT, identity_of
from dispatchlog.systems.hl7.identity import new_control_id
from dispatchlog.systems.hl7.lane import hl7_lane
from dispatchlog.systems.hl7.message_types import MESSAGES
from dispatchlog.systems.hl7.records import Student, Visit

UNKNOWN_SCHOOL, VISIT_EXISTS = "UNKNOWN_SCHOOL", "VISIT_EXISTS"


@dataclass(frozen=True, slots=True)
class RecordedVisit:
    """What was stored: `created` is False where the same report had been stored before."""

    visit_id: UUID
    school: str
    school_id: UUID
    number: str
    messages: tuple[dict[str, Any], ...]
    warnings: tuple[str, ...]
    created: bool


def record_visit(school: str, visit: Visit, *, source: str, trace_id: str = "") -> RecordedVisit:
    """Store the visit and its message, PENDING. Saying the same again changes nothing and answers the same.

    Raises:
        VisitError: it cannot be taken as it is, the school is unknown (UNKNOWN_SCHOOL), or another visit has this id
            (VISIT_EXISTS); nothing is stored.
    """
    record = stored_visit.to_json(visit)
    with transaction(f"service:{source}"):
        endpoint = school_endpoint(school)
        message_type = endpoint["messages"].get(visit.kind) or MESSAGES[visit.kind]
        warnings = check_visit(visit, message_type, now=datetime.now(UTC))
        created = _insert_visit(endpoint, visit, record, warnings, source=source, trace_id=trace_id)
        if created:
            enqueue_message(endpoint, visit, message_type, trace_id=trace_id)
        messages = fetch_dicts(
            "SELECT id, message_type, control_id, status FROM hl7_messages WHERE visit_id = %s ORDER BY seq",
            (visit.id,),
        )
    return RecordedVisit(
        visit.id, endpoint["code"], endpoint["school_id"], visit.number, tuple(messages), warnings, created
    )


def school_endpoint(school: str) -> Mapping[str, Any]:
    """The school's endpoint as it is stored, by the school's code or id.

    Raises:
        VisitError: UNKNOWN_SCHOOL.
    """
    rows = fetch_dicts(f"{SELECT} WHERE s.code = %s OR s.id::text = lower(%s)", (school, school))
    if not rows:
        raise VisitError("there is no such school", code=UNKNOWN_SCHOOL, field="schoolId")
    return rows[0]


def _insert_visit(
    endpoint: Mapping[str, Any],
    visit: Visit,
    record: Mapping[str, Any],
    warnings: tuple[str, ...],
    *,
    source: str,
    trace_id: str,
) -> bool:
    fingerprint = stored_visit.fingerprint(record)
    content = {"student_name": full_name(visit.student), "record": json.dumps(record, ensure_ascii=False)}
    written = VISITS.sealing({"id": visit.id, **content})
    inserted = execute(
        "INSERT INTO visits (id, school_id, number, kind, visited_at, student_number, student_name, record,"
        " record_sha256, warnings, source, trace_id, sealed)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s::text[], %s, %s, %s)"
        " ON CONFLICT (id) DO NOTHING",
        (
            visit.id,
            endpoint["school_id"],
            visit.number,
            str(visit.kind),
            visit.visited_at,
            visit.student.id,
            written["student_name"],
            written["record"],
            psycopg2.Binary(fingerprint),
            list(warnings),
            source[:128],
            trace_id,
            written.get("sealed"),
        ),
    )
    if inserted.rowcount:
        return True
    known = fetch_one("SELECT record_sha256, school_id FROM visits WHERE id = %s", (visit.id,))
    if bytes(known[0]) != fingerprint or known[1] != endpoint["school_id"]:
        message = "another visit has been reported with this id; a correction is a visit of its own (kind UPDATE)"
        raise VisitError(message, code=VISIT_EXISTS, field="visitId")
    return False


def enqueue_message(
    endpoint: Mapping[str, Any],
    visit: Visit,
    message_type: str,
    *,
    trace_id: str = "",
    replaces_id: UUID | None = None,
    written_by: str = "",
    **more: Any,
) -> UUID:
    """Put the visit's message into the lane, in the caller's transaction; its id comes back. `more` are other columns."""
    lane = hl7_lane()
    identity = identity_of(endpoint)
    now = datetime.now(UTC)
    control_id = new_control_id(identity.control_id_length)
    code, student = endpoint["code"], visit.student
    row = {
        "id": new_id(),
        "route": code,
        "stale_at": now + timedelta(seconds=get_settings().hl7_max_age_seconds),
        "ordering_key": f"{code}:{student.id}",
        "visit_id": visit.id,
        "school_id": endpoint["school_id"],
        "message_type": message_type,
        "control_id": control_id,
        "body": build(visit, message_type, identity, control_id=control_id, created_at=now),
        "student_number": student.id,
        "student_name": full_name(student),
        "replaces_id": replaces_id,
        "written_by": written_by,
        "subject_id": f"student:{code}:{student.id}",
        "search_keys": [student.id, visit.number, control_id, str(visit.id)],
        "trace_id": trace_id,
        **more,
    }
    (message_id,) = ledger.enqueue(lane, [row])
    get_waker().after_commit(lane)
    return message_id


def full_name(student: Student) -> str:
    """Family name first, as lists of a school have it."""
    return f"{student.family_name}, {student.given_name}"[:255]
