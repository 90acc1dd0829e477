"""Trying the failed dispatches of one incident again: first one, then five, then the rest in batches, each step only once
everything released before it has been SENT. Halts at the first failure among them. Owns the replay's tables; a dispatch is
moved by `operator.retry` alone.

A row is released and marked in one transaction, under the replay's row lock. So it is retried once per replay however many
schedulers there are, and whichever of them dies, another goes on from the marks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from dispatchlog.engine import operator
from dispatchlog.engine.database import execute, fetch_all, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Lane, Row, narrowed
from dispatchlog.engine.wakeup import Waker

log = structlog.get_logger(__name__)

# How many each stage releases: one, five, and then the rest in batches.
STAGES = (1, 5, 100)
# What one replay holds at the most; the rest of a larger incident needs another one.
MOST_ROWS = 50_000
# A step looks at so many waiting rows at the most, so that a long run of moved ones is no long transaction.
MOST_LOOKED_AT = 1_000
OPEN_STATES = ("RUNNING", "STOPPED", "HALTED")


# Why nothing more is to be done in the name of whoever is given; empty where nothing speaks against it.
Objection = Callable[[str], str]


class ReplayRefused(DispatchlogError):
    """The replay cannot do that now; the message says how it stands."""

    code = "REPLAY_REFUSED"


def start(lanes: Sequence[Lane], *, gateway: str, cause: str, since: datetime, actor: str, reason: str) -> int:
    """Freeze the list of what failed for `cause` at `gateway` since then, oldest first; the replay's id comes back.

    Nothing is released yet: the next `advance` releases the first one. Rows in doubt are never part of it.

    Raises:
        ReasonRequired: without a reason.
        ReplayRefused: one of this incident is under way (REPLAY_OPEN), or nothing failed so (NOTHING_TO_REPLAY).
    """
    _require(reason)
    concerned = [part for lane in lanes if (part := narrowed(lane, gateway)) is not None]
    with transaction(actor, reason):
        made = fetch_all(
            "INSERT INTO dispatch_replays (gateway, cause, since, actor, started_by, reason)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING RETURNING id",
            (gateway[:64], cause[:64], since, actor, actor, reason),
        )
        if not made:
            raise ReplayRefused("a replay of these is under way already", code="REPLAY_OPEN")
        replay_id = int(made[0][0])
        total = _freeze(replay_id, concerned, cause, since) if concerned else 0
        if total == 0:
            raise ReplayRefused("nothing that failed so is left", code="NOTHING_TO_REPLAY")
        execute(
            "UPDATE dispatch_replays SET total = %s, lanes = ARRAY("
            "SELECT DISTINCT lane FROM dispatch_replay_rows WHERE replay_id = %s) WHERE id = %s",
            (total, replay_id, replay_id),
        )
        detail = {"replay": replay_id, "gateway": gateway, "cause": cause, "since": since, "dispatches": total}
        operator.log_action(actor, "replay_start", reason=reason, detail=detail)
    return replay_id


def _freeze(replay_id: int, lanes: Sequence[Lane], cause: str, since: datetime) -> int:
    failed = " UNION ALL ".join(
        f"(SELECT %s::text AS lane, id, updated_at FROM {lane.table} WHERE status = 'FAILED' AND NOT in_doubt"
        f" AND last_error_code = %s AND updated_at >= %s{' AND route = %s' if lane.route else ''}"
        " ORDER BY updated_at, id LIMIT %s)"
        for lane in lanes
    )
    values: list[Any] = []
    for lane in lanes:
        values += [lane.name, cause, since, *([lane.route.name] if lane.route else []), MOST_ROWS]
    frozen = execute(
        "INSERT INTO dispatch_replay_rows (replay_id, position, lane, dispatch_id, failed_at)"
        " SELECT %s, row_number() OVER (ORDER BY updated_at, id), lane, id, updated_at"
        f" FROM ({failed}) f ORDER BY updated_at, id LIMIT %s",
        [replay_id, *values, MOST_ROWS],
    )
    return int(frozen.rowcount)


def advance_all(lanes: Sequence[Lane], waker: Waker | None = None, *, objection: Objection | None = None) -> None:
    """Take every open replay one step further, each in a transaction of its own."""
    with transaction("replay"):
        open_ones = fetch_all(
            "SELECT id FROM dispatch_replays WHERE state = ANY (%s) ORDER BY id", (list(OPEN_STATES),)
        )
    for (replay_id,) in open_ones:
        advance(replay_id, lanes, waker=waker, objection=objection)


def advance(
    replay_id: int, lanes: Sequence[Lane], *, waker: Waker | None = None, objection: Objection | None = None
) -> bool:
    """Note what became of the released rows; where all went well release the next ones. Whether anything changed.

    It is stopped where `objection` says that whoever it goes on for may not act any more; somebody else may resume it.
    A replay that is stopped or halted only notes. Somebody who is at it already is left to it.
    """
    with transaction("replay"):
        found = fetch_dicts(
            "SELECT * FROM dispatch_replays WHERE id = %s AND state = ANY (%s) FOR UPDATE SKIP LOCKED",
            (replay_id, list(OPEN_STATES)),
        )
        if not found:
            return False
        step = _Step(found[0], lanes, waker)
        settled, failed = step.settle()
        if found[0]["state"] != "RUNNING":
            return settled
        if failed is not None:
            _change(replay_id, "HALTED", halted_by=failed)
            log.warning("REPLAY_HALTED", replay=replay_id, dispatch_id=str(failed))
            return True
        against = objection(found[0]["actor"]) if objection else ""
        if against:
            _change(replay_id, "STOPPED")
            operator.log_action("dispatchlog", "replay_stop", reason=against, detail={"replay": replay_id})
            return True
        return step.release() or settled


def stop(replay_id: int, *, actor: str, reason: str = "") -> None:
    """Release no more of it until somebody resumes it. What was released goes on.

    Raises:
        ReplayRefused: it is not running.
    """
    with transaction(actor, reason):
        _expect(replay_id, ("RUNNING",))
        _change(replay_id, "STOPPED")
        operator.log_action(actor, "replay_stop", reason=reason, detail={"replay": replay_id})


def resume(replay_id: int, lanes: Sequence[Lane], *, actor: str, reason: str) -> None:
    """Go on, from then on in the name of `actor`. After a failure it begins again with a single one.

    Raises:
        ReasonRequired: without a reason.
        ReplayRefused: it is neither stopped nor halted.
    """
    _require(reason)
    with transaction(actor, reason):
        replay = _expect(replay_id, ("STOPPED", "HALTED"))
        if replay["state"] == "HALTED":
            _Step(replay, lanes, None).settle()  # what failed until now is known to whoever resumes it
            execute("UPDATE dispatch_replays SET stage = 0, round = round + 1 WHERE id = %s", (replay_id,))
        execute("UPDATE dispatch_replays SET actor = %s WHERE id = %s", (actor, replay_id))
        _change(replay_id, "RUNNING")
        operator.log_action(actor, "replay_resume", reason=reason, detail={"replay": replay_id})


def end(replay_id: int, *, actor: str, reason: str) -> None:
    """Give it up: what was not released stays failed, and another replay may begin.

    Raises:
        ReasonRequired: without a reason.
        ReplayRefused: it has ended already.
    """
    _require(reason)
    with transaction(actor, reason):
        _expect(replay_id, OPEN_STATES)
        _change(replay_id, "ENDED")
        operator.log_action(actor, "replay_end", reason=reason, detail={"replay": replay_id})


def _require(reason: str) -> None:
    if not reason.strip():
        raise operator.ReasonRequired("say why: the reason stays with the replay")


def _expect(replay_id: int, states: Sequence[str]) -> Row:
    found = fetch_dicts("SELECT * FROM dispatch_replays WHERE id = %s FOR UPDATE", (replay_id,))
    if not found:
        raise ReplayRefused("there is no such replay", code="REPLAY_NOT_FOUND")
    if found[0]["state"] not in states:
        raise ReplayRefused(f"it is {found[0]['state'].lower()} now", code="REPLAY_MOVED")
    return found[0]


def _change(replay_id: int, state: str, *, halted_by: UUID | None = None) -> None:
    execute(
        "UPDATE dispatch_replays SET state = %s, halted_by = %s, updated_at = clock_timestamp() WHERE id = %s",
        (state, halted_by, replay_id),
    )


class _Step:
    """One step of one replay, whose row is locked."""

    def __init__(self, replay: Row, lanes: Sequence[Lane], waker: Waker | None) -> None:
        self.replay = replay
        self.lanes = {lane.name: lane for lane in lanes}
        self.waker = waker

    def settle(self) -> tuple[bool, UUID | None]:
        """Mark what has ended among the released rows: whether any has, and one that failed, if one did."""
        failed: UUID | None = None
        changes: list[_Change] = []
        for lane_name, marked in _by_lane(self._rows("RELEASED", limit=None)).items():
            now = self._current(lane_name, marked)
            for mark in marked:
                end = _outcome(mark, now.get(mark["dispatch_id"]))
                if end is not None:
                    changes.append((mark["position"], *end))
                    if end[0] == "FAILED":
                        failed = failed or mark["dispatch_id"]
        self._write(changes, "settled_at = clock_timestamp()")
        return bool(changes), failed

    def release(self) -> bool:
        """Retry the next ones, if nothing is on its way; with nothing left to retry the replay is DONE."""
        on_way, sent = fetch_one(
            "SELECT count(*) FILTER (WHERE state = 'RELEASED'), count(*) FILTER (WHERE state = 'SENT')"
            " FROM dispatch_replay_rows WHERE replay_id = %s AND (state = 'RELEASED' OR state = 'SENT' AND round = %s)",
            (self.replay["id"], self.replay["round"]),
        )
        if on_way:
            return False
        # A step whose rows had all moved proved nothing, so it is taken again.
        stage = min(self.replay["stage"] + 1, len(STAGES) - 1) if sent else self.replay["stage"]
        released = looked_at = 0
        waiting: list[Row] = []
        while released < STAGES[stage] and looked_at < MOST_LOOKED_AT:
            waiting = self._rows("WAITING", limit=STAGES[stage] - released)
            if not waiting:
                break
            looked_at += len(waiting)
            released += self._retry(waiting)
        execute(
            "UPDATE dispatch_replays SET stage = %s, round = round + 1, updated_at = clock_timestamp() WHERE id = %s",
            (stage, self.replay["id"]),
        )
        if not released and not waiting:
            _change(self.replay["id"], "DONE")
        return True

    def _retry(self, waiting: Sequence[Row]) -> int:
        """Retry those that stand as they did when the list was frozen; how many were released."""
        changes: list[_Change] = []
        for lane_name, marked in sorted(_by_lane(waiting).items()):
            now = self._current(lane_name, marked, lock=True)
            refused = {mark["dispatch_id"]: _moved(mark, now.get(mark["dispatch_id"])) for mark in marked}
            ids = [dispatch_id for dispatch_id, why in refused.items() if why is None]
            released = set()
            for result in self._retried(lane_name, ids):
                if result.changed:
                    released.add(result.dispatch_id)
                else:
                    refused[result.dispatch_id] = result.code, result.message
            for mark in marked:
                dispatch_id = mark["dispatch_id"]
                if dispatch_id in released:
                    changes.append((mark["position"], "RELEASED", None, None, now[dispatch_id]["attempts"]))
                else:
                    changes.append((mark["position"], "SKIPPED", *(refused[dispatch_id] or ("", "")), None))
        self._write(changes, "round = %s, released_at = clock_timestamp()", self.replay["round"] + 1)
        return sum(change[1] == "RELEASED" for change in changes)

    def _retried(self, lane_name: str, ids: Sequence[UUID]) -> list[operator.ActionResult]:
        if not ids:
            return []
        lane = self.lanes[lane_name]
        if self.waker is not None:
            self.waker.after_commit(lane)
        why = f"replay {self.replay['id']}: {self.replay['reason']}"
        return operator.retry(lane, ids, actor=self.replay["actor"], reason=why)

    def _rows(self, state: str, *, limit: int | None) -> list[Row]:
        return [
            *fetch_dicts(
                "SELECT position, lane, dispatch_id, failed_at, attempts FROM dispatch_replay_rows"
                " WHERE replay_id = %s AND state = %s ORDER BY position LIMIT %s",
                (self.replay["id"], state, limit),
            )
        ]

    def _current(self, lane_name: str, marked: Sequence[Row], *, lock: bool = False) -> dict[UUID, Row]:
        lane = self.lanes.get(lane_name)
        if lane is None:
            return {}
        rows = fetch_dicts(
            "SELECT id, status, in_doubt, attempts, updated_at, last_error_code, last_error"
            f" FROM {lane.table} WHERE id = ANY (%s::uuid[]) ORDER BY id{' FOR UPDATE' if lock else ''}",
            ([mark["dispatch_id"] for mark in marked],),
        )
        return {row["id"]: row for row in rows}

    def _write(self, changes: Sequence[_Change], more: str, *values: Any) -> None:
        if not changes:
            return
        positions, states, codes, notes, attempts = (list(column) for column in zip(*changes, strict=True))
        execute(
            f"UPDATE dispatch_replay_rows r SET state = c.state, code = c.code, note = c.note,"
            f" attempts = coalesce(c.attempts, r.attempts), {more}"
            " FROM unnest(%s::int[], %s::text[], %s::text[], %s::text[], %s::int[])"
            " AS c (position, state, code, note, attempts) WHERE r.replay_id = %s AND r.position = c.position",
            [*values, positions, states, codes, notes, attempts, self.replay["id"]],
        )


# Position, state, code, note, attempts when released.
_Change = tuple[int, str, str | None, str | None, int | None]


def _by_lane(marked: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for mark in marked:
        found[mark["lane"]].append(mark)
    return found


_GONE = ("DISPATCH_NOT_FOUND", "it is no longer there")
_MEANWHILE = {
    "SENT": "it was sent meanwhile",
    "PENDING": "it was retried meanwhile",
    "QUEUED": "it was retried meanwhile",
    "CANCELLED": "it was cancelled meanwhile",
    "FAILED": "it was changed, or failed again, meanwhile",
}


def _moved(mark: Row, row: Row | None) -> tuple[str, str] | None:
    """Why the row is not the failure any more that was frozen; None where it is."""
    if row is None:
        return _GONE
    if row["in_doubt"]:
        return "IN_DOUBT", "it is in doubt now"
    if row["status"] == "FAILED" and row["updated_at"] == mark["failed_at"]:
        return None
    return "MOVED", _MEANWHILE[row["status"]]


def _outcome(mark: Row, row: Row | None) -> tuple[str, str | None, str | None, None] | None:
    """What became of a released row; None while it is on its way. A try that failed counts, also if others follow it."""
    if row is None:
        return "SKIPPED", *_GONE, None
    if row["status"] == "SENT":
        return "SENT", None, None, None
    if row["status"] == "FAILED" or row["attempts"] > mark["attempts"]:
        return "FAILED", row["last_error_code"], row["last_error"], None
    if row["status"] == "CANCELLED":
        return "SKIPPED", "MOVED", _MEANWHILE["CANCELLED"], None
    return None
