"""The queries of what patients wrote back and of the other times they wish for. Owns their SQL; changes nothing."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from dashboard.connection import DATABASE_ERRORS
from dashboard.filters import Position
from dashboard.masking import mask_name
from dashboard.queries import COUNT_LIMIT, Count
from dispatchlog.engine.database import database, fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import COMM_INBOUND, COMM_JOBS
from dispatchlog.systems.outreach.contacts import open_text

PAGE_ROWS = 15

# The message, and what it answers with the appointment that this is about.
_ROWS = """
SELECT i.*, j.purpose AS job_purpose, j.body AS job_body, j.sealed AS job_sealed, j.asks AS job_asks,
    j.language AS job_language, j.appointment_id, a.starts_at, a.timezone, a.status AS appointment_status,
    coalesce(a.starts_at > now() AND a.status IN ('scheduled', 'confirmed', 'reschedule_requested'), false) AS is_ahead
FROM ({rows}) i LEFT JOIN comm_jobs j ON j.id = i.related_job_id LEFT JOIN comm_appointments a ON a.id = j.appointment_id
ORDER BY i.created_at {direction}, i.id {direction}
"""
_WAITING = "SELECT * FROM comm_inbound WHERE waits_for_person AND NOT processed{} ORDER BY created_at, id LIMIT %s"
_DONE = "SELECT * FROM comm_inbound WHERE processed{} ORDER BY created_at DESC, id DESC LIMIT %s"
_REQUESTS = """
SELECT r.*, a.starts_at, a.timezone, a.place, a.status AS appointment_status, v.name AS provider_name, i.body AS said,
    i.sealed, i.related_job_id
FROM (SELECT * FROM comm_reschedule_requests WHERE status = 'open'{} ORDER BY created_at, id LIMIT %s) r
JOIN comm_appointments a ON a.id = r.appointment_id LEFT JOIN comm_providers v ON v.id = a.provider_id
LEFT JOIN comm_inbound i ON i.id = r.inbound_id ORDER BY r.created_at, r.id
"""


def waiting_messages(position: Position | None) -> tuple[list[Row], Position | None]:
    """One page of what waits for a person, the oldest first, and where the next one begins."""
    after = " AND (created_at, id) > (%s, %s)" if position else ""
    return _page(_ROWS.format(rows=_WAITING.format(after), direction="ASC"), position)


def processed_messages(position: Position | None) -> tuple[list[Row], Position | None]:
    """One page of what was dealt with, the newest first, and where the next one begins."""
    after = " AND (created_at, id) < (%s, %s)" if position else ""
    return _page(_ROWS.format(rows=_DONE.format(after), direction="DESC"), position)


def masked_names(ids: Iterable[UUID | None]) -> dict[UUID, str]:
    """The names of these patients, as lists show them."""
    found = fetch_all("SELECT id, name_sealed FROM patients WHERE id = ANY (%s::uuid[])", ([*{*ids} - {None}],))
    return {patient_id: mask_name(open_text(sealed, patient_id) or "") or "No name" for patient_id, sealed in found}


def open_wishes(position: Position | None) -> tuple[list[Row], Position | None]:
    """One page of the open wishes for another time, the oldest first, and where the next one begins."""
    return _page(_REQUESTS.format(" AND (created_at, id) > (%s, %s)" if position else ""), position)


def count_waiting() -> Count:
    """How many messages wait for a person."""
    return _count("comm_inbound WHERE waits_for_person AND NOT processed")


def count_wishes() -> Count:
    """How many wishes for another time are open."""
    return _count("comm_reschedule_requests WHERE status = 'open'")


def number_waiting() -> Count | None:
    """How many messages wait, for the menu; None where the database cannot be asked."""
    return _number("comm_inbound WHERE waits_for_person AND NOT processed")


def number_of_wishes() -> Count | None:
    """How many wishes are open, for the menu; None where the database cannot be asked."""
    return _number("comm_reschedule_requests WHERE status = 'open'")


def _page(sql: str, position: Position | None) -> tuple[list[Row], Position | None]:
    start = (position.at, position.id) if position else ()
    found = fetch_dicts(sql, (*start, PAGE_ROWS + 1))
    page = [_opened(row) for row in found[:PAGE_ROWS]]
    return page, Position(page[-1]["created_at"], page[-1]["id"]) if len(found) > PAGE_ROWS else None


def _opened(row: Row) -> Row:
    """With what the patient wrote, and with the words of the message that it answers."""
    if "said" in row:  # a wish for another time; the message is another row
        opened = COMM_INBOUND.opened({"id": row["inbound_id"], "sealed": row["sealed"], "body": row["said"]})
        return {**row, "said": opened["body"]}
    job = COMM_JOBS.opened({"id": row["related_job_id"], "sealed": row["job_sealed"], "body": row["job_body"]})
    return {**COMM_INBOUND.opened(row), "job_body": job["body"]}


def _number(what: str) -> Count | None:
    if database.is_closed():
        return None
    try:
        return _count(what)
    except DATABASE_ERRORS:
        return None


def _count(what: str) -> Count:
    return Count(int(fetch_all(f"SELECT count(*) FROM (SELECT FROM {what} LIMIT %s) c", (COUNT_LIMIT + 1,))[0][0]))
