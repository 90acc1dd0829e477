"""The queries of messages to patients that failed or came back. Owns their SQL; changes nothing.

Causes are found by skipping from one to the next in the index of failures by provider and cause, and each is counted up to
the count limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dashboard.filters import Position
from dashboard.queries import COUNT_LIMIT, Count
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import COMM_JOBS

PAGE_ROWS = 25
MOST_CAUSES = 100

_FAILED = "f.status = 'FAILED' AND NOT f.in_doubt AND f.last_error_code IS NOT NULL"
_SAME = "f.status = 'FAILED' AND NOT f.in_doubt AND f.last_error_code = c.cause AND f.route = c.route"
_CAUSES = f"""
WITH RECURSIVE causes AS (
    (SELECT f.route, f.last_error_code AS cause FROM comm_jobs f WHERE {_FAILED}
        ORDER BY f.route, f.last_error_code LIMIT 1)
    UNION ALL
    SELECT n.route, n.cause FROM causes c CROSS JOIN LATERAL (
        SELECT f.route, f.last_error_code AS cause FROM comm_jobs f
        WHERE {_FAILED} AND (f.route, f.last_error_code) > (c.route, c.cause)
        ORDER BY f.route, f.last_error_code LIMIT 1) n)
SELECT c.route, c.cause, first.at AS first_at, last.at AS last_at, last.last_error, n.number
FROM (SELECT * FROM causes LIMIT %s) c
CROSS JOIN LATERAL (SELECT f.updated_at AS at FROM comm_jobs f WHERE {_SAME} ORDER BY f.updated_at, f.id LIMIT 1) first
CROSS JOIN LATERAL (SELECT f.updated_at AS at, f.last_error FROM comm_jobs f WHERE {_SAME}
    ORDER BY f.updated_at DESC, f.id DESC LIMIT 1) last
CROSS JOIN LATERAL (SELECT count(*) AS number FROM (SELECT FROM comm_jobs f WHERE {_SAME} LIMIT %s) x) n
ORDER BY first.at
"""
# With what went in its place, if anything did.
_ROWS = """
SELECT f.*, 'comm_job' AS lane, r.id AS replaced_by, r.channel AS replaced_channel FROM ({rows}) f
LEFT JOIN LATERAL (SELECT j.id, j.channel FROM comm_jobs j WHERE j.fallback_of = f.id AND j.status <> 'CANCELLED'
    ORDER BY j.id DESC LIMIT 1) r ON true
ORDER BY f.at, f.id
"""
_COLUMNS = (
    "f.id, f.patient_id, f.purpose, f.channel, f.route, f.status, f.in_doubt, f.is_marketing, f.recipient, f.sealed,"
    " f.due_at, f.expires_at, f.first_claimed_at, f.attempts, f.attempts_forgiven, f.last_error, f.last_error_code,"
    " f.bounced_at, f.bounce_code, f.opened_at, f.clicked_at, f.replied_at, f.answered_at, f.delivered_at, f.sent_at,"
    " f.scheduled_at, f.decision"
)


@dataclass(frozen=True, slots=True)
class Cause:
    """Messages that failed by one provider for one cause."""

    route: str
    cause: str
    first_at: datetime
    last_at: datetime
    last_error: str | None
    number: Count


def causes() -> list[Cause]:
    """What failed and is not in doubt, by provider and cause, that with the oldest first."""
    rows = fetch_dicts(_CAUSES, (MOST_CAUSES, COUNT_LIMIT + 1))
    return [Cause(**{**row, "number": Count(int(row["number"]))}) for row in rows]


def failed(cause: Cause, position: Position | None) -> tuple[list[Row], Position | None]:
    """One page of a cause's messages, the oldest first, and where the next one begins."""
    where, params = (
        "f.status = 'FAILED' AND NOT f.in_doubt AND f.route = %s AND f.last_error_code = %s",
        [cause.route, cause.cause],
    )
    return _page(where, params, "f.updated_at", position)


def bounced(position: Position | None, *, since: datetime) -> tuple[list[Row], Position | None]:
    """One page of what came back since then, the oldest first, and where the next one begins."""
    return _page("f.bounced_at IS NOT NULL AND f.bounced_at >= %s", [since], "f.bounced_at", position)


def number_bounced(*, since: datetime) -> Count:
    """How many came back since then."""
    sql = "SELECT count(*) FROM (SELECT FROM comm_jobs WHERE bounced_at IS NOT NULL AND bounced_at >= %s LIMIT %s) c"
    return Count(int(fetch_all(sql, (since, COUNT_LIMIT + 1))[0][0]))


def _page(where: str, params: list[Any], at: str, position: Position | None) -> tuple[list[Row], Position | None]:
    if position is not None:
        where, params = f"{where} AND ({at}, f.id) > (%s, %s)", [*params, position.at, position.id]
    rows = f"SELECT {_COLUMNS}, {at} AS at FROM comm_jobs f WHERE {where} ORDER BY {at}, f.id LIMIT %s"
    found = fetch_dicts(_ROWS.format(rows=rows), (*params, PAGE_ROWS + 1))
    page: list[Row] = [COMM_JOBS.opened(row) for row in found[:PAGE_ROWS]]
    return page, Position(page[-1]["at"], page[-1]["id"]) if len(found) > PAGE_ROWS else None
