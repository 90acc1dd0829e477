"""What a person may do to a dispatch: retry, cancel, correct the recipient, settle a doubt. Each answers per row what
became of it or what it is now; nothing changes on a row that moved meanwhile. Owns no page and no permission.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, execute, fetch_dicts, transaction
from dispatchlog.engine.errors import DispatchlogError, DispatchNotFound
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Row


class ReasonRequired(DispatchlogError):
    """The action needs a reason in words."""

    code = "REASON_REQUIRED"


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of one row: `changed`, its status now, and a stable code with a sentence when nothing changed."""

    dispatch_id: UUID
    changed: bool
    status: str
    code: str = ""
    message: str = ""


Act = Callable[[Lane, Row], ActionResult]


def find(lane: Lane, dispatch_id: UUID) -> Row:
    """The row as it stands, opened.

    Raises:
        DispatchNotFound: the lane has no such dispatch.
        DispatchlogError: it cannot be opened.
    """
    with connected():
        rows = fetch_dicts(f"SELECT * FROM {lane.table} WHERE id = %s", (dispatch_id,))
    if not rows:
        raise DispatchNotFound(f"no dispatch {dispatch_id} in {lane.title.lower()}")
    return lane.opened(rows[0])


def key_still_known(lane: Lane, row: Row) -> bool:
    """Whether a resend under the same key is recognised by the provider, so that it cannot take effect twice."""
    gateway = lane.of(row).gateway
    if gateway.kind is not GatewayKind.IDEMPOTENT:
        return False
    if gateway.key_retention is None or row["first_claimed_at"] is None:
        return True
    return bool(datetime.now(UTC) - row["first_claimed_at"] < gateway.key_retention)


def retry(lane: Lane, ids: Sequence[UUID], *, actor: str, reason: str = "") -> list[ActionResult]:
    """FAILED -> PENDING, due now, with as many tries as at first. PENDING rows are made due now; ALREADY_DUE if they are.

    After a definite no the row is composed afresh under a new key. A row in doubt is only retried where its old key is
    still known, with the same bytes; elsewhere the doubt has to be settled first. EXPIRED: it is of no use any more.
    """
    return _each(lane, ids, "retry", actor=actor, reason=reason, act=_retry_one)


def cancel(lane: Lane, ids: Sequence[UUID], *, actor: str, reason: str) -> list[ActionResult]:
    """PENDING or FAILED -> CANCELLED. A row that may have left is not cancelled: that would hide the doubt.

    Raises:
        ReasonRequired: without a reason.
    """
    require_reason(reason)
    return _each(lane, ids, "cancel", actor=actor, reason=reason, act=_cancel_one)


def confirm_sent(
    lane: Lane, dispatch_id: UUID, *, actor: str, reason: str, claim_token: UUID | None = None
) -> ActionResult:
    """In doubt -> SENT: a person has evidence that the provider has it.

    `claim_token` is the try the evidence is about; STALE_VIEW if there has been another one since.

    Raises:
        ReasonRequired: without a reason.
    """
    require_reason(reason)
    act = _settling(_confirm_sent_one, claim_token)
    return _each(lane, [dispatch_id], "confirm_sent", actor=actor, reason=reason, act=act)[0]


def confirm_not_sent(
    lane: Lane, dispatch_id: UUID, *, actor: str, reason: str, claim_token: UUID | None = None
) -> ActionResult:
    """In doubt -> PENDING, due now, under a new key: a person has evidence that the provider does not have it.

    `claim_token` is the try the evidence is about; STALE_VIEW if there has been another one since.

    Raises:
        ReasonRequired: without a reason.
    """
    require_reason(reason)
    act = _settling(_confirm_not_sent_one, claim_token)
    return _each(lane, [dispatch_id], "confirm_not_sent", actor=actor, reason=reason, act=act)[0]


def correct_recipient(lane: Lane, dispatch_id: UUID, recipient: str, *, actor: str, reason: str = "") -> ActionResult:
    """Set the recipient of a FAILED or PENDING row that cannot have left; retry it afterwards.

    Raises:
        DispatchlogError: the lane has no recipient to correct (NOT_EDITABLE).
    """
    if not lane.recipient_column:
        raise DispatchlogError(f"{lane.title} has no recipient to correct", code="NOT_EDITABLE")

    def act(lane: Lane, row: Row) -> ActionResult:
        if row["status"] not in ("FAILED", "PENDING") or _doubtful(row):
            return _unchanged(row, "correct")
        key = lane.search_key(recipient)
        columns = {lane.recipient_column: recipient}
        if lane.row_seal is not None:
            columns = lane.row_seal.changed(row, columns)
        settings = ", ".join(f"{name} = %s" for name in columns)
        # A new generation: the corrected dispatch gets new bytes and a new key. One never claimed has neither yet.
        execute(
            f"UPDATE {lane.table} SET {settings}, generation = generation + least(claims, 1),"
            " updated_at = clock_timestamp(),"
            " search_keys = CASE WHEN %s = ANY (search_keys) THEN search_keys ELSE search_keys || %s END WHERE id = %s",
            (*columns.values(), key, [key], row["id"]),
        )
        execute(
            "INSERT INTO dispatch_search (key, lane, dispatch_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
            (key, lane.name, row["id"]),
        )
        return ActionResult(row["id"], changed=True, status=row["status"])

    return _each(lane, [dispatch_id], "correct_recipient", actor=actor, reason=reason, act=act)[0]


def log_action(
    actor: str,
    action: str,
    *,
    lane: str | None = None,
    dispatch_id: UUID | None = None,
    reason: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Keep what a person did (also looking at masked data or exporting); joins the caller's transaction."""
    with connected():
        execute(
            "INSERT INTO operator_actions (actor, action, lane, dispatch_id, reason, detail)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (actor, action, lane, dispatch_id, reason or None, json.dumps(dict(detail or {}), default=str)),
        )


def require_reason(reason: str, *, stays_with: str = "the dispatch") -> None:
    """Raise ReasonRequired where nothing is said."""
    if not reason.strip():
        raise ReasonRequired(f"say why: the reason stays with {stays_with}")


def _each(lane: Lane, ids: Sequence[UUID], action: str, *, actor: str, reason: str, act: Act) -> list[ActionResult]:
    results: list[ActionResult] = []
    with transaction(actor, reason or action.replace("_", " ")):
        rows = fetch_dicts(
            f"SELECT * FROM {lane.table} WHERE id = ANY (%s::uuid[]) ORDER BY id FOR UPDATE", (list(ids),)
        )
        known = {row["id"]: row for row in rows}
        for dispatch_id in ids:
            row = known.get(dispatch_id)
            if row is None:
                results.append(ActionResult(dispatch_id, changed=False, status="", code=DispatchNotFound.code))
                continue
            result = act(lane, row)
            if result.changed:
                log_action(actor, action, lane=lane.name, dispatch_id=dispatch_id, reason=reason)
            results.append(result)
    return results


def _doubtful(row: Row) -> bool:
    """Whether an earlier try of the row may have been accepted."""
    return bool(row["in_doubt"] or (row["status"] == "PENDING" and row["first_claimed_at"] is not None))


def _unchanged(row: Row, wanted: str) -> ActionResult:
    if _doubtful(row):
        code, message = "IN_DOUBT", "it may already have been sent; settle the doubt first"
    else:
        code, message = "ILLEGAL_MOVE", f"it is {row['status']} now, so there is nothing to {wanted}"
    return ActionResult(row["id"], changed=False, status=row["status"], code=code, message=message)


_AGAIN = """
UPDATE {table} SET status = 'PENDING', in_doubt = false, lookup_at = NULL, lookups = 0, due_at = clock_timestamp(),
    attempts_forgiven = attempts, rescues = 0, updated_at = clock_timestamp(){more} WHERE id = %s
"""
_NEW_KEY = ", generation = generation + 1, first_claimed_at = NULL"


def _no_limit(lane: Lane) -> str:
    """What a person asks for again is not given up on for its age."""
    return ", stale_at = NULL" if lane.goes_stale else ""


def _retry_one(lane: Lane, row: Row) -> ActionResult:
    if row["status"] == "PENDING":
        limited = " OR stale_at IS NOT NULL" if lane.goes_stale else ""
        hastened = execute(
            f"UPDATE {lane.table} SET due_at = least(due_at, clock_timestamp()), attempts_forgiven = attempts"
            f"{_no_limit(lane)} WHERE id = %s"
            f" AND (due_at > clock_timestamp() OR attempts_forgiven < attempts{limited})",
            (row["id"],),
        )
        if hastened.rowcount:
            return ActionResult(row["id"], changed=True, status="PENDING")
        return ActionResult(
            row["id"],
            changed=False,
            status="PENDING",
            code="ALREADY_DUE",
            message="it is due and goes with the next batch",
        )
    if row["status"] != "FAILED":
        return _unchanged(row, "retry")
    if row["in_doubt"] and not key_still_known(lane, row):
        return _unchanged(row, "retry")
    if row["expires_at"] is not None and row["expires_at"] <= datetime.now(UTC):
        message = f"it was of use until {row['expires_at']:%Y-%m-%d %H:%M} UTC only, so it would not be sent"
        return ActionResult(row["id"], changed=False, status="FAILED", code="EXPIRED", message=message)
    more = ("" if row["in_doubt"] else _NEW_KEY) + _no_limit(lane)
    execute(_AGAIN.format(table=lane.table, more=more), (row["id"],))
    return ActionResult(row["id"], changed=True, status="PENDING")


def _cancel_one(lane: Lane, row: Row) -> ActionResult:
    if row["status"] not in ("PENDING", "FAILED") or _doubtful(row):
        return _unchanged(row, "cancel")
    execute(f"UPDATE {lane.table} SET status = 'CANCELLED', updated_at = clock_timestamp() WHERE id = %s", (row["id"],))
    return ActionResult(row["id"], changed=True, status="CANCELLED")


def _settling(act: Act, claim_token: UUID | None) -> Act:
    """`act` on a row in doubt, unless there was another try after the one that `claim_token` names."""

    def settle(lane: Lane, row: Row) -> ActionResult:
        if row["status"] != "FAILED" or not row["in_doubt"]:
            return _unchanged(row, "confirm")
        if claim_token is not None and claim_token != row["claim_token"]:
            message = "it has been tried again since this was shown; look at the newest try first"
            return ActionResult(row["id"], changed=False, status="FAILED", code="STALE_VIEW", message=message)
        return act(lane, row)

    return settle


def _confirm_sent_one(lane: Lane, row: Row) -> ActionResult:
    ledger.confirm_sent(lane, row["id"])
    return ActionResult(row["id"], changed=True, status="SENT")


def _confirm_not_sent_one(lane: Lane, row: Row) -> ActionResult:
    execute(_AGAIN.format(table=lane.table, more=_NEW_KEY + _no_limit(lane)), (row["id"],))
    return ActionResult(row["id"], changed=True, status="PENDING")
