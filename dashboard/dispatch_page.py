"""One dispatch: where it is, why, and everything that happened to it. Shows; changes nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, Response, abort, render_template, request, session, url_for

from dashboard.access import ACT, READ, REVEAL, may, needs
from dashboard.campaign_queries import campaign_name
from dashboard.comm_words import heard, message_title, told
from dashboard.consequences import consequences
from dashboard.content import content_of
from dashboard.context import back_or, settings
from dashboard.dispatch_queries import Event, is_expired, mark_of, references, stored_content, timeline
from dashboard.doubt_queries import escalations_of
from dashboard.explain import Circumstances, explain
from dashboard.health import broker_health
from dashboard.lanes import visible_lane
from dashboard.list_walk import walk_from
from dashboard.naming import named, readable
from dashboard.sessions import BACKGROUND_HEADER
from dashboard.story import cancellation, confirmation, tell
from dashboard.wording import NEEDS_RECIPIENT, verb_of
from dispatchlog.engine.gateway import GatewayKind
from dispatchlog.engine.holds import holds_on, open_holds
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import find, key_still_known
from dispatchlog.systems.outreach.lane import LANE as MESSAGES_TO_PATIENTS

pages = Blueprint("dispatch", __name__)

REVEALED = "revealed"
# Which dispatch's content was revealed, and until when (its frame is a request of its own, just after the page's).
REVEALED_CONTENT = "revealed_content"
REVEALED_SECONDS = 60
# The content can run nothing, reach nothing, lead nowhere and belongs to no origin.
FRAME_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'self'"
)


@pages.get("/dispatches/<lane_name>/<uuid:dispatch_id>")
@needs(READ)
def show(lane_name: str, dispatch_id: UUID) -> str:
    """The dispatch. Its recipient is masked, except once directly after whoever looks asked to see it."""
    whole = visible_lane(lane_name)
    row = {**find(whole, dispatch_id), "lane": whole.name}
    lane = whole.of(row)
    content = stored_content(dispatch_id)
    names = references(dispatch_id)
    events = timeline(dispatch_id)
    around = circumstances(lane, row, events)
    possible = possible_actions(lane, row)
    walk = None if BACKGROUND_HEADER in request.headers else walk_from(row)
    recipient = recipient_of(lane, row) or (content["recipient"] if content else None)
    open_content = content_is_revealed(dispatch_id)
    return render_template(
        "dispatch.html",
        lane=lane,
        row=named(lane, row),
        search_keys=row["search_keys"],
        verb=verb_of(lane.name),
        recipient=recipient,
        revealed=session.pop(REVEALED, None) == str(dispatch_id) and may(REVEAL),
        content=content,
        written=content_of(lane, row, revealed=open_content),
        content_revealed=open_content,
        consequences=consequences(lane, row, recipient=recipient, events=events, circuit=around.circuit)
        if "retry" in possible
        else [],
        reference=names.get(row["generation"]),
        escalation=escalations_of([row]).get(dispatch_id) if row["in_doubt"] else None,
        story=tell(lane.name, events, names),
        holdings=explain(lane, row, around),
        confirmed=around.confirmed,
        expired=is_expired(row),
        possible=possible,
        decided=told(row["decision"]) if lane.name == MESSAGES_TO_PATIENTS else None,
        campaign_name=campaign_name(row["campaign_id"]) if row.get("campaign_id") else "",
        message_title=message_title,
        heard=heard,
        shown=mark_of(row),
        main_action=main_action(row, possible),
        back=back_or(""),
        # It stands outside of what refreshes itself.
        walk=walk,
        place=walk.place if walk else request.args.get("place", ""),
        list_address=back_or(url_for("dispatches.one_lane", lane_name=lane.name)),
    )


@pages.get("/dispatches/<lane_name>/<uuid:dispatch_id>/content")
@needs(READ)
def show_html(lane_name: str, dispatch_id: UUID) -> Response:
    """The HTML part of the content alone, for the frame; masked, unless it was revealed a moment ago."""
    lane = visible_lane(lane_name)
    found = content_of(lane, find(lane, dispatch_id), revealed=content_is_revealed(dispatch_id))
    if found is None or not found.html:
        abort(404)
    response = Response(found.html, mimetype="text/html")
    response.headers["Content-Security-Policy"] = FRAME_POLICY
    return response


def circumstances(lane: Lane, row: Row, events: Sequence[Event]) -> Circumstances:
    """What the explanation of the row needs to know; `lane` is the one of the row's route, `events` its timeline."""
    return Circumstances(
        circuit=broker_health().circuit_of(lane.gateway.name),
        sweep_seconds=settings().sweep_seconds,
        may_act=may(ACT),
        confirmed=confirmation(events) if row["status"] == "SENT" else None,
        cancelled=cancellation(events) if row["status"] == "CANCELLED" else None,
        held=holds_on(lane, open_holds()) if row["status"] == "PENDING" else (),
    )


def reveal_content(dispatch_id: UUID) -> None:
    """Let this session see the content unmasked for a minute."""
    session[REVEALED_CONTENT] = [str(dispatch_id), int(time.time()) + REVEALED_SECONDS]


def content_is_revealed(dispatch_id: UUID) -> bool:
    revealed, until = session.get(REVEALED_CONTENT) or ("", 0)
    return bool(revealed == str(dispatch_id) and until > time.time() and may(REVEAL))


def recipient_of(lane: Lane, row: Row) -> str | None:
    """The recipient on the row, where the lane has one there."""
    found: str | None = readable(lane, row)[lane.addressee_column] if lane.addressee_column else None
    return found


def possible_actions(lane: Lane, row: Row) -> frozenset[str]:
    """The actions that could succeed on the row as it stands; the engine decides again when one is asked for."""
    status, doubt = row["status"], row["in_doubt"]
    may_have_left = doubt or (status == "PENDING" and row["first_claimed_at"] is not None)
    possible = set()
    if _may_go_again(lane, row):
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


def _may_go_again(lane: Lane, row: Row) -> bool:
    if row["status"] == "PENDING":
        return bool(row["due_at"] > datetime.now(UTC))
    if row["status"] != "FAILED" or is_expired(row):
        return False
    if row["in_doubt"]:
        return key_still_known(lane, row)
    return not (lane.recipient_column and row["last_error_code"] in NEEDS_RECIPIENT)


def main_action(row: Row, possible: frozenset[str]) -> str:
    """The action that puts a failed row right most likely; "" where none does, and neither answer to a doubt is one."""
    if row["status"] != "FAILED":
        return ""
    return next((action for action in ("look_up", "retry", "correct_recipient") if action in possible), "")
