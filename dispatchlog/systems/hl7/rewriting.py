"""Writing a message anew with a visit that a person put right. Owns when that may be; the old message is never changed.

The new message says which one it replaces, who wrote it and of what. Where the old one has not left it is cancelled in the
same transaction, and the new one takes its place in the student's line, so that no later message overtakes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine import operator
from dispatchlog.engine.database import connected, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError, DispatchNotFound
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.operator import ReasonRequired
from dispatchlog.row_content import HL7_MESSAGES, VISITS
from dispatchlog.systems.hl7 import stored_visit
from dispatchlog.systems.hl7.checks import check_visit
from dispatchlog.systems.hl7.lane import LANE, hl7_lane
from dispatchlog.systems.hl7.records import Visit
from dispatchlog.systems.hl7.visits import enqueue_message, school_endpoint

UNDER_WAY, IN_DOUBT, REPLACED, SENT_BEFORE, UNCHANGED = "UNDER_WAY", "IN_DOUBT", "REPLACED", "SENT_BEFORE", "UNCHANGED"
NO_VISIT = "NO_VISIT"
REWRITE = "rewrite"


class RewriteError(DispatchlogError):
    """The message cannot be written anew as things stand; nothing was changed."""

    def __init__(self, message: str, *, code: str, other: UUID | None = None) -> None:
        super().__init__(message, code=code)
        self.other = other


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The new message, and whether the old one was cancelled for it."""

    message_id: UUID
    cancelled: bool


def visit_of(message_id: UUID) -> Visit:
    """The visit that the message tells of: as a person rewrote it for this message, else as the clinic reported it.

    Raises:
        DispatchNotFound: there is no such message.
        RewriteError: NO_VISIT, it was made of none.
    """
    with connected():
        rows = fetch_dicts(
            "SELECT m.id, m.record, m.sealed, v.id AS visit_id, v.record AS visit_record, v.sealed AS visit_sealed"
            " FROM hl7_messages m LEFT JOIN visits v ON v.id = m.visit_id WHERE m.id = %s",
            (message_id,),
        )
    if not rows:
        raise DispatchNotFound(f"no dispatch {message_id} in HL7 messages")
    record = _record(rows[0])
    if record is None:
        raise RewriteError("it was made of no stored visit, so there is nothing to edit", code=NO_VISIT)
    return stored_visit.from_json(record)


def _record(row: Row) -> Any:
    rewritten = HL7_MESSAGES.opened(row)["record"]
    if rewritten is not None:
        return rewritten
    return VISITS.opened({"id": row["visit_id"], "record": row["visit_record"], "sealed": row["visit_sealed"]})[
        "record"
    ]


def check_rewritable(row: Row) -> None:
    """Whether a message that stands so may be written anew.

    Raises:
        RewriteError: REPLACED, UNDER_WAY or IN_DOUBT.
    """
    if (other := replacement_of(row["id"])) is not None:
        message = "another message has replaced it already; edit that one"
        raise RewriteError(message, code=REPLACED, other=other)
    if row["status"] == "QUEUED":
        raise RewriteError("it is being sent at this moment; look again in a few seconds", code=UNDER_WAY)
    if row["in_doubt"]:
        message = "it may already have been sent; settle the doubt first, for the receiver knows a resend of it only"
        raise RewriteError(message, code=IN_DOUBT)
    if row["status"] == "PENDING" and row["first_claimed_at"] is not None:
        message = "an earlier try of it may have arrived, and it is tried again by itself; wait for what comes of it"
        raise RewriteError(message, code=IN_DOUBT)


def replacement_of(message_id: UUID) -> UUID | None:
    """The message that replaces this one, unless it was cancelled."""
    with connected():
        rows = fetch_dicts(
            "SELECT id FROM hl7_messages WHERE replaces_id = %s AND status <> 'CANCELLED' ORDER BY seq DESC LIMIT 1",
            (message_id,),
        )
    return rows[0]["id"] if rows else None


def rewrite(message_id: UUID, visit: Visit, *, actor: str, reason: str, second: bool = False) -> Rewritten:
    """Send the visit as a new message of the same type in place of this one; both remain, linked.

    `second` says that the receiver may get another message after one that it accepted already.

    Raises:
        ReasonRequired: without a reason.
        DispatchNotFound: there is no such message.
        VisitError: the visit cannot be sent as it is.
        RewriteError: REPLACED, UNDER_WAY, IN_DOUBT, SENT_BEFORE (and not `second`), UNCHANGED or NO_VISIT.
    """
    if not reason.strip():
        raise ReasonRequired("say why: the reason stays with both messages")
    lane = hl7_lane()
    with transaction(actor, reason):
        rows = fetch_dicts("SELECT * FROM hl7_messages WHERE id = %s FOR UPDATE", (message_id,))
        if not rows:
            raise DispatchNotFound(f"no dispatch {message_id} in {lane.title.lower()}")
        row = rows[0]
        check_rewritable(row)
        if row["status"] == "SENT" and not second:
            message = "the receiver has accepted it; confirm that it is to get a second message"
            raise RewriteError(message, code=SENT_BEFORE)
        before = visit_of(message_id)
        if visit == before:
            raise RewriteError("nothing was changed; retry the message instead", code=UNCHANGED)
        check_visit(visit, row["message_type"], now=datetime.now(UTC))
        cancelled = _cancel(row, actor=actor, reason=reason)
        new_id = _enqueue(row, visit, actor=actor, in_its_place=cancelled)
        detail = {"replacement": new_id, "changed": _changed(before, visit)}
        operator.log_action(actor, REWRITE, lane=LANE, dispatch_id=message_id, reason=reason, detail=detail)
        operator.log_action(
            actor, REWRITE, lane=LANE, dispatch_id=new_id, reason=reason, detail={"replaces": message_id}
        )
    return Rewritten(new_id, cancelled)


def _cancel(row: Row, *, actor: str, reason: str) -> bool:
    if row["status"] not in ("PENDING", "FAILED"):
        return False
    (result,) = operator.cancel(hl7_lane(), [row["id"]], actor=actor, reason=reason)
    if not result.changed:
        raise RewriteError(result.message, code=result.code)
    return True


def _enqueue(row: Row, visit: Visit, *, actor: str, in_its_place: bool) -> UUID:
    endpoint = school_endpoint(str(row["school_id"]))
    more: dict[str, Any] = {"record": json.dumps(stored_visit.to_json(visit), ensure_ascii=False)}
    if in_its_place:
        more["seq"] = row["seq"]
    return enqueue_message(
        endpoint,
        visit,
        row["message_type"],
        trace_id=row["trace_id"],
        replaces_id=row["id"],
        written_by=actor,
        **more,
    )


def _changed(before: Visit, after: Visit) -> list[str]:
    """The names of what was edited, never the values: the log of deeds holds nobody's data."""
    old, new = stored_visit.to_json(before), stored_visit.to_json(after)
    return sorted(_differences("", old, new))


def _differences(place: str, old: Any, new: Any) -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            path
            for name in old.keys() | new.keys()
            for path in _differences(f"{place}.{name}" if place else name, old.get(name), new.get(name))
        ]
    return [] if old == new else [place]
