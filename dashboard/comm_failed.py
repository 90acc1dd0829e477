"""Messages to patients that did not arrive, by provider and cause, the oldest first: to be tried again, sent otherwise or
given up. What may have arrived is settled on its own desk, never here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import OUTREACH, REACH, READ, may, needs
from dashboard.comm_failed_queries import Cause, bounced, causes, failed, number_bounced
from dashboard.comm_words import channel_words, message_state, message_title
from dashboard.context import acting_person, reason_given
from dashboard.dispatch_page import possible_actions
from dashboard.doubt_queries import count_doubts
from dashboard.filters import Position, parse_position
from dashboard.health import broker_health
from dashboard.outreach_asking import outreach_asker
from dashboard.wording import advice
from dispatchlog.broker import get_waker
from dispatchlog.engine import operator
from dispatchlog.engine.lanes import Row
from dispatchlog.systems import registry
from dispatchlog.systems.outreach import fallback
from dispatchlog.systems.outreach.inputs import OutreachError
from dispatchlog.systems.outreach.lane import LANE

pages = Blueprint("comm_failed", __name__, url_prefix="/outreach/failed")

CAME_BACK = "came-back"
BOUNCED_DAYS = 30


@pages.get("")
@needs(OUTREACH)
def show() -> str:
    """The causes with their numbers, and the messages of the chosen one, or those that came back."""
    problems: list[str] = []
    position = parse_position(request.args.get("at", ""), problems)
    since = datetime.now(UTC) - timedelta(days=BOUNCED_DAYS)
    known = causes()
    back = number_bounced(since=since)
    came_back = request.args.get("show") == CAME_BACK or (not known and bool(back))
    chosen = None if came_back else _chosen(known)
    rows, following = _rows(chosen, position, came_back=came_back, since=since)
    return render_template(
        "comm_failed.html",
        causes=known,
        chosen=chosen,
        came_back=came_back,
        bounced=back,
        bounced_days=BOUNCED_DAYS,
        in_doubt=count_doubts([registry.lane(LANE)]),
        rows=rows,
        following=following,
        begun=position is not None,
        problems=problems,
        possible={row["id"]: _possible(row) for row in rows},
        message_state=message_state,
        message_title=message_title,
        channel_words=channel_words,
        advice=advice,
        link=_address,
        may_read=may(READ),
    )


@pages.post("/<uuid:job_id>/retry")
@needs(REACH)
def retry(job_id: UUID) -> Response:
    """The same message by the same channel, as every dispatch is tried again."""
    if not (reason := reason_given()):
        return _refused("Say why it will work now: the reason stays with the message.")
    lane = registry.lane(LANE)
    result = operator.retry(lane, [job_id], actor=acting_person(), reason=reason)[0]
    if result.changed and broker_health().answers:
        get_waker().wake(lane)
    return _done(result, "It is tried again now.")


@pages.post("/<uuid:job_id>/other-channel")
@needs(REACH)
def send_otherwise(job_id: UUID) -> Response:
    """The same message by another channel that the patient may be reached by."""
    if not (reason := reason_given()):
        return _refused("Say why it goes by another channel: the reason stays with the message.")
    try:
        made = fallback.by_other_channel(job_id, asker=outreach_asker(), reason=reason)
    except OutreachError as error:
        return _refused(f"Nothing was sent: {error.message.removeprefix('Not sent: ').rstrip('.')}.")
    flash(f"It goes by {channel_words(made.channel)} instead.", "good")
    return _back()


@pages.post("/<uuid:job_id>/cancel")
@needs(REACH)
def cancel(job_id: UUID) -> Response:
    """Nobody needs it any more."""
    if not (reason := reason_given()):
        return _refused("Say why it is given up: the reason stays with the message.")
    result = operator.cancel(registry.lane(LANE), [job_id], actor=acting_person(), reason=reason)[0]
    return _done(result, "Given up. It will not be sent.")


def _chosen(known: Sequence[Cause]) -> Cause | None:
    """The one that the address names; the one with the oldest message where it names none that is there."""
    wanted = request.args.get("route", ""), request.args.get("cause", "")
    return next((one for one in known if (one.route, one.cause) == wanted), known[0] if known else None)


def _rows(
    chosen: Cause | None, position: Position | None, *, came_back: bool, since: datetime
) -> tuple[list[Row], Position | None]:
    if came_back:
        return bounced(position, since=since)
    return failed(chosen, position) if chosen else ([], None)


def _possible(row: Row) -> frozenset[str]:
    """What could be done with a message as it stands, by whoever looks; it is asked again when it is done."""
    if not may(REACH):
        return frozenset()
    found: set[str] = set()
    if row["status"] == "FAILED":
        found |= possible_actions(registry.lane(LANE).of(row), row) & {"retry", "cancel"}
    noticed = any(row[name] is not None for name in ("answered_at", "replied_at", "clicked_at", "opened_at"))
    if not row["is_marketing"] and not noticed and row["replaced_by"] is None:
        found.add("otherwise")
    return frozenset(found)


def _address(cause: Cause | None = None, *, at: Position | None = None, came_back: bool = False) -> str:
    return url_for(
        "comm_failed.show",
        show=CAME_BACK if came_back else None,
        route=cause.route if cause else None,
        cause=cause.cause if cause else None,
        at=str(at) if at else None,
    )


def _done(result: operator.ActionResult, sentence: str) -> Response:
    if result.changed:
        flash(sentence, "good")
    else:
        flash(f"Nothing changed: {result.message or 'it is no longer there'}.", "warn")
    return _back()


def _refused(sentence: str) -> Response:
    flash(sentence, "bad")
    return _back()


def _back() -> Response:
    """To the same cause; the message has left it."""
    route, cause, show = (request.form.get(name) or None for name in ("route", "cause", "show"))
    return redirect(url_for("comm_failed.show", route=route, cause=cause, show=show), 303)
