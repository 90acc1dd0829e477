"""One dispatch: where it is, why, and everything that happened to it. Shows; changes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, render_template, session, url_for

from dashboard.access import READ, REVEAL, may, needs
from dashboard.context import back_or, breaker, settings
from dashboard.dispatch_queries import stored_content, timeline
from dashboard.explain import explain
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import find, key_still_known
from dispatchlog.systems import registry

pages = Blueprint("dispatch", __name__)

REVEALED = "revealed"


@pages.get("/dispatches/<lane_name>/<uuid:dispatch_id>")
@needs(READ)
def show(lane_name: str, dispatch_id: UUID) -> str:
    """The dispatch. Its recipient is masked, except once directly after whoever looks asked to see it."""
    lane = registry.lane(lane_name)
    row = find(lane, dispatch_id)
    content = stored_content(dispatch_id)
    revealed = session.pop(REVEALED, None) == str(dispatch_id) and may(REVEAL)
    return render_template(
        "dispatch.html",
        lane=lane,
        row=row,
        recipient=recipient_of(lane, row) or (content["recipient"] if content else None),
        revealed=revealed,
        content=content,
        events=timeline(dispatch_id),
        holdings=explain(lane, row, breaker=breaker(), sweep_seconds=settings().sweep_seconds),
        possible=possible_actions(lane, row),
        back=back_or(""),
        list_address=back_or(url_for("dispatches.one_lane", lane_name=lane.name)),
    )


def recipient_of(lane: Lane, row: Row) -> str | None:
    """The recipient on the row, where the lane has one there."""
    found: str | None = row[lane.recipient_column] if lane.recipient_column else None
    return found


def possible_actions(lane: Lane, row: Row) -> frozenset[str]:
    """The actions that could succeed on the row as it stands; the engine decides again when one is asked for."""
    status, doubt = row["status"], row["in_doubt"]
    may_have_left = doubt or (status == "PENDING" and row["first_claimed_at"] is not None)
    not_yet_due = status == "PENDING" and row["due_at"] > datetime.now(UTC)
    possible = set()
    if not_yet_due or (status == "FAILED" and (not doubt or key_still_known(lane, row))):
        possible.add("retry")
    if status in ("PENDING", "FAILED") and not may_have_left:
        possible.add("cancel")
        if lane.recipient_column:
            possible.add("correct_recipient")
    if doubt:
        possible |= {"confirm_sent", "confirm_not_sent"}
        if lane.gateway.kind is GatewayKind.LOOKUP:
            possible.add("look_up")
    return frozenset(possible)
