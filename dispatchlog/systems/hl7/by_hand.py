"""Sending messages by hand, in the process that asks: what is left where no worker runs. Owns when to stop; each message
goes as a worker would send it, in its order and at its endpoint's pace, and beside workers too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, fetch_all, fetch_dicts
from dispatchlog.engine.delivery import deliver_batch
from dispatchlog.engine.runtime import Runtime
from dispatchlog.systems.hl7.endpoints import routes
from dispatchlog.systems.hl7.lane import hl7_lane

AT_ONCE = 1000
LOOK_AGAIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ByHand:
    """Where a message stands after it was to be sent by hand; `why` says what kept it, in words for people."""

    message_id: UUID
    school: str
    status: str
    why: str = ""


def pending() -> list[UUID]:
    """Every message that waits, oldest first."""
    with connected():
        return [row[0] for row in fetch_all("SELECT id FROM hl7_messages WHERE status = 'PENDING' ORDER BY seq")]


def send_now(ids: Sequence[UUID], runtime: Runtime, *, actor: str, reason: str) -> Iterator[ByHand]:
    """Send these messages now, as a person's retry: due at once, the count of tries at 0, however old they are.

    Each comes back once, when it was sent, failed, was tried in vain, or cannot be tried. What else is due by their
    endpoints goes too, for nothing overtakes it.
    """
    lane = hl7_lane()
    for start in range(0, len(ids), AT_ONCE):
        asked = ids[start : start + AT_ONCE]
        results = operator.retry(lane, asked, actor=actor, reason=reason)
        taken = {each.dispatch_id for each in results if each.changed or each.code == "ALREADY_DUE"}
        for each in results:
            if each.dispatch_id not in taken:
                why = each.message or "there is no such message"
                yield ByHand(each.dispatch_id, _school(each.dispatch_id), each.status, why)
        yield from _see_through(taken, runtime)


def _school(message_id: UUID) -> str:
    with connected():
        rows = fetch_all("SELECT route FROM hl7_messages WHERE id = %s", (message_id,))
    return str(rows[0][0]) if rows else ""


def _see_through(ids: Collection[UUID], runtime: Runtime) -> Iterator[ByHand]:
    attempts = {row["id"]: row["attempts"] for row in _rows(ids)}
    while attempts and not runtime.stopping.is_set():
        open_rows = []
        for row in _rows(attempts):
            if row["status"] == "QUEUED" or (row["status"] == "PENDING" and row["attempts"] == attempts[row["id"]]):
                open_rows.append(row)
            else:
                del attempts[row["id"]]
                yield ByHand(row["id"], row["route"], row["status"], _why(row))
        claimed, wait_seconds = _deliver({row["route"] for row in open_rows}, runtime)
        if claimed:
            continue
        if not wait_seconds and not any(row["busy"] for row in open_rows):
            break
        runtime.stopping.wait(wait_seconds or LOOK_AGAIN_SECONDS)
    for row in _rows(attempts):
        yield ByHand(row["id"], row["route"], row["status"], _why_not_tried(row))


def _rows(ids: Collection[UUID]) -> list[dict[str, Any]]:
    with connected():
        return fetch_dicts(
            "SELECT m.id, m.route, m.status, m.attempts, m.last_error_code, EXISTS (SELECT FROM hl7_messages q"
            " WHERE q.route = m.route AND q.status = 'QUEUED') AS busy FROM hl7_messages m WHERE m.id = ANY (%s::uuid[])"
            " ORDER BY m.seq",
            (list(ids),),
        )


def _deliver(names: Collection[str], runtime: Runtime) -> tuple[int, float]:
    """One batch by each of these endpoints: how many were taken, and the seconds until a pace allows one more."""
    claimed, waits = 0, []
    for name in sorted(names):
        route = routes().get(name)
        if route is None or route.closed:
            continue
        with connected():
            did = deliver_batch(hl7_lane().through(route), runtime)
        claimed += did.claimed
        waits += [did.wait_seconds] if did.wait_seconds else []
    return claimed, min(waits, default=0.0)


def _why(row: dict[str, Any]) -> str:
    """The code alone: the exchange's own words may quote the patient."""
    return "" if row["status"] == "SENT" else str(row["last_error_code"] or "")


def _why_not_tried(row: dict[str, Any]) -> str:
    if row["status"] == "SENT":
        return ""  # by a worker, in the last moment
    route = routes().get(str(row["route"]))
    if route is not None and route.closed:
        return route.closed
    return "Not tried: its endpoint is paused or held back, or an earlier message of the student has not left."
