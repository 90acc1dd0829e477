"""Taking over from the dead: rows whose worker's lock is free, or whose thread is gone, go back or become in doubt.

Owns no sending. Each row is read with its token first, the lock is probed after that, and the update names the token: a
row claimed anew in between is left alone.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from itertools import groupby
from uuid import UUID

import structlog

from dispatchlog.engine.database import execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.ledger import prove_sent
from dispatchlog.engine.presence import LOCK_CLASS, note_if_gone
from dispatchlog.engine.tallies import tallies

log = structlog.get_logger(__name__)

Held = tuple[UUID, UUID, bool, str | None]
"""Of a QUEUED row: its id, its claim's token, whether it is marked as perhaps sent, and its route."""

# A row that was rescued this often is taken to be what kills its workers.
MOST_RESCUES = 5
# A thread of this process that lost its claim's reply has this long before its rows count as nobody's.
LOST_CLAIM_SECONDS = 3.0

_UNMARKED = """
UPDATE {table} t SET
    rescues = t.rescues + 1,
    status = CASE WHEN t.rescues + 1 >= %(most)s THEN 'FAILED' ELSE 'PENDING' END,
    in_doubt = %(may_have_left)s AND t.rescues + 1 >= %(most)s,
    first_claimed_at = CASE WHEN %(may_have_left)s THEN t.first_claimed_at
                            WHEN t.first_claimed_at = t.claimed_at THEN NULL ELSE t.first_claimed_at END,
    last_error_code = CASE WHEN t.rescues + 1 >= %(most)s THEN 'WORKER_DIED_REPEATEDLY' ELSE 'WORKER_DIED' END,
    last_error = 'worker ' || t.claimed_by || ' ended while it held this dispatch', updated_at = clock_timestamp()
FROM unnest(%(ids)s::uuid[], %(tokens)s::uuid[]) AS o (id, token)
WHERE t.id = o.id AND t.claim_token = o.token AND t.status = 'QUEUED' AND t.sending_at IS NULL
"""

_MARKED = """
UPDATE {table} t SET status = 'FAILED', in_doubt = true, attempts = t.attempts + 1, rescues = t.rescues + 1,
    last_error_code = 'WORKER_DIED_SENDING',
    last_error = 'worker ' || t.claimed_by || ' ended while sending: the provider may or may not have accepted it',
    lookup_at = clock_timestamp() + %(look_up_in)s * interval '1 s', lookups = 0, updated_at = clock_timestamp()
FROM unnest(%(ids)s::uuid[], %(tokens)s::uuid[]) AS o (id, token)
WHERE t.id = o.id AND t.claim_token = o.token AND t.status = 'QUEUED'
  AND greatest(t.sending_at, pg_postmaster_start_time()) + %(deadline)s * interval '1 s' < clock_timestamp()
RETURNING t.id
"""

# `finished_at` stays null: the sender never said how it ended.
_DOUBT = """
UPDATE dispatch_attempts SET outcome = 'UNKNOWN', code = 'WORKER_DIED_SENDING',
    message = 'the worker ended while sending'
WHERE dispatch_id = ANY (%s::uuid[]) AND claim_token = ANY (%s::uuid[]) AND outcome IS NULL
"""


def rescue(lane: Lane, *, worker_id: int, live_tokens: Collection[UUID]) -> int:
    """Take over the lane's rows of dead workers and of this process's lost claims; how many rows moved comes back.

    `worker_id` is this process's own number, `live_tokens` the claims its threads still work on.
    """
    moved = 0
    holders = fetch_all(f"SELECT DISTINCT claimed_by FROM {lane.table} WHERE status = 'QUEUED'")
    for (holder,) in holders:
        with transaction(f"rescuer:{worker_id}"):
            rows = _held_by(lane, holder, lost_only=holder == worker_id)
            rows = [row for row in rows if row[1] not in live_tokens]
            if rows and (holder == worker_id or _is_dead(holder)):
                for route, held in groupby(rows, key=lambda row: row[3]):
                    moved += _take_over(lane.of({"route": route}), [*held])
        if rows and holder != worker_id:
            note_if_gone(holder)
    if moved:
        tallies.add("rescued", lane.name, by=moved)
        log.info("RESCUED", lane=lane.name, rows=moved)
    return moved


def _held_by(lane: Lane, holder: int, *, lost_only: bool) -> list[Held]:
    age = f" AND claimed_at < clock_timestamp() - interval '{LOST_CLAIM_SECONDS} s'" if lost_only else ""
    rows = fetch_all(
        f"SELECT id, claim_token, sending_at IS NOT NULL, {'route' if lane.is_routed else 'NULL'} FROM {lane.table}"
        f" WHERE status = 'QUEUED' AND claimed_by = %s{age} ORDER BY 4, id LIMIT 5000",
        (holder,),
    )
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _is_dead(holder: int) -> bool:
    """Whether nobody holds the worker's lock; the shared probe is given back with this transaction."""
    return bool(fetch_one("SELECT pg_try_advisory_xact_lock_shared(%s, %s)", (LOCK_CLASS, holder))[0])


def _take_over(lane: Lane, rows: list[Held]) -> int:
    gateway = lane.gateway
    unmarked = [row for row in rows if not row[2]]
    marked = [row for row in rows if row[2]]
    moved = 0
    if unmarked:
        moved += execute(
            _UNMARKED.format(table=lane.table),
            {
                "ids": [row[0] for row in unmarked],
                "tokens": [row[1] for row in unmarked],
                "most": MOST_RESCUES,
                # An endpoint may have become another kind since the row was claimed.
                "may_have_left": lane.may_leave is None
                and (gateway.kind is GatewayKind.IDEMPOTENT or lane.route is not None),
            },
        ).rowcount
    if marked:
        look_up_in = gateway.indexing_delay if gateway.kind is GatewayKind.LOOKUP else None
        doubtful = execute(
            _MARKED.format(table=lane.table),
            {
                "ids": [row[0] for row in marked],
                "tokens": [row[1] for row in marked],
                "deadline": gateway.deadline_seconds,
                "look_up_in": None if look_up_in is None else _seconds(look_up_in),
            },
        ).fetchall()
        execute(_DOUBT, ([row[0] for row in doubtful], [row[1] for row in marked]))
        moved += len(doubtful)
    # A provider may have said that it accepted one of them while its sender still held it.
    prove_sent(lane, [row[0] for row in rows])
    return int(moved)


def _seconds(delay: timedelta) -> float:
    return delay.total_seconds()
