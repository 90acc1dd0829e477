"""Asking a LOOKUP provider about rows in doubt. Owns the asking; sends nothing.

"Absent" frees a row for another send only when its sender was proved to have ended long enough before the question:
recorded by itself, or dead by boot id, pid and start time. A sender that is merely silent may still write, so without
proof the row is asked about again, and after the last time stays in doubt for a person.
"""

from __future__ import annotations

from datetime import timedelta

import structlog

from dispatchlog.engine.database import connected, execute, fetch_all, fetch_dicts, transaction
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.gateway import GatewayKind, LookUp, LookUpAnswer
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.ledger import prove
from dispatchlog.engine.payloads import prepare, stored_parcel
from dispatchlog.engine.presence import note_if_gone

log = structlog.get_logger(__name__)

MOST_LOOKUPS = 6
# Longer than one look-up may take, so a second worker does not ask at the same time.
ASKING_SECONDS = 60.0

_TAKE = """
WITH due AS MATERIALIZED (SELECT id FROM {table} WHERE in_doubt AND lookup_at <= now()
    ORDER BY lookup_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED)
UPDATE {table} t SET lookups = t.lookups + 1, updated_at = clock_timestamp(),
    lookup_at = CASE WHEN t.lookups + 1 >= %(most)s THEN NULL
                     ELSE clock_timestamp() + greatest(%(asking)s, 15 * 2 ^ t.lookups) * interval '1 s' END
FROM due WHERE t.id = due.id RETURNING t.*
"""

# With its attempts spent it stays FAILED, but no longer in doubt: it certainly did not arrive.
_ABSENT = """
UPDATE {table} SET status = CASE WHEN attempts - attempts_forgiven < %s THEN 'PENDING' ELSE 'FAILED' END,
    in_doubt = false, lookup_at = NULL, first_claimed_at = NULL, due_at = clock_timestamp(),
    last_error_code = 'LOOKED_UP_ABSENT', last_error = 'the provider was asked and does not have it',
    updated_at = clock_timestamp()
WHERE id = %s AND claim_token = %s AND status = 'FAILED' AND in_doubt
"""

# Two rows for which the same was found take turns; the second sees what the first has.
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 7240127))"
_ANOTHERS = "SELECT 1 FROM {table} WHERE provider_message_id = %s AND id <> %s LIMIT 1"


def look_up_due(lane: Lane, *, worker_id: int, limit: int = 10) -> int:
    """Ask about the lane's rows in doubt whose time has come; how many were settled comes back."""
    if not any(gateway.kind is GatewayKind.LOOKUP for gateway in lane.gateways()):
        return 0
    with transaction(f"look-up:{worker_id}"):
        rows = fetch_dicts(
            _TAKE.format(table=lane.table), {"limit": limit, "most": MOST_LOOKUPS, "asking": ASKING_SECONDS}
        )
    return sum(look_up(lane, row, actor=f"look-up:{worker_id}") is not LookUpAnswer.UNSURE for row in rows)


def look_up(lane: Lane, row: Row, *, actor: str) -> LookUpAnswer:
    """Ask about one row in doubt and settle it where the answer allows; UNSURE when it stays in doubt.

    Anybody may ask at any time, but "absent" proves something only if the sender's end was known, before the question,
    for as long as the provider may take to show an acceptance: what it wrote at its last moment is shown by then.
    """
    lane = lane.of(row)
    ended = sender_ended_seconds_ago(row)
    conclusive = ended is not None and ended >= lane.gateway.indexing_delay.total_seconds()
    found = ask(lane, row)
    with transaction(actor, f"provider asked: {found.answer.value.lower()}"):
        if found.answer is LookUpAnswer.FOUND:
            if found.by_likeness and _is_anothers(lane, row, found.provider_message_id):
                return LookUpAnswer.UNSURE
            proved = prove(
                lane, row, provider_message_id=found.provider_message_id, evidence={"look_up": dict(found.evidence)}
            )
            return LookUpAnswer.FOUND if proved else LookUpAnswer.UNSURE
        if found.answer is LookUpAnswer.ABSENT and conclusive:
            freed = execute(_ABSENT.format(table=lane.table), (lane.retry.max_attempts, row["id"], row["claim_token"]))
            return LookUpAnswer.ABSENT if freed.rowcount else LookUpAnswer.UNSURE
    return LookUpAnswer.UNSURE


def _is_anothers(lane: Lane, row: Row, provider_message_id: str | None) -> bool:
    """Whether another row of the lane already has what was found."""
    execute(_TAKE_TURNS, (f"{lane.name}:{provider_message_id}",))
    return bool(fetch_all(_ANOTHERS.format(table=lane.table), (provider_message_id, row["id"])))


def ask(lane: Lane, row: Row) -> LookUp:
    """The provider's answer about one row; whatever goes wrong in asking is UNSURE. No transaction is open meanwhile."""
    gateway = lane.gateway
    since = (row["sending_at"] or row["claimed_at"]) - timedelta(minutes=5)
    try:
        parcel = stored_parcel(lane, row)
        if parcel is None:
            with connected():
                parcels, _ = prepare(lane, [row])
            parcel = parcels.get(row["id"])
        if parcel is None:
            return LookUp(LookUpAnswer.UNSURE)
        return gateway.look_up(parcel, since=since, deadline=Deadline(gateway.deadline_seconds))
    except DispatchlogError as error:
        log.warning("LOOK_UP_FAILED", lane=lane.name, dispatch_id=str(row["id"]), code=error.code)
        return LookUp(LookUpAnswer.UNSURE)


def sender_ended_seconds_ago(row: Row) -> float | None:
    """For how long it has been known that the last try's sender can write no more; None: it may still write.

    It recorded its own end, or stopped, or its process was seen to be gone; the latter is kept when it is first seen.
    """
    with connected():
        finished = fetch_all(
            "SELECT extract(epoch FROM clock_timestamp() - finished_at)::float8 FROM dispatch_attempts"
            " WHERE dispatch_id = %s AND claim_token = %s AND finished_at IS NOT NULL",
            (row["id"], row["claim_token"]),
        )
        if finished:
            return float(finished[0][0])
    note_if_gone(row["claimed_by"])
    with connected():
        stopped = fetch_all(
            "SELECT extract(epoch FROM clock_timestamp() - stopped_at)::float8 FROM dispatch_workers"
            " WHERE id = %s AND stopped_at IS NOT NULL",
            (row["claimed_by"],),
        )
    return float(stopped[0][0]) if stopped else None
