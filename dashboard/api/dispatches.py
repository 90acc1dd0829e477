"""The API's routes for dispatches: find, read, retry, cancel. Owns the parameters; `operator` makes the moves."""

from __future__ import annotations

from dashboard.access import OUTREACH
from dashboard.api.dispatch_search import Question, search
from dashboard.api.documents import DispatchAnswer, DispatchListAnswer, DispatchPart, EventPart, dispatch_fields
from dashboard.api.errors import PREFIX, ApiError
from dashboard.api.routes import MAX_LIMIT, Call, Route, path_uuid, read_limit
from dashboard.dispatch_queries import timeline
from dispatchlog.broker import get_waker
from dispatchlog.engine import operator
from dispatchlog.engine.database import connected
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.operator import ActionResult
from dispatchlog.engine.states import Status
from dispatchlog.order_documents import Document, ReasonText
from dispatchlog.systems import registry

_MAX_KEY = 128


class RetryDocument(Document):
    """Why, for the record; may be left out."""

    reason: ReasonText = ""


class CancelDocument(Document):
    """Why; it stays with the dispatch."""

    reason: ReasonText


def get_dispatch(call: Call, lane: str, dispatch_id: str) -> DispatchAnswer:
    """One dispatch with its history."""
    return _answer(_lane(call, lane), dispatch_id)


def find_dispatches(call: Call) -> DispatchListAnswer:
    """Dispatches by business key, or of one lane."""
    key, lane, status = (call.parameters.get(name, "").strip() for name in ("key", "lane", "status"))
    if not key and not lane:
        raise ApiError("MISSING_FIELD", "say a key, or a lane", field="key")
    if len(key) > _MAX_KEY or "@" in key or key.startswith("+") or not key.isprintable():
        message = "search for an order number, kit id or order id; who it is for does not belong in a URL"
        raise ApiError("INVALID_KEY", message, field="key")
    if status and status not in Status.__members__:
        raise ApiError("UNKNOWN_STATUS", f"status is one of {', '.join(Status)}", field="status")
    lanes = [_lane(call, lane)] if lane else [known for known in registry.lanes() if _is_open(call, known)]
    found = search(Question(lanes, key, status, read_limit(call), call.parameters.get("cursor", "")))
    return DispatchListAnswer(
        dispatches=[DispatchPart(**dispatch_fields(row_lane, row)) for row_lane, row in found.rows],
        next_cursor=found.next_cursor or None,
    )


def retry_dispatch(call: Call, lane: str, dispatch_id: str) -> DispatchAnswer:
    """FAILED -> PENDING and due now; a waiting one becomes due now."""
    known = _lane(call, lane)
    wanted = path_uuid(dispatch_id, "dispatchId")
    _require_change(operator.retry(known, [wanted], actor=call.actor, reason=call.document.reason)[0])
    get_waker().wake(known)
    return _answer(known, dispatch_id)


def cancel_dispatch(call: Call, lane: str, dispatch_id: str) -> DispatchAnswer:
    """PENDING or FAILED -> CANCELLED, unless it may already have left."""
    known = _lane(call, lane)
    wanted = path_uuid(dispatch_id, "dispatchId")
    _require_change(operator.cancel(known, [wanted], actor=call.actor, reason=call.document.reason)[0])
    return _answer(known, dispatch_id)


def _lane(call: Call, name: str) -> Lane:
    """The lane of this name.

    Raises:
        UnknownLane: there is none, or none for this token, which looks the same.
    """
    lane = registry.lane(name)
    if not _is_open(call, lane):
        raise UnknownLane(f"no lane is named {name[:64]!r}")
    return lane


def _is_open(call: Call, lane: Lane) -> bool:
    """Messages to patients are for tokens that may know of patients."""
    return lane.audience != OUTREACH or PATIENTS_SCOPE in call.scopes


def _answer(lane: Lane, dispatch_id: str) -> DispatchAnswer:
    wanted = path_uuid(dispatch_id, "dispatchId")
    with connected():
        row = operator.find(lane, wanted)
        events = timeline(wanted)
    history = [EventPart.of(event.at, event.kind, event.row) for event in events]
    return DispatchAnswer(**dispatch_fields(lane, row), timeline=history)


def _require_change(result: ActionResult) -> None:
    if not result.changed:
        message = result.message or f"there is no dispatch {result.dispatch_id} in this lane"
        raise ApiError(result.code, message)


# What a token needs besides, to find and act on messages to patients.
PATIENTS_SCOPE = "comm:read"
_DISPATCH = f"{PREFIX}/dispatches/<lane>/<dispatch_id>"
_PLACE = ("UNKNOWN_LANE", "DISPATCH_NOT_FOUND")

ROUTES = (
    Route(
        "GET",
        f"{PREFIX}/dispatches",
        "findDispatches",
        "Find dispatches by business key (order number, kit id, order id), or list one lane.",
        "dispatches:read",
        find_dispatches,
        DispatchListAnswer,
        parameters={
            "key": "a business key, exactly; newest first",
            "lane": "one lane; required without a key",
            "status": "PENDING, QUEUED, SENT, FAILED or CANCELLED; without a key the last changed come first",
            "limit": f"how many at the most, 1 to {MAX_LIMIT}; 50 unless told",
            "cursor": "nextCursor of the page before",
        },
        codes=("UNKNOWN_LANE", "UNKNOWN_STATUS", "INVALID_KEY", "INVALID_LIMIT", "INVALID_CURSOR"),
    ),
    Route(
        "GET",
        _DISPATCH,
        "getDispatch",
        "A dispatch: status, attempts, times and its whole history. The recipient is masked.",
        "dispatches:read",
        get_dispatch,
        DispatchAnswer,
        codes=_PLACE,
    ),
    Route(
        "POST",
        f"{_DISPATCH}/retry",
        "retryDispatch",
        "Send a failed dispatch again, or a waiting one now.",
        "dispatches:act",
        retry_dispatch,
        DispatchAnswer,
        document=RetryDocument,
        body_optional=True,
        codes=(*_PLACE, "ILLEGAL_MOVE", "IN_DOUBT", "ALREADY_DUE", "EXPIRED"),
    ),
    Route(
        "POST",
        f"{_DISPATCH}/cancel",
        "cancelDispatch",
        "Give up a dispatch that has not left; a reason is required and stays with it.",
        "dispatches:act",
        cancel_dispatch,
        DispatchAnswer,
        document=CancelDocument,
        codes=(*_PLACE, "ILLEGAL_MOVE", "IN_DOUBT", "REASON_REQUIRED"),
    ),
)
