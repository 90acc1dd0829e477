"""Passing on a doubt that one cannot settle oneself: a note that stays with the try it is about. Owns the escalations;
moves no dispatch and assigns nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from dispatchlog.engine import operator
from dispatchlog.engine.database import execute, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchNotFound
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import ActionResult


def escalate(lane: Lane, dispatch_id: UUID, *, actor: str, note: str, claim_token: UUID) -> ActionResult:
    """Mark a row in doubt as escalated; a further note replaces the one shown, and the log keeps all of them.

    Raises:
        ReasonRequired: without a note.
    """
    _require(note)
    with transaction(actor, note):
        row = _locked(lane, dispatch_id)
        refused = _refusal(row, claim_token, dispatch_id)
        if refused is not None:
            return refused
        execute(
            "INSERT INTO dispatch_escalations (dispatch_id, claim_token, lane, note, escalated_by)"
            " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (dispatch_id, claim_token) DO UPDATE SET note = EXCLUDED.note,"
            " escalated_by = EXCLUDED.escalated_by, escalated_at = clock_timestamp(), closed_at = NULL",
            (dispatch_id, claim_token, lane.name, note, actor),
        )
        operator.log_action(actor, "escalate", lane=lane.name, dispatch_id=dispatch_id, reason=note)
    return ActionResult(dispatch_id, changed=True, status="FAILED")


def withdraw(lane: Lane, dispatch_id: UUID, *, actor: str, reason: str, claim_token: UUID) -> ActionResult:
    """Take the mark off again, with the doubt as it is.

    Raises:
        ReasonRequired: without a reason.
    """
    _require(reason)
    with transaction(actor, reason):
        row = _locked(lane, dispatch_id)
        refused = _refusal(row, claim_token, dispatch_id)
        if refused is not None:
            return refused
        closed = execute(
            "UPDATE dispatch_escalations SET closed_at = clock_timestamp()"
            " WHERE dispatch_id = %s AND claim_token = %s AND closed_at IS NULL",
            (dispatch_id, claim_token),
        )
        if not closed.rowcount:
            message = "it is not escalated any more"
            return ActionResult(dispatch_id, changed=False, status="FAILED", code="NOT_ESCALATED", message=message)
        operator.log_action(actor, "withdraw_escalation", lane=lane.name, dispatch_id=dispatch_id, reason=reason)
    return ActionResult(dispatch_id, changed=True, status="FAILED")


def close_settled(lanes: Iterable[Lane]) -> int:
    """Close the escalations whose doubt has been settled or is about another try by now; how many were."""
    closed = 0
    with transaction("scheduler:desk"):
        for lane in lanes:
            closed += execute(
                "UPDATE dispatch_escalations e SET closed_at = clock_timestamp()"
                " WHERE e.closed_at IS NULL AND e.lane = %s AND NOT EXISTS (SELECT"
                f" FROM {lane.table} t WHERE t.id = e.dispatch_id AND t.in_doubt AND t.claim_token = e.claim_token)",
                (lane.name,),
            ).rowcount
    return closed


def _require(note: str) -> None:
    if not note.strip():
        raise operator.ReasonRequired("say why: the reason stays with the dispatch")


def _locked(lane: Lane, dispatch_id: UUID) -> Row | None:
    rows = fetch_dicts(
        f"SELECT status, in_doubt, claim_token FROM {lane.table} WHERE id = %s FOR UPDATE", (dispatch_id,)
    )
    return rows[0] if rows else None


def _refusal(row: Row | None, claim_token: UUID, dispatch_id: UUID) -> ActionResult | None:
    if row is None:
        return ActionResult(dispatch_id, changed=False, status="", code=DispatchNotFound.code)
    if not row["in_doubt"]:
        message = f"it is {row['status']} now, and not in doubt any more"
        return ActionResult(dispatch_id, changed=False, status=row["status"], code="ILLEGAL_MOVE", message=message)
    if row["claim_token"] != claim_token:
        message = "it has been tried again since this was shown; look at the newest try first"
        return ActionResult(dispatch_id, changed=False, status="FAILED", code="STALE_VIEW", message=message)
    return None
