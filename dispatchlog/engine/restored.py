"""After an older backup was put back: what may have left since it was taken is not sent again by itself.

Owns `log_restorations` and `log_losses`. Sends nothing and asks nobody: rows of IDEMPOTENT gateways go on with their old
keys, those of LOOKUP gateways are asked about, those of BLIND ones wait for a person; and every lane waits until a person
lets it go on. Run by the tables' owner while no worker runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from dispatchlog.engine.database import database, execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.gateway import Gateway, GatewayKind
from dispatchlog.engine.holds import LANE, Target, hold
from dispatchlog.engine.identity import confirm_here
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import log_action, require_reason
from dispatchlog.engine.presence import LOCK_CLASS

CODE = "RESTORED"
# Further than a log counts between two backups, so that no number is given twice.
NUMBERS_LOST = 1_000_000

# The latest instant that the log itself knows: whatever happened afterwards is not in it. It is never too late.
_BACKUP_AT = """
SELECT greatest((SELECT at FROM dispatch_transitions ORDER BY id DESC LIMIT 1),
                (SELECT max(last_seen_at) FROM dispatch_workers),
                (SELECT at FROM operator_actions ORDER BY id DESC LIMIT 1))
"""
_LIVE = """
SELECT 1 FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.classid = %s AND l.objsubid = 2 LIMIT 1
"""
_STOP = "UPDATE dispatch_workers SET stopped_at = %s WHERE stopped_at IS NULL"
_WORKER = """
INSERT INTO dispatch_workers (id, host, pid, boot_id, process_started, kind, started_at, last_seen_at, stopped_at)
VALUES (nextval('dispatch_worker_ids'), '', 0, '', '', 'restored', %(backup_at)s, %(backup_at)s, %(stopped_at)s)
RETURNING id
"""

# Under the same key a resend is recognised for as long as the provider keeps keys: from now on the key counts as used.
_KEY_MAY_BE_USED = """
UPDATE {table} SET first_claimed_at = %(backup_at)s, updated_at = clock_timestamp()
WHERE {where} AND status = 'PENDING' AND first_claimed_at IS NULL AND due_at <= %(stopped_at)s
"""
_MAY_HAVE_LEFT = """
UPDATE {table} SET status = 'FAILED', in_doubt = true, claim_token = gen_random_uuid(), claimed_by = %(worker_id)s,
    claimed_at = %(backup_at)s, claims = claims + 1, sending_at = %(backup_at)s,
    first_claimed_at = coalesce(first_claimed_at, %(backup_at)s), last_error_code = %(code)s, last_error = %(words)s,
    lookup_at = clock_timestamp() + %(look_up_in)s * interval '1 s', lookups = 0, updated_at = clock_timestamp()
WHERE {where} AND (status = 'QUEUED' OR status = 'PENDING' AND (due_at <= %(stopped_at)s OR first_claimed_at IS NOT NULL))
RETURNING id, claim_token, claims, generation
"""
_ASK_AGAIN = """
UPDATE {table} SET lookup_at = clock_timestamp() + %(look_up_in)s * interval '1 s', lookups = 0,
    updated_at = clock_timestamp()
WHERE {where} AND in_doubt AND last_error_code <> %(code)s
"""
_EVIDENCE = """
INSERT INTO dispatch_attempts (lane, dispatch_id, claim_token, number, generation, worker_id, gateway, sending_at,
    finished_at, outcome, code, message)
SELECT %(lane)s, o.id, o.token, o.number, o.generation, %(worker_id)s, %(gateway)s, %(backup_at)s, %(stopped_at)s,
    'UNKNOWN', %(code)s, %(words)s
FROM unnest(%(ids)s::uuid[], %(tokens)s::uuid[], %(numbers)s::int[], %(generations)s::int[])
    AS o (id, token, number, generation)
"""
_LEFT_ALONE = """
SELECT count(*) FILTER (WHERE status = 'PENDING' AND first_claimed_at IS NULL),
       count(*) FILTER (WHERE status = 'FAILED' AND NOT in_doubt)
FROM {table} WHERE {where} AND status IN ('PENDING', 'FAILED')
"""


class NotRestored(DispatchlogError):
    """The database is where the workers know it: no backup was restored here."""

    code = "NOT_RESTORED"


class StillRunning(DispatchlogError):
    """A worker or scheduler is connected to the log."""

    code = "STILL_RUNNING"


@dataclass(frozen=True, slots=True)
class LaneRestored:
    """What became of one lane's open rows, or of those of one of its routes.

    Attributes:
        kept_key: go on with their lane, under the key they may have left with.
        asked: in doubt until the provider was asked.
        in_doubt: in doubt until a person has settled it.
        not_due: wait as before, for they were not due before the last process stopped.
        failed: had failed; somebody may have tried them again after the backup.
        paused: whether the lane was paused.
    """

    lane: str
    gateway: str
    kind: str
    kept_key: int = 0
    asked: int = 0
    in_doubt: int = 0
    not_due: int = 0
    failed: int = 0
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Restoration:
    """What `take_over` did: everything between the two instants is missing in the log."""

    id: int
    backup_at: datetime
    stopped_at: datetime
    lanes: tuple[LaneRestored, ...]
    sessions_ended: int


@dataclass(frozen=True, slots=True)
class _Gap:
    backup_at: datetime
    stopped_at: datetime
    worker_id: int

    @property
    def words(self) -> str:
        return (
            f"restored from a backup: it may have left between {self.backup_at:%Y-%m-%d %H:%M} and"
            f" {self.stopped_at:%Y-%m-%d %H:%M} UTC"
        )


def take_over(
    lanes: Sequence[Lane], *, actor: str, reason: str, stopped_at: datetime | None = None, same_place: bool = False
) -> Restoration:
    """Make a restored log safe to work on, in one transaction; what that meant for each lane comes back.

    `stopped_at` is when the last process of the lost log had certainly stopped; now where it is not known. `same_place`:
    the backup was restored under the same server and database, which the log cannot see by itself.

    Raises:
        NotRestored: the log is where its workers know it, and `same_place` was not said.
        StillRunning: a worker runs on it.
        ReasonRequired: without a reason.
    """
    require_reason(reason, stays_with="the log")
    with transaction(actor, reason):
        if execute(_LIVE, (LOCK_CLASS,)).fetchone():
            raise StillRunning("a worker or scheduler is connected to this log: stop all of them first")
        with database.connection().cursor() as cursor:
            elsewhere = confirm_here(cursor, by=actor)
        if not elsewhere and not same_place:
            raise NotRestored(
                "this log is on the server and in the database where its workers know it; after a restore that kept both,"
                " say --same-place"
            )
        _skip_lost_numbers()
        gap = _gap(stopped_at)
        restored = tuple(each for lane in lanes for each in _take_over_lane(lane, gap, actor=actor))
        sessions = int(execute("DELETE FROM web_sessions").rowcount)
        log_action(actor, "restored", reason=reason, detail={"backup_at": gap.backup_at, "stopped_at": gap.stopped_at})
        number = fetch_one(
            "INSERT INTO log_restorations (backup_at, stopped_at, restored_by, reason, lanes) VALUES (%s, %s, %s, %s, %s)"
            " RETURNING id",
            (gap.backup_at, gap.stopped_at, actor, reason, json.dumps([asdict(each) for each in restored])),
        )[0]
    return Restoration(number, gap.backup_at, gap.stopped_at, restored, sessions)


def moved(*, actor: str, reason: str) -> bool:
    """Say that the log was moved as a whole and nothing is missing in it; False: it is where its workers know it.

    Raises:
        ReasonRequired: without a reason.
    """
    require_reason(reason, stays_with="the log")
    with transaction(actor, reason):
        with database.connection().cursor() as cursor:
            changed = confirm_here(cursor, by=actor)
        if changed:
            log_action(actor, "log_moved", reason=reason)
    return changed


def _skip_lost_numbers() -> None:
    """No worker's number, cursor of a client or number of a row that was given after the backup is given again."""
    for (sequence,) in fetch_all(
        "SELECT format('%%I.%%I', schemaname, sequencename) FROM pg_sequences"
        # One that had given none before the backup may have given some after it.
        " WHERE schemaname = current_schema() AND coalesce(last_value, start_value) + %s < max_value",
        (NUMBERS_LOST,),
    ):
        execute("SELECT setval(%s::regclass, nextval(%s::regclass) + %s)", (sequence, sequence, NUMBERS_LOST))


def _gap(stopped_at: datetime | None) -> _Gap:
    backup_at, now = fetch_one(f"SELECT coalesce(({_BACKUP_AT}), now()), clock_timestamp()")
    stopped_at = max(backup_at, stopped_at or now)
    execute(_STOP, (stopped_at,))
    worker_id = fetch_one(_WORKER, {"backup_at": backup_at, "stopped_at": stopped_at})[0]
    return _Gap(backup_at, stopped_at, worker_id)


def _take_over_lane(lane: Lane, gap: _Gap, *, actor: str) -> list[LaneRestored]:
    if not lane.is_routed or lane.routes is None:
        restored = [_take_over_part(lane, "true", {}, gap)]
    else:
        routes = lane.routes()
        restored = [
            _take_over_part(lane.through(route), "route = %(route)s", {"route": name}, gap)
            for name, route in sorted(routes.items())
        ]
        strays = _take_over_part(lane, "route <> ALL (%(routes)s)", {"routes": list(routes)}, gap)
        restored += [strays] if strays.in_doubt or strays.not_due or strays.failed else []
    # Also where keys are taken: what is reported a second time makes new rows, and they have keys of their own.
    held = hold(Target(LANE, lane.name), actor=actor, reason=f"{gap.words}; compare with the provider's list first")
    return [_paused(each, paused=held.hold is not None) for each in restored]


def _paused(restored: LaneRestored, *, paused: bool) -> LaneRestored:
    return LaneRestored(**{**asdict(restored), "paused": paused})


def _take_over_part(lane: Lane, where: str, of_part: dict[str, Any], gap: _Gap) -> LaneRestored:
    gateway = lane.gateway
    # Of a route that is no longer known nothing is known at all.
    kind = GatewayKind.BLIND if lane.is_routed else gateway.kind
    values = {**of_part, "backup_at": gap.backup_at, "stopped_at": gap.stopped_at, "code": CODE}
    kept = doubtful = 0
    if kind is GatewayKind.IDEMPOTENT:
        kept = execute(_KEY_MAY_BE_USED.format(table=lane.table, where=where), values).rowcount
    else:
        doubtful = _doubt(lane, gateway, kind, where, {**values, "worker_id": gap.worker_id, "words": gap.words})
    not_due, failed = fetch_one(_LEFT_ALONE.format(table=lane.table, where=where), of_part)
    return LaneRestored(
        lane.name,
        gateway.name,
        str(kind),
        kept_key=int(kept),
        asked=doubtful if kind is GatewayKind.LOOKUP else 0,
        in_doubt=doubtful if kind is GatewayKind.BLIND else 0,
        not_due=int(not_due),
        failed=int(failed),
    )


def _doubt(lane: Lane, gateway: Gateway, kind: GatewayKind, where: str, values: dict[str, Any]) -> int:
    values["look_up_in"] = gateway.indexing_delay.total_seconds() if kind is GatewayKind.LOOKUP else None
    rows = execute(_MAY_HAVE_LEFT.format(table=lane.table, where=where), values).fetchall()
    columns = zip(*rows, strict=True) if rows else [(), (), (), ()]
    execute(
        _EVIDENCE,
        {
            **values,
            "lane": lane.name,
            "gateway": gateway.name,
            **dict(zip(("ids", "tokens", "numbers", "generations"), map(list, columns), strict=True)),
        },
    )
    if kind is GatewayKind.LOOKUP:
        execute(_ASK_AGAIN.format(table=lane.table, where=where), values)
    return len(rows)


def claim_for_proof(lane: Lane, row: Row) -> Row:
    """A waiting row that was never claimed here, claimed for the process that is gone and sent it; the row comes back."""
    backup_at, stopped_at, worker_id = fetch_one(
        "SELECT r.backup_at, r.stopped_at, w.id FROM log_restorations r, dispatch_workers w WHERE w.kind = 'restored'"
        " ORDER BY r.id DESC, w.id DESC LIMIT 1"
    )
    gap = _Gap(backup_at, stopped_at, worker_id)
    values = {"id": row["id"], "backup_at": backup_at, "stopped_at": "infinity", "code": CODE, "worker_id": worker_id}
    values |= {"words": gap.words, "look_up_in": None}
    execute(_MAY_HAVE_LEFT.format(table=lane.table, where="id = %(id)s"), values)
    return fetch_dicts(f"SELECT * FROM {lane.table} WHERE id = %s", (row["id"],))[0]
