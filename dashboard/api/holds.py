"""The API's routes for holds: what is paused, pausing it, letting it go on. Owns the parameters; `engine.holds` decides."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from dashboard.api.documents import Answer, Part
from dashboard.api.errors import PREFIX
from dashboard.api.routes import Call, Route
from dashboard.masking import mask_text
from dispatchlog.broker import get_waker
from dispatchlog.engine import holds
from dispatchlog.engine.holds import Hold, HoldResult
from dispatchlog.order_documents import Document, ReasonText
from dispatchlog.systems import registry


class HoldDocument(Document):
    """Why; it stays with the hold, and everybody who looks at what is held sees it."""

    reason: Annotated[ReasonText, Field(json_schema_extra={"minLength": 1})]


class ReleaseDocument(Document):
    """Why it goes on; it stays with the hold."""

    reason: Annotated[ReasonText, Field(json_schema_extra={"minLength": 1})]


class HoldPart(Part):
    """One hold that is in force; addresses in its reason are masked."""

    target: str
    reason: str
    held_by: str
    held_at: datetime
    lanes: list[str]

    @classmethod
    def of(cls, held: Hold) -> HoldPart:
        return cls(
            target=str(held.target),
            reason=mask_text(held.reason),
            held_by=held.held_by,
            held_at=held.held_at,
            lanes=[lane.name for lane in held.target.lanes_of(registry.lanes())],
        )


class HoldListAnswer(Answer):
    """What is held, the longest first, and everything that can be."""

    holds: list[HoldPart]
    targets: list[str]


class HoldAnswer(Answer):
    """What became of it: `changed` is false where it was so already; `hold` is null where nothing is held now."""

    target: str
    changed: bool
    hold: HoldPart | None


def list_holds(_: Call) -> HoldListAnswer:
    """What is held now."""
    lanes = registry.lanes()
    return HoldListAnswer(
        holds=[HoldPart.of(held) for held in holds.open_holds()],
        targets=[str(target) for target in holds.targets(lanes)],
    )


def put_hold(call: Call, target: str) -> HoldAnswer:
    """Pause it; what somebody else has paused before stays theirs."""
    known = holds.parse_target(target, registry.lanes())
    result = holds.hold(known, actor=call.actor, reason=call.document.reason)
    return _answer(target, result, result.hold)


def release_hold(call: Call, target: str) -> HoldAnswer:
    """Let it go on, and wake its lanes."""
    lanes = registry.lanes()
    known = holds.parse_target(target, lanes)
    reason = call.document.reason
    result = holds.release(known, actor=call.actor, reason=reason, lanes=lanes, waker=get_waker())
    return _answer(target, result, None)


def _answer(target: str, result: HoldResult, held: Hold | None) -> HoldAnswer:
    return HoldAnswer(target=target, changed=result.changed, hold=HoldPart.of(held) if held else None)


_HOLD = f"{PREFIX}/holds/<target>"
_CODES = ("UNKNOWN_TARGET", "REASON_REQUIRED")

ROUTES = (
    Route(
        "GET",
        f"{PREFIX}/holds",
        "listHolds",
        "Which lanes and gateways are paused, by whom and why, and which can be.",
        "dispatches:read",
        list_holds,
        HoldListAnswer,
    ),
    Route(
        "PUT",
        _HOLD,
        "putHold",
        "Pause a lane, or gateway:NAME with every lane that leaves through it; a reason is required.",
        "dispatches:control",
        put_hold,
        HoldAnswer,
        document=HoldDocument,
        codes=_CODES,
    ),
    Route(
        "POST",
        f"{_HOLD}/release",
        "releaseHold",
        "Let what is paused go on; a reason is required. What is due leaves at once.",
        "dispatches:control",
        release_hold,
        HoldAnswer,
        document=ReleaseDocument,
        codes=_CODES,
    ),
)
