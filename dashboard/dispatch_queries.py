"""One dispatch's queries: its history, its stored content and what holds it back. Owns their SQL; changes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from dashboard.days import microseconds_of
from dashboard.references import LONGEST_HEAD, Reference, reference_of
from dispatchlog.engine.content import COLUMNS, opened
from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.row_content import PAYLOADS
from dispatchlog.sealing import CannotUnsealError


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a timeline: `kind` is move, attempt or action, `row` the row behind it."""

    at: datetime
    kind: str
    row: Row


def mark_of(row: Row) -> str:
    """What is another one once somebody has acted on the dispatch. Tries do not change it, except the first."""
    since = "" if row["claims"] else f".{microseconds_of(row['updated_at'])}"
    return f"{row['status']}.{row['generation']}{since}"


_MOVES = """
SELECT id, from_status, to_status, in_doubt, at, actor, reason FROM dispatch_transitions WHERE dispatch_id = %s
    ORDER BY id DESC LIMIT 500
"""
# `number` counts claims and so leaves gaps; people count tries that may have reached the provider.
_ATTEMPTS = """
SELECT id, number, generation, worker_id, gateway, sending_at, finished_at, outcome, code, message, provider_message_id,
    latency_ms, evidence, count(*) FILTER (WHERE outcome IS DISTINCT FROM 'NOT_SENT') OVER (ORDER BY id) AS try_number
    FROM dispatch_attempts WHERE dispatch_id = %s ORDER BY id DESC LIMIT 200
"""
_ATTEMPTS_OF_MANY = """
SELECT id, dispatch_id, number, generation, worker_id, gateway, sending_at, finished_at, outcome, code, message,
    provider_message_id, latency_ms, evidence,
    count(*) FILTER (WHERE outcome IS DISTINCT FROM 'NOT_SENT') OVER (PARTITION BY dispatch_id ORDER BY id) AS try_number
    FROM dispatch_attempts WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY dispatch_id, id LIMIT 2000
"""
_ACTIONS = """
SELECT id, at, actor, action, reason FROM operator_actions WHERE dispatch_id = %s ORDER BY id DESC LIMIT 200
"""


def timeline(dispatch_id: UUID) -> list[Event]:
    """Moves, attempts and what people did, oldest first; of a very long history the newest part."""
    events = [Event(row["at"], "action", row) for row in fetch_dicts(_ACTIONS, (dispatch_id,))]
    for row in fetch_dicts(_ATTEMPTS, (dispatch_id,)):
        # An attempt stands where it ended, just before the move it led to; one without an end where it began.
        at = row["finished_at"] or row["sending_at"]
        if at is not None:
            events.append(Event(at, "attempt", row))
    events += [Event(row["at"], "move", row) for row in fetch_dicts(_MOVES, (dispatch_id,))]
    return sorted(events, key=lambda event: (event.at, event.row["id"]))


def references(dispatch_id: UUID) -> dict[int, Reference]:
    """What the provider's own log calls each generation of the dispatch, where its stored bytes say so."""
    return references_of([dispatch_id])[dispatch_id]


def attempts_of(ids: Sequence[UUID]) -> dict[UUID, list[Event]]:
    """The tries of several dispatches that may have reached the provider, oldest first."""
    found: dict[UUID, list[Event]] = {dispatch_id: [] for dispatch_id in ids}
    for row in fetch_dicts(_ATTEMPTS_OF_MANY, (list(ids),)):
        at = row["finished_at"] or row["sending_at"]
        if at is not None:
            found[row["dispatch_id"]].append(Event(at, "attempt", row))
    return found


def references_of(ids: Sequence[UUID]) -> dict[UUID, dict[int, Reference]]:
    """`references` of several dispatches."""
    rows = fetch_dicts(
        f"SELECT dispatch_id, generation, content_type, {COLUMNS} FROM dispatch_payloads"
        " WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY dispatch_id, generation DESC LIMIT 500",
        (list(ids),),
    )
    found: dict[UUID, dict[int, Reference]] = {dispatch_id: {} for dispatch_id in ids}
    for row in rows:
        letter = _readable(row)
        reference = reference_of(row["content_type"], letter[2][:LONGEST_HEAD]) if letter is not None else None
        if reference is not None:
            found[row["dispatch_id"]][row["generation"]] = reference
    return found


def _readable(row: Row) -> tuple[str, Mapping[str, str], bytes] | None:
    """The stored letter; None where it was deleted, or the keys do not fit: the page's other content is still of use."""
    try:
        return opened(row, PAYLOADS)
    except CannotUnsealError:
        return None


def stored_content(dispatch_id: UUID) -> Row | None:
    """What was stored before the newest generation's first send, without its body; None before the first try.

    `recipient` is "" and `size_bytes` None where it was deleted, or cannot be read (`unreadable`).
    """
    rows = fetch_dicts(
        f"SELECT dispatch_id, generation, content_type, encode(sha256, 'hex') AS sha256, created_at, {COLUMNS}"
        " FROM dispatch_payloads WHERE dispatch_id = %s ORDER BY generation DESC LIMIT 1",
        (dispatch_id,),
    )
    if not rows:
        return None
    letter = _readable(rows[0])
    recipient, size = (rows[0]["recipient"], None) if letter is None else (letter[0], len(letter[2]))
    kept = {name: rows[0][name] for name in ("generation", "content_type", "sha256", "created_at")}
    unreadable = letter is None and rows[0]["sealed"] is not None
    return {**kept, "recipient": recipient, "size_bytes": size, "unreadable": unreadable}


def stored_body(dispatch_id: UUID, *, most: int) -> tuple[str, bytes] | None:
    """Type and bytes (`most` at the most) of the newest stored content; None where none is stored, or it was deleted.

    Raises CannotUnsealError where it cannot be read.
    """
    rows = fetch_dicts(
        f"SELECT dispatch_id, content_type, {COLUMNS} FROM dispatch_payloads WHERE dispatch_id = %s"
        " AND (body IS NOT NULL OR sealed IS NOT NULL) ORDER BY generation DESC LIMIT 1",
        (dispatch_id,),
    )
    letter = opened(rows[0], PAYLOADS) if rows else None
    return None if letter is None else (rows[0]["content_type"], letter[2][:most])


def siblings(lane: Lane, row: Row) -> dict[str, int]:
    """How many other dispatches of the lane the row's subject has in each state; of very many only the first hundred."""
    if not row["subject_id"]:
        return {}
    rows = fetch_all(
        f"SELECT status, count(*) FROM (SELECT status FROM {lane.table} WHERE subject_id = %s AND id <> %s LIMIT 100) s"
        " GROUP BY status ORDER BY status",
        (row["subject_id"], row["id"]),
    )
    return {status: int(number) for status, number in rows}


def last_sweep_at(lane: Lane) -> datetime | None:
    """When the lane's sweep last came."""
    found: Any = fetch_all("SELECT max(occurs_at) FROM schedule_occurrences WHERE job = %s", (lane.sweep_job,))[0][0]
    return None if found is None else found


def next_sweep_at(last: datetime | None, *, period_seconds: int, after: datetime) -> datetime | None:
    """The first sweep at or after an instant; None before the lane's first sweep, when nobody has begun to count."""
    if last is None:
        return None
    periods = max(1, math.ceil((after - last).total_seconds() / period_seconds))
    return last + timedelta(seconds=periods * period_seconds)


def is_first_try(row: Row) -> bool:
    """Whether nobody has taken it yet: in a lane that waits for its sweep, only these do."""
    return bool(row["status"] == "PENDING" and row["claims"] == 0 and row["generation"] == 1)


def is_expired(row: Row) -> bool:
    """Whether it is of no use any more, so that no worker would send it."""
    return bool(row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC))


# In an ordered lane one of a key is under way at a time, so any older one that has not left holds the later ones.
_OF_KEY = """
SELECT id, status::text, ordering_key, due_at FROM {table}
WHERE ordering_key = %s AND seq < %s AND status IN ('PENDING', 'QUEUED', {failed}) ORDER BY seq LIMIT 1
"""
# Rows of a route leave in one run, so an older one that is due holds nothing: only one that failed, waits for its next try
# or has to go alone does, as the claim has it. Looked for among so many in front.
_OF_ROUTE = """
SELECT id, status, ordering_key, due_at FROM (
    SELECT id, seq, status::text, ordering_key, due_at, rescues FROM {table}
    WHERE {column} = %s AND seq < %s AND status IN ('PENDING', 'FAILED') ORDER BY seq LIMIT %s) o
WHERE status = {failed} OR status = 'PENDING' AND (due_at > now() OR rescues >= 2) ORDER BY seq LIMIT 1
"""
MOST_IN_FRONT = 10_000


def in_front(lane: Lane, row: Row) -> Row | None:
    """The older dispatch that holds this one, if one does: its id, status, ordering key and when it is due."""
    failed = "'FAILED'" if lane.failed_blocks else "NULL"
    key = row["ordering_key"]
    if lane.route is not None and (lane.route.in_line or key):
        column, value = ("route", lane.route.name) if lane.route.in_line else ("ordering_key", key)
        sql = _OF_ROUTE.format(table=lane.table, failed=failed, column=column)
        rows = fetch_dicts(sql, (value, row["seq"], MOST_IN_FRONT))
    elif lane.route is None and key and lane.ordered:
        rows = fetch_dicts(_OF_KEY.format(table=lane.table, failed=failed), (key, row["seq"]))
    else:
        return None
    return rows[0] if rows else None
