"""What leaves next: waiting dispatches by the instant at which they are due. Owns their SQL; changes nothing.

Each lane walks its index of what waits, so a page costs the same on ten rows and on a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from dashboard.filters import Position
from dashboard.naming import keys_column, recipient_columns, with_recipients
from dashboard.queries import COUNT_LIMIT, PAGE_ROWS, Count
from dispatchlog.engine.database import fetch_dicts, fetch_one
from dispatchlog.engine.lanes import Lane, Row


@dataclass(frozen=True, slots=True)
class Upcoming:
    """One page of what waits, the first due first; `after` is where the next page begins."""

    rows: list[Row]
    after: Position | None


def list_upcoming(lanes: Sequence[Lane], *, until: timedelta, after: Position | None) -> Upcoming:
    """One page of what is due by then in these lanes, with what is due already."""
    branches: list[str] = []
    params: list[Any] = []
    for lane in lanes:
        where = "t.status = 'PENDING' AND t.due_at <= now() + %s"
        values: list[Any] = [until]
        if after is not None:
            where += " AND (t.due_at, t.id) > (%s, %s)"
            values += [after.at, after.id]
        branches.append(
            f"(SELECT %s::text AS lane, t.id, t.status::text, t.in_doubt, t.due_at, t.expires_at, t.attempts, t.claims,"
            f" t.generation, t.last_error_code::text, {keys_column(lane, 't')} AS search_keys,"
            f" {recipient_columns(lane, 't')}"
            f" FROM {lane.table} t WHERE {where} ORDER BY t.due_at, t.id LIMIT %s)"
        )
        params += [lane.name, *values, PAGE_ROWS + 1]
    found = fetch_dicts(
        f"SELECT * FROM ({' UNION ALL '.join(branches)}) w ORDER BY due_at, id LIMIT %s", [*params, PAGE_ROWS + 1]
    )
    page = with_recipients(found[:PAGE_ROWS], lanes)
    return Upcoming(page, Position(page[-1]["due_at"], page[-1]["id"]) if len(found) > PAGE_ROWS else None)


def count_upcoming(lane: Lane, until: timedelta) -> Count:
    """How many of the lane are due by then."""
    number = fetch_one(
        f"SELECT count(*) FROM (SELECT FROM {lane.table} WHERE status = 'PENDING' AND due_at <= now() + %s"
        f" LIMIT {COUNT_LIMIT + 1}) c",
        (until,),
    )[0]
    return Count(int(number))


def sweeps_of(lanes: Sequence[Lane]) -> dict[str, datetime | None]:
    """When the sweep of each lane that waits for one last came."""
    jobs = {lane.sweep_job: lane.name for lane in lanes if lane.waits_for_sweep}
    rows = fetch_dicts(
        "SELECT j.job, (SELECT max(occurs_at) FROM schedule_occurrences o WHERE o.job = j.job) AS at"
        " FROM unnest(%s::text[]) AS j (job)",
        (list(jobs),),
    )
    return {jobs[row["job"]]: row["at"] for row in rows}
