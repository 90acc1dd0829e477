"""What a person does to one dispatch: each view reads the form, calls one engine function, says what became of it and goes
back. It never writes a status itself; permission is checked before, and the engine checks the row's state.
"""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, redirect, request, session, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, REVEAL, needs
from dashboard.context import acting_person, back_or, reason_given
from dashboard.dispatch_page import REVEALED, reveal_content
from dashboard.dispatch_queries import is_expired, is_first_try, mark_of
from dashboard.health import broker_health
from dashboard.lanes import visible_lane
from dashboard.wording import verb_of
from dispatchlog.broker import get_waker
from dispatchlog.engine import operator
from dispatchlog.engine.errors import CannotCompose, DispatchlogError
from dispatchlog.engine.gateway import GatewayKind, LookUpAnswer
from dispatchlog.engine.holds import holds_on, open_holds
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.lookup import look_up
from dispatchlog.engine.operator import ActionResult
from dispatchlog.systems.mail import recipient_address

pages = Blueprint("act", __name__, url_prefix="/dispatches/<lane_name>/<uuid:dispatch_id>")

_ANSWERS = {
    LookUpAnswer.FOUND: ("good", "The provider has it. It is marked as {past}."),
    LookUpAnswer.ABSENT: ("good", "The provider does not have it. It is waiting to be {past} again."),
    LookUpAnswer.UNSURE: ("warn", "The provider could not say. It stays in doubt."),
}
STALE = "It was changed after this page was opened, so this time nothing was. Look at it anew, then decide."


@pages.post("/retry")
@needs(ACT)
def retry(lane_name: str, dispatch_id: UUID) -> Response:
    """Try again now; a dispatch that waits for its time is due from now on."""
    lane = visible_lane(lane_name)
    row = operator.find(lane, dispatch_id)
    if not (reason := reason_given()):
        return _refused(lane, dispatch_id, "Say why it is tried again: the reason stays with the dispatch.")
    result = operator.retry(lane, [dispatch_id], actor=acting_person(), reason=reason)[0]
    _wake(lane, result)
    if is_first_try(row) and lane.waits_for_sweep:
        return _done(lane, result, "It is due now and leaves with the next sweep.")
    return _done(lane, result, f"Queued to be {verb_of(lane.name).past} now.")


@pages.post("/cancel")
@needs(ACT)
def cancel(lane_name: str, dispatch_id: UUID) -> Response:
    """Never send it."""
    lane = visible_lane(lane_name)
    if _is_stale(lane, dispatch_id):
        return _refused(lane, dispatch_id, STALE)
    try:
        result = operator.cancel(lane, [dispatch_id], actor=acting_person(), reason=reason_given())[0]
    except operator.ReasonRequired:
        return _refused(lane, dispatch_id, "Say why it is cancelled: the reason stays with the dispatch.")
    return _done(lane, result, f"Cancelled. It will not be {verb_of(lane.name).past}.")


@pages.post("/confirm-sent")
@needs(ACT)
def confirm_sent(lane_name: str, dispatch_id: UUID) -> Response:
    """A person knows that it arrived."""
    lane = visible_lane(lane_name)
    try:
        result = operator.confirm_sent(
            lane, dispatch_id, actor=acting_person(), reason=reason_given(), claim_token=claim_seen()
        )
    except operator.ReasonRequired:
        return _refused(lane, dispatch_id, "Say how you know that it arrived: the reason stays with the dispatch.")
    return _done(lane, result, f"Marked as {verb_of(lane.name).past}, on your word.")


@pages.post("/confirm-not-sent")
@needs(ACT)
def confirm_not_sent(lane_name: str, dispatch_id: UUID) -> Response:
    """A person knows that it did not arrive, so it is sent again, unless it is of no use any more."""
    lane = visible_lane(lane_name)
    row = operator.find(lane, dispatch_id)
    try:
        result = operator.confirm_not_sent(
            lane, dispatch_id, actor=acting_person(), reason=reason_given(), claim_token=claim_seen()
        )
    except operator.ReasonRequired:
        return _refused(
            lane, dispatch_id, "Say how you know that it did not arrive: the reason stays with the dispatch."
        )
    _wake(lane, result)
    if is_expired(row):
        return _done(lane, result, "Noted. It is of no use any more, so it is closed.")
    return _done(lane, result, f"Queued to be {verb_of(lane.name).past} again.")


@pages.post("/look-up")
@needs(ACT)
def ask_provider(lane_name: str, dispatch_id: UUID) -> Response:
    """Ask the provider whether it has it."""
    lane = visible_lane(lane_name)
    row = operator.find(lane, dispatch_id)
    lane = lane.of(row)
    if lane.gateway.kind is not GatewayKind.LOOKUP or not row["in_doubt"]:
        return _refused(lane, dispatch_id, "There is nothing to ask the provider about it.")
    operator.log_action(acting_person(), "look_up", lane=lane.name, dispatch_id=dispatch_id)
    tone, sentence = _ANSWERS[look_up(lane, row, actor=acting_person())]
    flash(sentence.replace("{past}", verb_of(lane.name).past), tone)
    return _back(lane, dispatch_id)


@pages.post("/recipient")
@needs(ACT)
def correct_recipient(lane_name: str, dispatch_id: UUID) -> Response:
    """Another address; a failed dispatch is then retried, a waiting one keeps its time."""
    lane = visible_lane(lane_name)
    if not (reason := reason_given()):
        return _refused(lane, dispatch_id, "Say why the recipient is corrected: the reason stays with the dispatch.")
    if _is_stale(lane, dispatch_id):
        return _refused(lane, dispatch_id, STALE)
    entered = request.form.get("recipient", "").strip()
    try:
        address = recipient_address(entered) if "email" in lane.recipient_column else entered
        result = operator.correct_recipient(lane, dispatch_id, address, actor=acting_person(), reason=reason)
    except (CannotCompose, DispatchlogError) as error:
        return _refused(lane, dispatch_id, error.message)
    sentence = "Recipient corrected."
    if result.changed and result.status == "FAILED":
        result = operator.retry(lane, [dispatch_id], actor=acting_person(), reason="recipient corrected")[0]
        _wake(lane, result)
        sentence = f"Recipient corrected. Queued to be {verb_of(lane.name).past} now."
    return _done(lane, result, sentence)


@pages.post("/reveal")
@needs(REVEAL)
def reveal(lane_name: str, dispatch_id: UUID) -> Response:
    """Show the recipient once; that it was looked at is kept."""
    lane = visible_lane(lane_name)
    operator.find(lane, dispatch_id)
    operator.log_action(acting_person(), "reveal", lane=lane.name, dispatch_id=dispatch_id)
    session[REVEALED] = str(dispatch_id)
    return _back(lane, dispatch_id)


@pages.post("/reveal-content")
@needs(REVEAL)
def unmask_content(lane_name: str, dispatch_id: UUID) -> Response:
    """Show the content unmasked for a minute; that it was looked at is kept."""
    lane = visible_lane(lane_name)
    operator.find(lane, dispatch_id)
    if not (reason := reason_given()):
        return _refused(lane, dispatch_id, "Say why you need to see it: the reason is kept with your name.")
    operator.log_action(acting_person(), "reveal_content", lane=lane.name, dispatch_id=dispatch_id, reason=reason)
    reveal_content(dispatch_id)
    return _back(lane, dispatch_id)


def _is_stale(lane: Lane, dispatch_id: UUID) -> bool:
    """Whether the page on which this was decided showed the dispatch as it is no more.

    One that has left its state altogether is left to the engine, which says where it is now.
    """
    shown = request.form.get("shown", "")
    row = operator.find(lane, dispatch_id)
    return bool(shown and row["status"] in ("PENDING", "FAILED") and shown != mark_of(row))


def _wake(lane: Lane, result: ActionResult) -> None:
    """A hint only: workers find the row by their own clocks, so nobody waits here for a broker that is away."""
    if result.changed and broker_health().answers:
        get_waker().wake(lane)


def claim_seen() -> UUID:
    """The try that the page showed; a form that names none was not made by a page, and matches no try."""
    try:
        return UUID(request.form.get("claim_token", ""))
    except ValueError:
        return UUID(int=0)


def _done(lane: Lane, result: ActionResult, sentence: str) -> Response:
    if result.changed:
        paused = result.status == "PENDING" and holds_on(lane, open_holds())
        flash(f"{sentence} It is paused, so it waits until somebody resumes it." if paused else sentence, "good")
    else:
        flash(f"Nothing changed: {result.message or 'it is no longer there'}.", "warn")
    return _back(lane, result.dispatch_id)


def _refused(lane: Lane, dispatch_id: UUID, sentence: str) -> Response:
    flash(sentence, "bad")
    return _back(lane, dispatch_id)


def _back(lane: Lane, dispatch_id: UUID) -> Response:
    """To the list when the button was there, else to the dispatch's page, which still knows its list."""
    if request.form.get("return") == "back":
        return redirect(back_or(address_of(lane, dispatch_id)), 303)
    return redirect(address_of(lane, dispatch_id), 303)


def address_of(lane: Lane, dispatch_id: UUID) -> str:
    """With the list that it was opened from, and where it stood there before what was done moved it."""
    place = request.form.get("place") or None
    return url_for("dispatch.show", lane_name=lane.name, dispatch_id=dispatch_id, back=back_or("") or None, place=place)
