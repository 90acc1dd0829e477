"""The queries of patients' pages about messages. Owns their SQL; changes nothing.

Every branch of a patient's story walks an index that the patient begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.days import instant_of, microseconds_of
from dashboard.filters import Position
from dashboard.queries import Page, page_of
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import COMM_INBOUND, COMM_JOBS

PAGE_LINES = 30
PAGE_PATIENTS = 50
MOST_PLANNED = 50
MOST_APPOINTMENTS = 12

_JOB = (
    "t.id, t.status, t.in_doubt, t.purpose, t.channel, t.language, t.route, t.is_urgent, t.is_marketing, t.decision,"
    " t.scheduled_at, t.due_at, t.sent_at, t.delivered_at, t.opened_at, t.clicked_at, t.replied_at, t.bounced_at,"
    " t.bounce_code, t.unsubscribed_at, t.last_error, t.last_error_code, t.fallback_of, t.campaign_id,"
    " (SELECT c.name FROM comm_campaigns c WHERE c.id = t.campaign_id) AS campaign_name,"
    " (SELECT f.id FROM comm_jobs f WHERE f.fallback_of = t.id LIMIT 1) AS replaced_by"
)
# When a message left, or when it was given up; never the instant for which it was planned.
_HAPPENED = "coalesce(t.sent_at, CASE WHEN t.status IN ('CANCELLED', 'FAILED') THEN t.updated_at END, t.created_at)"
_NUMBERED = "lpad(t.id::text, 19, '0')"


@dataclass(frozen=True, slots=True)
class Branch:
    """One kind of line: where it is stored, its instant, and its id as text that is ordered as ids are."""

    mark: str
    table: str
    columns: str
    at: str
    only: str = ""
    id: str = "t.id::text"


BRANCHES = {
    "messages": Branch("m", "comm_jobs", _JOB, _HAPPENED, "t.status NOT IN ('PENDING', 'QUEUED')"),
    "answers": Branch(
        "i",
        "comm_inbound",
        "t.id, t.channel, t.body, t.sealed, t.intent, t.confidence, t.language, t.action, t.waits_for_person, t.processed,"
        " t.processed_by, t.processed_at, t.note, t.related_job_id",
        "t.created_at",
    ),
    "consent": Branch(
        "c",
        "comm_consents",
        "t.id, t.channel, t.purpose_class, t.given, t.wording, t.wording_version, t.language, t.source, t.actor,"
        " (SELECT i.created_at FROM comm_inbound i WHERE i.id = (t.evidence ->> 'inbound')::uuid"
        " AND i.patient_id = t.patient_id) AS said_at",
        "t.at",
        id=_NUMBERED,
    ),
    "people": Branch(
        "a", "comm_audit_log", "t.id, t.action, t.actor, t.details, t.ip_address", "t.created_at", id=_NUMBERED
    ),
    "requests": Branch(
        "r", "comm_reschedule_requests", "t.id, t.status, t.handled_by, t.handled_at, t.note", "t.created_at"
    ),
}
# What people did as far as no other line tells it.
UNTOLD = "t.action IN ('preference_change', 'access')"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page of a story begins: behind the line of this instant and key."""

    at: datetime
    key: str

    def __str__(self) -> str:
        return f"{microseconds_of(self.at)}.{self.key}"


def beginning_with(at: datetime, mark: str) -> Place:
    """Where a page begins whose first line is the one of this kind and instant."""
    return Place(at, chr(ord(mark) + 1))


def read_place(text: str) -> Place | None:
    """As `Place` writes itself; None where it cannot be read."""
    at, _, key = text.partition(".")
    try:
        return Place(instant_of(at), key[:64]) if key else None
    except (ValueError, OverflowError):
        return None


def lines_of(patient_id: UUID, kinds: Sequence[str], *, after: Place | None) -> tuple[list[Row], Place | None]:
    """One page of a patient's story, newest first, each line with its `kind`, `at` and `key`; where the next one begins."""
    found: list[Row] = []
    for kind in kinds:
        only = UNTOLD if kind == "people" and len(kinds) > 1 else BRANCHES[kind].only
        rows = _branch(patient_id, BRANCHES[kind], only, after)
        found += [{**(COMM_INBOUND.opened(row) if kind == "answers" else row), "kind": kind} for row in rows]
    found.sort(key=lambda row: (row["at"], row["key"]), reverse=True)
    page = found[:PAGE_LINES]
    return page, Place(page[-1]["at"], page[-1]["key"]) if len(found) > PAGE_LINES else None


def _branch(patient_id: UUID, branch: Branch, only: str, after: Place | None) -> Sequence[Row]:
    key = f"'{branch.mark}' || {branch.id} COLLATE \"C\""
    where: list[str] = ["t.patient_id = %s"]
    params: list[Any] = [patient_id]
    if only:
        where.append(only)
    if after is not None:
        where.append(f"{branch.at} <= %s AND ({branch.at}, {key}) < (%s, %s)")
        params += [after.at, after.at, after.key]
    return fetch_dicts(
        f"SELECT {branch.columns}, {branch.at} AS at, {key} AS key FROM {branch.table} t WHERE {' AND '.join(where)}"
        f" ORDER BY {branch.at} DESC, t.id DESC LIMIT %s",
        (*params, PAGE_LINES + 1),
    )


def planned(patient_id: UUID) -> list[Row]:
    """What has not left yet, the next first."""
    rows = fetch_dicts(
        f"SELECT {_JOB} FROM comm_jobs t WHERE t.patient_id = %s AND t.status IN ('PENDING', 'QUEUED')"
        " ORDER BY t.due_at, t.id LIMIT %s",
        (patient_id, MOST_PLANNED),
    )
    return [*rows]


def texts_of(ids: Sequence[UUID]) -> list[Row]:
    """The stored texts of some messages, with what was written into them."""
    rows = fetch_dicts("SELECT id, body, variables, sealed FROM comm_jobs WHERE id = ANY (%s::uuid[])", (list(ids),))
    return [COMM_JOBS.opened(row) for row in rows]


def appointments_of(patient_id: UUID) -> list[Row]:
    """The patient's appointments, the latest first."""
    rows = fetch_dicts(
        "SELECT a.id, a.starts_at, a.timezone, a.place, a.status, a.confirmed_at, a.confirmed_by,"
        " r.id AS request_id, r.created_at AS requested_at FROM comm_appointments a"
        " LEFT JOIN comm_reschedule_requests r ON r.appointment_id = a.id AND r.status = 'open'"
        " WHERE a.patient_id = %s ORDER BY a.starts_at DESC LIMIT %s",
        (patient_id, MOST_APPOINTMENTS),
    )
    return [*rows]


def looked_lately(patient_id: UUID, user_id: int, *, minutes: int) -> bool:
    """Whether this member of staff opened the patient's page a moment ago, so that it is kept already."""
    found = fetch_all(
        "SELECT 1 FROM comm_audit_log WHERE patient_id = %s AND action = 'access' AND user_id = %s"
        " AND created_at > now() - %s * interval '1 minute' LIMIT 1",
        (patient_id, user_id, minutes),
    )
    return bool(found)


def not_looked_at(patient_ids: Iterable[UUID], user_id: int, *, minutes: int) -> list[UUID]:
    """Those of these patients of whom it is not kept yet that this member of staff read about them so lately."""
    found = fetch_all(
        "SELECT p.id FROM unnest(%s::uuid[]) p (id) WHERE NOT EXISTS (SELECT FROM comm_audit_log a"
        " WHERE a.patient_id = p.id AND a.action = 'access' AND a.user_id = %s"
        " AND a.created_at > now() - %s * interval '1 minute') ORDER BY p.id",
        (sorted(set(patient_ids)), user_id, minutes),
    )
    return [patient_id for (patient_id,) in found]


def newest_patients(position: Position | None) -> Page:
    """One page of the patients, the newest first, as the core platform reported them."""
    newer = position is not None and position.newer
    way = "ASC" if newer else "DESC"
    where, params = "", list[Any]()
    if position is not None:
        where = f" WHERE (p.created_at, p.id) {'>' if newer else '<'} (%s, %s)"
        params = [position.at, position.id]
    rows = fetch_dicts(
        "SELECT p.id, p.name_sealed, p.active, p.created_at AS sort_at, o.name AS organization_name,"
        " v.name AS provider_name FROM"
        f" (SELECT * FROM patients p{where} ORDER BY p.created_at {way}, p.id {way} LIMIT %s) p"
        " LEFT JOIN comm_providers v ON v.id = p.provider_id"
        " LEFT JOIN comm_organizations o ON o.id = coalesce(p.organization_id, v.organization_id)"
        f" ORDER BY p.created_at {way}, p.id {way}",
        (*params, PAGE_PATIENTS + 1),
    )
    return page_of(rows, position)
