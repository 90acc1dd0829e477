"""What would come of acting on each dispatch of a selection: safe, to be looked at, or not possible. Owns the rules and
their words; reads the history of the rows it is given and changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from uuid import UUID

from dashboard.dispatch_queries import is_expired
from dashboard.wording import NEEDS_RECIPIENT
from dispatchlog.bulk import CANCEL, Choice
from dispatchlog.engine.database import fetch_all
from dispatchlog.engine.lanes import Row
from dispatchlog.engine.operator import key_still_known
from dispatchlog.systems import registry

SAFE, REVIEW, BLOCKED = "SAFE", "REVIEW", "BLOCKED"
SOON = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why dispatches of a selection are in their group: what they are, and what becomes of them."""

    verdict: str
    title: str
    text: str


RETRY_CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "DEFINITE_NO": Cause(SAFE, "Failed with a definite no", "They are sent again now."),
        "KEY_KNOWN": Cause(
            SAFE,
            "In doubt, but the provider recognises the earlier try",
            "They are tried again; it cannot take effect twice.",
        ),
        "SOONER": Cause(SAFE, "Waiting for their next try", "They are tried now instead of later."),
        "SAME_CAUSE": Cause(
            REVIEW, "Retried before, and failed again with the same cause", "Trying again may well fail again."
        ),
        "EXPIRES_SOON": Cause(
            REVIEW, "Of use for less than an hour", "They leave at once, but may arrive too late to be of use."
        ),
        "BEFORE_ITS_TIME": Cause(
            REVIEW, "Waiting for their time", "They would be due now and leave before the time set for them."
        ),
        "WORKERS_DIED": Cause(
            REVIEW,
            "Workers ended while they held them, several times",
            "Ask the engineers first: another try may end a worker again.",
        ),
        "IN_DOUBT": Cause(BLOCKED, "In doubt", "Settle the doubt first, one by one: they may have arrived."),
        "EXPIRED": Cause(BLOCKED, "Past their deadline", "They are of no use any more, so they would not be sent."),
        "NO_RECIPIENT": Cause(
            BLOCKED, "Without a usable recipient", "Correct the recipient of each first, on its page."
        ),
        "ALREADY_DUE": Cause(BLOCKED, "Due already", "They leave by themselves."),
        "WITH_WORKER": Cause(BLOCKED, "With a worker right now", "Wait for what comes of it."),
        "ALREADY_SENT": Cause(BLOCKED, "Already sent", "Final: they leave only once."),
        "ALREADY_CANCELLED": Cause(BLOCKED, "Cancelled", "Final: they will never be sent."),
    }
)
CANCEL_CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "NOT_SENT": Cause(SAFE, "Failed, and certainly not sent", "They will never be sent."),
        "STILL_WAITING": Cause(
            REVIEW, "Waiting to be sent", "Without this they would leave by themselves. They will never be sent."
        ),
        "IN_DOUBT": Cause(
            BLOCKED, "In doubt", "They may have arrived; cancelling would hide that. Settle the doubt first."
        ),
        "MAY_HAVE_LEFT": Cause(
            BLOCKED, "Waiting after a try without a known outcome", "They may have arrived; cancelling would hide that."
        ),
        "WITH_WORKER": Cause(BLOCKED, "With a worker right now", "Too late to stop them; wait for what comes of it."),
        "ALREADY_SENT": Cause(BLOCKED, "Already sent", "Final: nothing can be taken back."),
        "ALREADY_CANCELLED": Cause(BLOCKED, "Cancelled already", "Nothing is left to do."),
    }
)
_ENDED = {"QUEUED": "WITH_WORKER", "SENT": "ALREADY_SENT", "CANCELLED": "ALREADY_CANCELLED"}


def causes_of(action: str) -> Mapping[str, Cause]:
    """Every cause an action knows, by its code, in the order in which pages list them."""
    return CANCEL_CAUSES if action == CANCEL else RETRY_CAUSES


def judge(action: str, rows: Sequence[Row]) -> list[Choice]:
    """Each row (as a list shows it, with its `lane`) with what would come of the action, in the given order."""
    if action == CANCEL:
        found = [(row, _cancelling(row)) for row in rows]
    else:
        again = _failed_alike([row for row in rows if row["status"] == "FAILED" and not row["in_doubt"]])
        found = [(row, _retrying(row, again)) for row in rows]
    known = causes_of(action)
    return [Choice(row, known[cause].verdict, cause) for row, cause in found]


def _cancelling(row: Row) -> str:
    if row["status"] in _ENDED:
        return _ENDED[row["status"]]
    if row["in_doubt"]:
        return "IN_DOUBT"
    if row["status"] == "FAILED":
        return "NOT_SENT"
    return "MAY_HAVE_LEFT" if row["first_claimed_at"] is not None else "STILL_WAITING"


def _retrying(row: Row, again: Collection[UUID]) -> str:
    if row["status"] in _ENDED:
        return _ENDED[row["status"]]
    if row["status"] == "PENDING":
        return _hastening(row)
    lane = registry.lane(row["lane"])
    holds = {
        "IN_DOUBT": row["in_doubt"] and not key_still_known(lane, row),
        "EXPIRED": is_expired(row),
        "NO_RECIPIENT": lane.recipient_column and row["last_error_code"] in NEEDS_RECIPIENT,
        "WORKERS_DIED": row["last_error_code"] == "WORKER_DIED_REPEATEDLY",
        "SAME_CAUSE": row["id"] in again,
        "EXPIRES_SOON": _ends_soon(row),
        "KEY_KNOWN": row["in_doubt"],
    }
    return next((cause for cause, held in holds.items() if held), "DEFINITE_NO")


def _hastening(row: Row) -> str:
    if row["due_at"] <= datetime.now(UTC):
        return "ALREADY_DUE"
    if row["attempts"] == row["attempts_forgiven"]:
        return "BEFORE_ITS_TIME"
    return "EXPIRES_SOON" if _ends_soon(row) else "SOONER"


def _ends_soon(row: Row) -> bool:
    return row["expires_at"] is not None and row["expires_at"] < datetime.now(UTC) + SOON


def _failed_alike(rows: Sequence[Row]) -> set[UUID]:
    """Those that a person had tried again after a try that ended with the cause they have now."""
    ids = [row["id"] for row in rows]
    if not ids:
        return set()
    retried = dict(
        fetch_all(
            "SELECT dispatch_id, max(at) FROM operator_actions WHERE dispatch_id = ANY (%s::uuid[])"
            " AND action IN ('retry', 'confirm_not_sent') GROUP BY dispatch_id",
            (ids,),
        )
    )
    if not retried:
        return set()
    earlier = set(
        fetch_all(
            "SELECT a.dispatch_id, a.code FROM dispatch_attempts a JOIN unnest(%s::uuid[], %s::timestamptz[])"
            " AS r (dispatch_id, at) ON r.dispatch_id = a.dispatch_id AND a.finished_at < r.at"
            " WHERE a.code IS NOT NULL",
            (list(retried), list(retried.values())),
        )
    )
    return {row["id"] for row in rows if (row["id"], row["last_error_code"]) in earlier}
