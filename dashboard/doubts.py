"""The in-doubt desk: what may or may not have been sent, with what is known of each, for a person to settle. Shows doubts
and escalates them; the answers themselves are `dispatch_actions`'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, READ, may, needs
from dashboard.consequences import caution_of
from dashboard.context import acting_person, back_or, reason_given, settings
from dashboard.dispatch_actions import address_of, claim_seen
from dashboard.dispatch_page import possible_actions, recipient_of
from dashboard.dispatch_queries import attempts_of, is_expired, references_of
from dashboard.doubt_queries import Place, count_doubts, count_escalated, list_doubts
from dashboard.explain import Circumstances, Holding, explain
from dashboard.lanes import visible_lane, visible_lanes
from dashboard.naming import named
from dashboard.references import Reference
from dashboard.story import Entry, tell
from dashboard.wording import verb_of
from dispatchlog.engine import escalation
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.engine.operator import ActionResult, ReasonRequired

pages = Blueprint("doubts", __name__, url_prefix="/in-doubt")

# As many stand side by side; whoever wants the earlier ones opens the dispatch.
MOST_TRIES = 3


@dataclass(frozen=True, slots=True)
class Doubt:
    """One card: the row, what explains it, and its latest tries with their evidence."""

    lane: Lane
    row: Row
    recipient: str | None
    reference: Reference | None
    holdings: Sequence[Holding]
    tries: Sequence[Entry]
    earlier: int
    possible: frozenset[str]
    expired: bool
    caution: str

    @property
    def anchor(self) -> str:
        return f"doubt-{self.row['id']}"


@pages.get("")
@needs(READ)
def show() -> str:
    """One page of the doubts: escalated ones, then by the time left, then the oldest."""
    problems: list[str] = []
    lane, place = _asked(problems)
    only_escalated = request.args.get("escalated") == "1"
    lanes = (lane,) if lane else visible_lanes()
    found = list_doubts(lanes, only_escalated=only_escalated, after=place)
    doubts = _doubts(found.rows)

    def link(**changes: Any) -> str:
        arguments = {"lane": lane.name if lane else None, "escalated": "1" if only_escalated else None, **changes}
        return url_for("doubts.show", **{name: value for name, value in arguments.items() if value})

    here = link(at=str(place) if place else None)
    following = [doubt.anchor for doubt in doubts[1:]]
    return render_template(
        "doubts.html",
        doubts=doubts,
        backs=[f"{here}#{anchor}" for anchor in (*following, "desk")],
        here=here,
        link=link,
        after=str(found.after) if found.after else None,
        place=place,
        lane=lane,
        lanes=visible_lanes(),
        only_escalated=only_escalated,
        total=count_doubts(lanes),
        escalated=count_escalated(lanes),
        problems=problems,
        verb_of=verb_of,
    )


@pages.post("/<lane_name>/<uuid:dispatch_id>/escalate")
@needs(ACT)
def escalate(lane_name: str, dispatch_id: UUID) -> Response:
    """Pass the doubt on: it stands on top of the desk from then on, with the note."""
    lane = visible_lane(lane_name)
    try:
        result = escalation.escalate(
            lane, dispatch_id, actor=acting_person(), note=reason_given(), claim_token=claim_seen()
        )
    except ReasonRequired:
        return _answer("bad", "Say what you found out and what is needed: the note stays with the dispatch.")
    return _done(result, "Escalated. It stands on top of the desk, with your note.")


@pages.post("/<lane_name>/<uuid:dispatch_id>/withdraw")
@needs(ACT)
def withdraw(lane_name: str, dispatch_id: UUID) -> Response:
    """Take the escalation back; the doubt stays."""
    lane = visible_lane(lane_name)
    try:
        result = escalation.withdraw(
            lane, dispatch_id, actor=acting_person(), reason=reason_given(), claim_token=claim_seen()
        )
    except ReasonRequired:
        return _answer("bad", "Say why it need not be escalated any more: the reason stays with the dispatch.")
    return _done(result, "The escalation was taken back. It is still in doubt.")


def _asked(problems: list[str]) -> tuple[Lane | None, Place | None]:
    lane: Lane | None = None
    place: Place | None = None
    if name := request.args.get("lane", ""):
        try:
            lane = visible_lane(name)
        except UnknownLane:
            problems.append(f"Lane “{name[:40]}” is not known; showing all of them.")
    if text := request.args.get("at", ""):
        try:
            place = Place.parse(text)
        except ValueError:
            problems.append("The place in the list could not be read; showing its beginning.")
    return lane, place


def _doubts(rows: Sequence[Row]) -> list[Doubt]:
    ids = [row["id"] for row in rows]
    attempts, names = attempts_of(ids), references_of(ids)
    return [_doubt(row, attempts[row["id"]], names[row["id"]]) for row in rows]


def _doubt(row: Row, attempts: Sequence[Any], names: dict[int, Reference]) -> Doubt:
    lane = visible_lane(row["lane"])
    around = Circumstances(BreakerState("unknown"), settings().sweep_seconds, may_act=may(ACT))
    made = [event for event in attempts if event.row["outcome"] != "NOT_SENT"]
    return Doubt(
        lane=lane,
        row=named(lane, row),
        recipient=recipient_of(lane, row),
        reference=names.get(row["generation"]),
        holdings=explain(lane, row, around),
        tries=tell(lane.name, made[-MOST_TRIES:], names),
        earlier=max(0, len(made) - MOST_TRIES),
        possible=possible_actions(lane, row),
        expired=is_expired(row),
        caution=caution_of(lane, row),
    )


def _done(result: ActionResult, sentence: str) -> Response:
    if result.changed:
        return _answer("good", sentence)
    return _answer("warn", f"Nothing changed: {result.message or 'it is no longer there'}.")


def _answer(tone: str, sentence: str) -> Response:
    flash(sentence, tone)
    if request.form.get("return") == "dispatch":
        asked = request.view_args or {}
        return redirect(address_of(visible_lane(asked["lane_name"]), asked["dispatch_id"]), 303)
    return redirect(back_or(url_for("doubts.show")), 303)
