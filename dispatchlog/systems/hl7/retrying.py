"""Asking again for HL7 messages: all that wait or have failed, or some. Owns which; the engine's `operator` moves each.

Every batch is a transaction of its own, so a call that is cut short has lost nothing, and may be made again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from uuid import UUID

from dispatchlog.broker import get_waker
from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, execute
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.operator import ActionResult
from dispatchlog.systems.hl7.lane import hl7_lane
from dispatchlog.systems.hl7.visits import school_endpoint

RETRIABLE = ("PENDING", "FAILED")
BATCH = 100
# So many are looked at in one call, which a person waits for; `next_after` goes on from there.
MOST = 1_000


@dataclass(frozen=True, slots=True)
class Retried:
    """What became of them. `next_after` is where to go on when there were more than one call takes, None at the end."""

    retried: int
    unchanged: int
    next_after: int | None = None
    results: tuple[ActionResult, ...] = ()


def retry_all(
    status: str,
    *,
    school: str | None = None,
    actor: str,
    reason: str = "",
    after: int = 0,
    most: int | None = None,
) -> Retried:
    """Make every message that is PENDING or FAILED now due now, oldest first, its retries counted from 0 again.

    Args:
        status: PENDING or FAILED.
        school: a school's code or id; None for all.
        actor: who is on record for each.
        after: `next_after` of the call before.
        most: how many are looked at, MOST unless told.

    Raises:
        DispatchlogError: UNKNOWN_STATUS.
        VisitError: UNKNOWN_SCHOOL.
    """
    if status not in RETRIABLE:
        raise DispatchlogError(f"retry what is {' or '.join(RETRIABLE)}", code="UNKNOWN_STATUS")
    school_id = school_id_of(school) if school else None
    most = MOST if most is None else most
    found = _waiting(status, school_id, after=after, limit=most + 1)
    chosen = found[:most]
    results = _retry([message_id for _, message_id in chosen], actor=actor, reason=reason)
    retried = sum(result.changed for result in results)
    return Retried(retried, len(results) - retried, chosen[-1][0] if len(found) > most else None)


def retry_these(ids: Sequence[UUID], *, actor: str, reason: str = "") -> Retried:
    """Make these messages due now, and say of each what became of it: `results` are in the order of `ids`.

    One that does not exist, or cannot be retried, is answered with its code and stops no other.
    """
    results = _retry(list(dict.fromkeys(ids)), actor=actor, reason=reason)
    retried = sum(result.changed for result in results)
    return Retried(retried, len(results) - retried, results=tuple(results))


def school_id_of(school: str) -> UUID:
    """The id of the school with this code or id.

    Raises:
        VisitError: UNKNOWN_SCHOOL.
    """
    with connected():
        return UUID(str(school_endpoint(school)["school_id"]))


def _waiting(status: str, school_id: UUID | None, *, after: int, limit: int) -> list[tuple[int, UUID]]:
    """From the index on (status, seq), or on (school_id, status, seq): no message is sorted or looked at twice."""
    where = "status = %s AND seq > %s" + (" AND school_id = %s" if school_id else "")
    values = (status, after, school_id) if school_id else (status, after)
    with connected():
        rows = execute(f"SELECT seq, id FROM hl7_messages WHERE {where} ORDER BY seq LIMIT %s", (*values, limit))
        return [(seq, message_id) for seq, message_id in rows.fetchall()]


def _retry(ids: Sequence[UUID], *, actor: str, reason: str) -> list[ActionResult]:
    lane = hl7_lane()
    results: list[ActionResult] = []
    remaining = iter(ids)
    while batch := list(islice(remaining, BATCH)):
        results += operator.retry(lane, batch, actor=actor, reason=reason)
        if any(result.changed for result in results[-len(batch) :]):
            get_waker().wake(lane)
    return results
