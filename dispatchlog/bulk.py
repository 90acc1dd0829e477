"""Actions on many dispatches at once: frozen when previewed, begun by a person, done batch by batch. Owns `bulk_runs` and
`bulk_items`; what happens to a dispatch is the engine's `operator`'s.

The tables carry the work, a message is a wake-up. A batch settles its items in the transaction that acts on their
dispatches, so after any crash the run goes on where it was, and no dispatch is acted on twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from types import MappingProxyType
from typing import Any
from uuid import UUID

import dramatiq
import peewee
import psycopg2
import redis
import structlog
from psycopg2.extras import execute_values

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.bulk_end import StopRefused, finish, settle_rest, stop
from dispatchlog.engine import operator
from dispatchlog.engine.database import DATABASE_AWAY, connected, database, execute, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError, UnknownLane
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import ActionResult
from dispatchlog.engine.tables import new_id
from dispatchlog.standing import ITSELF, objection
from dispatchlog.systems import registry

log = structlog.get_logger(__name__)

QUEUE, ACTOR = "bulk", "run_bulk"
RETRY, CANCEL = "retry", "cancel"
# From here on a person types how many it is about.
CONFIRM_ABOVE = 100
BATCH = 100
# A dispatch that somebody else holds at this moment is come back to, for a while; then the scheduler wakes the run again.
_PATIENCE, _PAUSE_SECONDS = 20, 0.25
_PREVIEWS_KEPT = "1 day"
_FAILURES = (peewee.PeeweeException, psycopg2.Error, DispatchlogError)


class BulkError(DispatchlogError):
    """A bulk run cannot be begun: RUN_NOT_FOUND, ALREADY_BEGUN, NOTHING_CHOSEN, WRONG_NUMBER."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A dispatch as it was seen (`row` with its `lane`), and what would come of acting on it: SAFE, REVIEW or BLOCKED."""

    row: Row
    verdict: str
    cause: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of one item: DONE, MOVED, REFUSED or GONE, with a stable code and a sentence where there is one."""

    position: int
    result: str
    code: str = ""
    message: str = ""


def freeze(action: str, choices: Sequence[Choice], *, selection: str, more: bool, actor: str) -> UUID:
    """Keep a selection for a preview; the run's id. `selection` says it in words, without anybody's address."""
    run_id = new_id()
    with transaction(actor, "bulk preview"):
        execute(
            "INSERT INTO bulk_runs (id, action, selection, lanes, total, more, created_by)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (run_id, action, selection, sorted({c.row["lane"] for c in choices}), len(choices), more, actor),
        )
        values = [
            (
                run_id,
                position,
                row["lane"],
                row["id"],
                row["status"],
                row["in_doubt"],
                row["updated_at"],
                verdict,
                cause,
            )
            for position, (row, verdict, cause) in enumerate(((c.row, c.verdict, c.cause) for c in choices), 1)
        ]
        with database.connection().cursor() as cursor:
            execute_values(
                cursor,
                "INSERT INTO bulk_items (run_id, position, lane, dispatch_id, seen_status, seen_in_doubt,"
                " seen_updated_at, verdict, cause) VALUES %s",
                values,
                page_size=1000,
            )
    return run_id


def begin(run_id: UUID, *, causes: Collection[str], expected: int | None, reason: str, actor: str) -> int:
    """Let a previewed run go: its safe items, and those under review whose cause is among `causes`; how many there are.

    Above CONFIRM_ABOVE of them `expected` has to be their number.

    Raises:
        BulkError: nothing was begun, and why.
        ReasonRequired: without a reason.
    """
    with transaction(actor, "bulk run begun"):
        rows = fetch_dicts("SELECT * FROM bulk_runs WHERE id = %s FOR UPDATE", (run_id,))
        if not rows:
            raise BulkError(f"there is no bulk run {run_id}", code="RUN_NOT_FOUND")
        run = rows[0]
        if run["state"] != "PREVIEW":
            raise BulkError("it has already begun", code="ALREADY_BEGUN")
        if not reason.strip():
            raise operator.ReasonRequired("say why: the reason stays with every dispatch")
        left_out = execute(
            "UPDATE bulk_items SET result = 'LEFT_OUT', code = cause, settled_at = clock_timestamp() WHERE run_id = %s"
            " AND NOT (verdict = 'SAFE' OR verdict = 'REVIEW' AND cause = ANY (%s))",
            (run_id, list(causes)),
        ).rowcount
        chosen = int(run["total"] - left_out)
        if chosen == 0:
            raise BulkError("none of them is chosen, so there is nothing to do", code="NOTHING_CHOSEN")
        if chosen > CONFIRM_ABOVE and expected != chosen:
            raise BulkError(f"type {chosen} to confirm: so many dispatches are acted on", code="WRONG_NUMBER")
        execute(
            "UPDATE bulk_runs SET state = 'RUNNING', started_at = clock_timestamp(), started_by = %s, reason = %s,"
            " chosen = %s WHERE id = %s",
            (actor, reason.strip() or None, chosen, run_id),
        )
        detail = {"run": run_id, "chosen": chosen, "total": run["total"], "selection": run["selection"]}
        operator.log_action(actor, f"bulk_{run['action']}", reason=reason, detail=detail)
    return chosen


def wake(run_id: UUID | None = None) -> bool:
    """Tell a worker to go on with this run, or with every one that has begun; False: the hint could not be sent."""
    message: dramatiq.Message[None] = dramatiq.Message(
        queue_name=QUEUE, actor_name=ACTOR, args=(str(run_id or ""),), kwargs={}, options={}
    )
    try:
        get_broker().enqueue(message)
    except (redis.RedisError, dramatiq.DramatiqError, OSError) as error:
        log.warning("WAKE_UP_NOT_SENT", bulk_run=str(run_id or "all"), error=type(error).__name__)
        return False
    return True


def go_on(*, stopping: Callable[[], bool] = lambda: False) -> None:
    """Go on with every run that has begun, oldest first, and drop previews that nobody acted on."""
    with connected():
        running = fetch_dicts("SELECT id FROM bulk_runs WHERE state = 'RUNNING' ORDER BY started_at, id")
    for run in running:
        try:
            carry_out(run["id"], stopping=stopping)
        except DATABASE_AWAY:
            raise
        except Exception:
            log.exception("BULK_RUN_FAILED", bulk_run=str(run["id"]))  # the others go on
    with transaction("service:bulk"):
        execute(
            "DELETE FROM bulk_runs WHERE id IN (SELECT id FROM bulk_runs WHERE state = 'PREVIEW'"
            f" AND created_at < now() - interval '{_PREVIEWS_KEPT}' ORDER BY created_at, id LIMIT 100)"
        )


def carry_out(run_id: UUID, *, stopping: Callable[[], bool] = lambda: False) -> None:
    """Act on what is left of a run, batch by batch, until it is done or `stopping`. Any number may do so at once."""
    idle = 0
    while not stopping() and idle < _PATIENCE:
        settled = _next_batch(run_id)
        if settled is None:
            return
        idle = 0 if settled else idle + 1
        if idle:
            time.sleep(_PAUSE_SECONDS)


def _next_batch(run_id: UUID) -> int | None:
    """How many items it settled; None: nothing is left for us."""
    try:
        return _settle_batch(run_id, BATCH, act=_act)
    except DATABASE_AWAY:
        raise
    except _FAILURES:
        # One of them cannot be acted on. Singly, the others are not held up by it.
        log.exception("BULK_BATCH_FAILED", bulk_run=str(run_id))
    return _settle_batch(run_id, 1, act=_act_or_give_up)


def _settle_batch(run_id: UUID, limit: int, *, act: Callable[[Row, Sequence[Row]], list[Settled]]) -> int | None:
    with connected():
        runs = fetch_dicts("SELECT * FROM bulk_runs WHERE id = %s AND state = 'RUNNING'", (run_id,))
        if not runs:
            return None
        run = runs[0]
        if run["stopped_at"] is not None:
            settle_rest(run_id)
            return None
        if against := objection(run["started_by"]):
            with suppress(StopRefused):  # somebody else stopped it at the same time
                stop(run_id, reason=against, actor=ITSELF)
            return None
        with transaction(run["started_by"], run["reason"] or f"bulk {run['action']}"):
            items = _take(run_id, limit)
            if not items:
                finish(run_id)
                return None
            settled = act(run, items)
            _write(run_id, settled)
            return len(settled)


def _act(run: Row, items: Sequence[Row]) -> list[Settled]:
    settled: list[Settled] = []
    for lane_name, of_lane in groupby(sorted(items, key=_place), key=lambda item: item["lane"]):
        settled += _act_on_lane(run, lane_name, list(of_lane))
    return settled


def _act_or_give_up(run: Row, items: Sequence[Row]) -> list[Settled]:
    """What even alone cannot be acted on is reported as such; nothing about it has changed."""
    try:
        with transaction(run["started_by"], run["reason"] or f"bulk {run['action']}"):
            return _act(run, items)
    except DATABASE_AWAY:
        raise
    except _FAILURES:
        log.exception("BULK_ITEM_FAILED", bulk_run=str(run["id"]))
        message = "it could not be acted on because of an error, which was logged; nothing about it has changed"
        return [Settled(item["position"], "REFUSED", "ERROR", message) for item in items]


def _take(run_id: UUID, limit: int) -> list[Row]:
    return [
        *fetch_dicts(
            "SELECT position, lane, dispatch_id, seen_status, seen_in_doubt, seen_updated_at FROM bulk_items"
            " WHERE run_id = %s AND result IS NULL ORDER BY position LIMIT %s FOR UPDATE SKIP LOCKED",
            (run_id, limit),
        )
    ]


def _place(item: Row) -> tuple[str, int]:
    return item["lane"], item["position"]


def _act_on_lane(run: Row, lane_name: str, items: Sequence[Row]) -> list[Settled]:
    try:
        lane = registry.lane(lane_name)
    except UnknownLane as error:
        return [Settled(item["position"], "GONE", error.code, "its lane is not part of this system") for item in items]
    settled: dict[UUID, Settled] = {}
    left = _sort_out(lane, items, settled, lock=False)
    left = _sort_out(lane, left, settled, lock=True)
    if left:
        act = _ACTS[run["action"]]
        positions = {item["dispatch_id"]: item["position"] for item in left}
        for result in act(lane, list(positions), run["started_by"], run["reason"] or ""):
            settled[result.dispatch_id] = _settled(positions[result.dispatch_id], result)
    return list(settled.values())


def _sort_out(lane: Lane, items: Sequence[Row], settled: dict[UUID, Settled], *, lock: bool) -> list[Row]:
    """Those that stand as they were seen; what moved goes into `settled`.

    Only those are locked, and one that somebody holds right now is passed over: waiting for it while holding others is
    how deadlocks with workers arise.
    """
    rows = fetch_dicts(
        f"SELECT id, status, in_doubt, updated_at FROM {lane.table} WHERE id = ANY (%s::uuid[])"
        + (" ORDER BY id FOR UPDATE SKIP LOCKED" if lock else ""),
        ([item["dispatch_id"] for item in items],),
    )
    now = {row["id"]: row for row in rows}
    same: list[Row] = []
    for item in items:
        row = now.get(item["dispatch_id"])
        if row is None:
            if not lock:
                settled[item["dispatch_id"]] = Settled(item["position"], "GONE", "DISPATCH_NOT_FOUND", "it is gone")
        elif _seen(row) == (item["seen_status"], item["seen_in_doubt"], item["seen_updated_at"]):
            same.append(item)
        else:
            word = "in doubt" if row["in_doubt"] else row["status"]
            message = f"it changed after the preview and is {word} now, so it was left as it is"
            settled[item["dispatch_id"]] = Settled(item["position"], "MOVED", row["status"], message)
    return same


def _seen(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["status"], row["in_doubt"], row["updated_at"]


def _settled(position: int, result: ActionResult) -> Settled:
    if result.changed:
        return Settled(position, "DONE", result.status)
    return Settled(position, "REFUSED", result.code, result.message)


def _write(run_id: UUID, settled: Sequence[Settled]) -> None:
    if not settled:
        return
    done = sum(one.result == "DONE" for one in settled)
    execute(
        "UPDATE bulk_runs SET done = done + %s, unchanged = unchanged + %s WHERE id = %s",
        (done, len(settled) - done, run_id),
    )
    execute(
        "UPDATE bulk_items i SET result = o.result, code = nullif(o.code, ''), message = nullif(o.message, ''),"
        " settled_at = clock_timestamp()"
        " FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[]) AS o (position, result, code, message)"
        " WHERE i.run_id = %s AND i.position = o.position AND i.result IS NULL",
        (
            [one.position for one in settled],
            [one.result for one in settled],
            [one.code for one in settled],
            [one.message for one in settled],
            run_id,
        ),
    )


def _retry(lane: Lane, ids: Sequence[UUID], actor: str, reason: str) -> list[ActionResult]:
    results = operator.retry(lane, ids, actor=actor, reason=reason)
    if any(result.changed for result in results):
        get_waker().after_commit(lane)
    return results


def _cancel(lane: Lane, ids: Sequence[UUID], actor: str, reason: str) -> list[ActionResult]:
    return operator.cancel(lane, ids, actor=actor, reason=reason)


_ACTS: Mapping[str, Callable[[Lane, Sequence[UUID], str, str], list[ActionResult]]] = MappingProxyType(
    {RETRY: _retry, CANCEL: _cancel}
)
