"""Applying stored events to their dispatches. Owns the locks and the statements; what comes of an event says `folding`.

The order's row is locked first, then the dispatch's. Orders that somebody else has locked are passed over and waited for at
the end, one at a time and holding nothing else, so no two of these wait for each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import peewee
import psycopg2
import structlog
from psycopg2.extras import execute_values

from dispatchlog.engine.database import (
    DATABASE_AWAY,
    after_commit,
    connected,
    database,
    execute,
    fetch_all,
    fetch_dicts,
    transaction,
)
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.courier import codes, messages, orders
from dispatchlog.systems.courier.folding import Effect, Heard, Outcome, fold, heard
from dispatchlog.systems.courier.states import ENDED, DispatchStatus

log = structlog.get_logger(__name__)

ACTOR = "courier"
ORDERS_AT_ONCE = 50
_FAILURES = (peewee.PeeweeException, psycopg2.Error, DispatchlogError, ValueError, TypeError, KeyError)

_OPEN = """
SELECT e.id, e.courier, e.courier_reference, d.order_id FROM courier_events e
LEFT JOIN LATERAL (
    SELECT order_id FROM courier_dispatches WHERE id = e.dispatch_id
    UNION ALL
    SELECT order_id FROM courier_dispatches
    WHERE e.dispatch_id IS NULL AND courier = e.courier AND courier_reference = e.courier_reference) d ON true
WHERE e.applied_at IS NULL AND e.id > %s ORDER BY e.id LIMIT %s
"""
_LOCK_ORDERS = "SELECT id FROM pharmacy_orders WHERE id = ANY (%s::uuid[]) ORDER BY id FOR NO KEY UPDATE"
_STILL_OPEN = "SELECT id FROM courier_events WHERE id = ANY (%s) AND applied_at IS NULL"
_LOCK_DISPATCHES = """
SELECT d.*, EXISTS (SELECT FROM courier_dispatches n WHERE n.order_id = d.order_id AND n.attempt > d.attempt) AS superseded
FROM courier_dispatches d WHERE d.order_id = ANY (%s::uuid[]) ORDER BY d.id FOR NO KEY UPDATE OF d
"""
_OPEN_OF = """
SELECT e.id FROM courier_events e JOIN courier_dispatches d USING (courier, courier_reference)
WHERE d.id = %s AND e.applied_at IS NULL AND e.dispatch_id IS NULL
"""
# Who says that nobody has a reference, and who brings it, take turns: else each could miss what the other writes.
_TAKE_TURNS = "SELECT pg_advisory_xact_lock(hashtextextended(%s || ' ' || %s, 7240))"
_NEW = """
SELECT e.*, coalesce(e.dispatch_id, d.id) AS owner FROM courier_events e
LEFT JOIN courier_dispatches d ON d.courier = e.courier AND d.courier_reference = e.courier_reference
WHERE e.id = ANY (%s) AND e.applied_at IS NULL
"""
_OWN = "SELECT e.*, e.dispatch_id AS owner FROM courier_events e WHERE e.dispatch_id = ANY (%s::uuid[])"
_CAME_TOO_EARLY = """
SELECT e.*, %s::uuid AS owner FROM courier_events e
WHERE e.courier = %s AND e.courier_reference = %s AND e.effect = 'UNMATCHED'
"""
_NOBODY_S = """
UPDATE courier_events e SET applied_at = clock_timestamp(), effect = 'UNMATCHED'
WHERE e.id = ANY (%s) AND e.applied_at IS NULL AND NOT EXISTS (
    SELECT FROM courier_dispatches d WHERE d.courier = e.courier AND d.courier_reference = e.courier_reference)
"""
_APPLIED = """
UPDATE courier_events e SET applied_at = clock_timestamp(), effect = v.effect, dispatch_id = v.dispatch_id
FROM (VALUES %s) AS v (id, effect, dispatch_id) WHERE e.id = v.id
"""
_COLUMNS = {
    "status": "varchar",
    "raw_status": "varchar",
    "tracking_url": "varchar",
    "driver_name": "varchar",
    "driver_phone": "varchar",
    "eta_at": "timestamptz",
    "booked_at": "timestamptz",
    "assigned_at": "timestamptz",
    "picked_up_at": "timestamptz",
    "in_transit_at": "timestamptz",
    "ended_at": "timestamptz",
    "failure_code": "varchar",
    "failure_reason": "text",
    "confirmed_by": "varchar",
    "heard_at": "timestamptz",
    "poll_at": "timestamptz",
    "polls_apart": "integer",
    "disagreement": "varchar",
}
_CHANGE = f"""
UPDATE courier_dispatches d SET {", ".join(f"{name} = v.{name}" for name in _COLUMNS)}, updated_at = clock_timestamp()
FROM (VALUES %s) AS v (id, {", ".join(_COLUMNS)}) WHERE d.id = v.id
"""
_CHANGE_TYPES = f"(%s, {', '.join(f'%s::{kind}' for kind in _COLUMNS.values())})"
# What those who listen are told of besides a move.
_TOLD = frozenset({"tracking_url", "driver_name", "driver_phone", "eta_at"})


Waiting = Mapping[UUID, Sequence[int]]


def apply_open(*, limit: int) -> int:
    """See `events.apply_open`. Inside a transaction it passes over what somebody else holds."""
    applied, last = 0, 0
    passed_over: dict[UUID, Sequence[int]] = {}
    with connected():
        while applied < limit and (found := fetch_dicts(_OPEN, (last, limit))):
            last = found[-1]["id"]
            by_order, strangers = _grouped(found)
            orders_found = list(by_order)
            for start in range(0, len(orders_found), ORDERS_AT_ONCE):
                chunk = {order: by_order[order] for order in orders_found[start : start + ORDERS_AT_ONCE]}
                done, locked = _apply_chunk(chunk)
                applied += done
                passed_over |= {order: ids for order, ids in chunk.items() if order not in locked}
            applied += _lay_aside(strangers)
        if not database.in_transaction():
            applied += sum(_wait_for(order, ids) for order, ids in passed_over.items())
    return applied


def apply_own(order_id: UUID, dispatch_id: UUID, *, with_reference: bool = False) -> None:
    """Apply what is stored of this dispatch by its id, and by its courier's reference too where that is asked for; in the
    caller's transaction with the order locked.
    """
    ids: list[int] = []
    if with_reference:
        ids = [event_id for (event_id,) in fetch_all(_OPEN_OF, (dispatch_id,))]
    _apply([order_id], ids, also=[dispatch_id], wait=True)


def _grouped(found: Sequence[Mapping[str, Any]]) -> tuple[dict[UUID, list[int]], dict[tuple[str, str], list[int]]]:
    """The events by order, and those whose dispatch nobody knows by courier and reference."""
    by_order: dict[UUID, list[int]] = {}
    strangers: dict[tuple[str, str], list[int]] = {}
    for row in found:
        if row["order_id"] is not None:
            by_order.setdefault(row["order_id"], []).append(row["id"])
        else:
            strangers.setdefault((row["courier"], row["courier_reference"]), []).append(row["id"])
    return by_order, strangers


def _apply_chunk(chunk: Waiting, *, wait: bool = False) -> tuple[int, Collection[UUID]]:
    """How many events were applied, and the orders whose turn it was; where one fails, the others go without it."""
    ids = [event_id for each in chunk.values() for event_id in each]
    try:
        with transaction(ACTOR):
            return _apply(list(chunk), ids, wait=wait)
    except DATABASE_AWAY:
        raise
    except _FAILURES as error:
        if database.in_transaction():
            raise
        if len(chunk) > 1:
            alone = [_apply_chunk({order: each}, wait=wait) for order, each in chunk.items()]
            return sum(done for done, _ in alone), {order for _, locked in alone for order in locked}
        code = error.code if isinstance(error, DispatchlogError) else type(error).__name__
        log.error("EVENT_NOT_APPLIED", order_id=str(next(iter(chunk))), events=ids[:10], error=code)
        return 0, chunk.keys()


def _wait_for(order_id: UUID, ids: Sequence[int]) -> int:
    if not fetch_all(_STILL_OPEN, (list(ids),)):
        return 0
    return _apply_chunk({order_id: ids}, wait=True)[0]


def _lay_aside(strangers: Mapping[tuple[str, str], Sequence[int]]) -> int:
    """Mark what no dispatch is known for; a booking that brings the reference takes it up again."""
    if database.in_transaction():
        return 0
    marked = 0
    for (courier, reference), ids in strangers.items():
        with transaction(ACTOR):
            execute(_TAKE_TURNS, (courier, reference))
            marked += execute(_NOBODY_S, (list(ids),)).rowcount
    return marked


def _apply(
    order_ids: Sequence[UUID], event_ids: Sequence[int], *, wait: bool, also: Sequence[UUID] = ()
) -> tuple[int, Collection[UUID]]:
    locked = [order for (order,) in fetch_all(_LOCK_ORDERS + ("" if wait else " SKIP LOCKED"), (list(order_ids),))]
    if not locked:
        return 0, ()
    dispatches = {row["id"]: row for row in fetch_dicts(_LOCK_DISPATCHES, (locked,))}
    new, known = _events(dispatches, event_ids, also)
    outcomes = {owner: _outcome(dispatches[owner], events, known[owner]) for owner, events in new.items()}
    _write(dispatches, outcomes)
    for owner, outcome in outcomes.items():
        _follow(dispatches[owner], outcome, new[owner])
    return sum(len(events) for events in new.values()), locked


Events = dict[UUID, list[Heard]]


def _events(
    dispatches: Mapping[UUID, Mapping[str, Any]], event_ids: Sequence[int], also: Sequence[UUID]
) -> tuple[Events, Events]:
    """Of each dispatch what is to be applied, and what was applied before."""
    rows = [row for row in fetch_dicts(_NEW, (list(event_ids),)) if row["owner"] in dispatches]
    owners = list({*(row["owner"] for row in rows), *also})
    rows += fetch_dicts(_OWN, (owners,))
    brought = {row["owner"] for row in rows if row["source"] == "booking" and row["applied_at"] is None}
    for owner in sorted(brought):
        rows += _came_too_early(dispatches[owner])
    new: Events = {}
    known: Events = {owner: [] for owner in owners}
    for row in {row["id"]: row for row in rows}.values():
        if row["applied_at"] is None or row["effect"] == Effect.UNMATCHED:
            new.setdefault(row["owner"], []).append(heard(row))
        elif row["effect"] != Effect.SUPERSEDED:
            known[row["owner"]].append(heard(row))
    return new, known


def _came_too_early(dispatch: Mapping[str, Any]) -> list[dict[str, Any]]:
    key = (dispatch["courier"], dispatch["courier_reference"])
    if key[1] is None:
        return []
    execute(_TAKE_TURNS, key)
    return fetch_dicts(_CAME_TOO_EARLY, (dispatch["id"], *key))


def _outcome(dispatch: Mapping[str, Any], new: Sequence[Heard], known: Sequence[Heard]) -> Outcome:
    if dispatch["superseded"]:
        return _superseded(dispatch, new)
    outcome = fold(dispatch, new, known)
    if not outcome.moves:
        return outcome
    columns = {**outcome.columns, "polls_apart": 0, "disagreement": None}
    last = outcome.moves[-1]
    if columns.get("status", dispatch["status"]) not in ENDED:
        if dispatch["poll_at"] is None and dispatch["courier_reference"] is not None:
            columns["poll_at"] = last.received_at
    elif last.source != "webhook":  # an end that only a webhook told is asked about once more
        columns["poll_at"] = None
    return Outcome(columns, outcome.effects, outcome.moves)


def _superseded(dispatch: Mapping[str, Any], new: Sequence[Heard]) -> Outcome:
    """Its status never changes any more; but two of the same order at the door are somebody's business."""
    columns: dict[str, Any] = {}
    if (
        any(event.status is DispatchStatus.DELIVERED for event in new)
        and dispatch["status"] != DispatchStatus.DELIVERED
    ):
        columns["disagreement"] = (
            f"The courier says that attempt {dispatch['attempt']} was delivered, and there is a newer one."
        )
    return Outcome(columns, {event.id: Effect.SUPERSEDED for event in new}, ())


def _write(dispatches: Mapping[UUID, Mapping[str, Any]], outcomes: Mapping[UUID, Outcome]) -> None:
    changed = [
        (owner, *({**dispatches[owner], **outcome.columns}[name] for name in _COLUMNS))
        for owner, outcome in outcomes.items()
        if outcome.columns
    ]
    applied = [
        (event, str(effect), owner) for owner, each in outcomes.items() for event, effect in each.effects.items()
    ]
    with database.connection().cursor() as cursor:
        if changed:
            execute_values(cursor, _CHANGE, changed, template=_CHANGE_TYPES, page_size=ORDERS_AT_ONCE)
        if applied:
            execute_values(cursor, _APPLIED, applied, template="(%s, %s, %s::uuid)", page_size=1000)


def _follow(before: Mapping[str, Any], outcome: Outcome, new: Sequence[Heard]) -> None:
    """What others do about it, in the same transaction; of several moves at once only where it came to."""
    after = {**before, **outcome.columns}
    if before["superseded"]:
        if outcome.columns:
            _say("SUPERSEDED_ATTEMPT_DELIVERED", after, new[-1])
        return
    if outcome.moves and after["status"] != before["status"]:
        status = DispatchStatus(after["status"])
        if status is DispatchStatus.IN_TRANSIT:
            codes.issue_code(after)
        messages.enqueue_updates(after, status)
        orders.note_change(after["order_id"], "status", dispatch_status=str(status))
    elif outcome.columns.keys() & _TOLD:
        orders.note_change(after["order_id"], "tracking")
    for event in outcome.moves:
        _say("DISPATCH_UPDATED", {**after, "status": event.status}, event)


def _say(what: str, dispatch: Mapping[str, Any], event: Heard) -> None:
    """A line of the log once it is committed."""
    fields = {
        "dispatch_id": str(dispatch["id"]),
        "order_id": str(dispatch["order_id"]),
        "attempt": dispatch["attempt"],
        "status": str(dispatch["status"]),
        "source": event.source,
        "trace_id": dispatch["trace_id"],
    }
    after_commit(f"{what}:{event.id}", lambda: log.info(what, **fields))
