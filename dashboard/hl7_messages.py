"""The HL7 messages: the list with its filters, and asking again for many of them, which `retrying` does. Stores nothing."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, MANAGE, may, needs
from dashboard.context import acting_person, back_or, reason_given
from dashboard.dispatch_page import possible_actions
from dashboard.health import processes
from dashboard.hl7_filter import MessageFilter, parse_messages_filter
from dashboard.hl7_queries import count_messages, count_to_retry, last_retry, list_messages
from dashboard.hl7_wording import message_words
from dashboard.hours import hours_of
from dashboard.masking import mask_name
from dashboard.queries import PAGE_ROWS
from dashboard.wording import actor, states_of
from dispatchlog.bulk import CONFIRM_ABOVE
from dispatchlog.systems import registry
from dispatchlog.systems.hl7.lane import LANE
from dispatchlog.systems.hl7.retrying import RETRIABLE, Retried, retry_all, retry_these
from dispatchlog.systems.hl7.schools import School, schools

pages = Blueprint("hl7_messages", __name__, url_prefix="/admin/hl7")

WORDS = {"PENDING": "waiting", "FAILED": "failed"}


@pages.get("")
@needs(MANAGE)
def every_message() -> str:
    """The messages that the address asks for, newest first, and how sending goes."""
    known = schools()
    wanted = parse_messages_filter(request.args, known)
    lane = registry.lane(LANE)
    states = {key: state for key, state in states_of(LANE).items() if key != "IN_DOUBT"}
    return render_template(
        "hl7_messages.html",
        wanted=wanted,
        schools=known,
        states=states,
        page=list_messages(wanted),
        counts={status: count_messages(status, wanted.school) for status in RETRIABLE},
        hours=hours_of(lane),
        last_retry=last_retry(),
        actor=actor,
        served=processes()["worker"].serves(LANE),
        link=lambda **changes: url_for("hl7_messages.every_message", **wanted.arguments(**changes)),
        here=_here(wanted),
        possible=lambda row: possible_actions(lane, row) if may(ACT) else frozenset(),
        message_words=message_words,
        mask_name=mask_name,
        confirm_above=CONFIRM_ABOVE,
        words=WORDS,
    )


@pages.get("/retry-all")
@needs(MANAGE)
def confirm_all() -> str | Response:
    """How many that would be, and the number to be typed where they are many."""
    status, school = _asked(request.args.get("status", ""), request.args.get("school", ""))
    if status not in RETRIABLE:
        return _refused("Choose what to retry: all that wait, or all that failed.")
    return _ask(status, school)


@pages.post("/retry-all")
@needs(MANAGE)
def retry_everything() -> Response | tuple[str, int]:
    """Make all that wait or have failed due now; above a number only after it was typed."""
    given = request.form.get("school", "")
    status, school = _asked(request.form.get("status", ""), given)
    if status not in RETRIABLE or (given and school is None):
        return _refused("Nothing was retried: the status or the school is not known.")
    count = count_to_retry(status, school)
    shown = _number(request.form.get("shown", ""))
    if count.number > CONFIRM_ABOVE and (shown is None or _number(request.form.get("number", "")) != shown):
        if shown is None:
            return _to_confirm(status, school)
        return _ask(status, school, problem=f"Type {shown:,} to confirm."), 400
    done = retry_all(
        status,
        school=school.code if school else None,
        actor=acting_person(),
        reason=reason_given(),
        after=_number(request.form.get("after", "")) or 0,
    )
    _say(done, WORDS[status])
    if done.next_after is not None:
        flash("There are more than are done at once. Go on with the rest here.", "warn")
        return _to_confirm(status, school, after=done.next_after)
    return redirect(back_or(url_for("hl7_messages.every_message")), 303)


@pages.post("/retry")
@needs(MANAGE)
def retry_selected() -> Response:
    """Make the ticked messages due now."""
    ids = _ticked(request.form.getlist("pick"))
    if not ids:
        return _refused("Nothing is selected. Tick messages in the list.")
    _say(retry_these(ids, actor=acting_person(), reason=reason_given()), "selected")
    return redirect(back_or(url_for("hl7_messages.every_message")), 303)


@pages.post("/<uuid:message_id>/retry")
@needs(MANAGE)
def retry_one(message_id: UUID) -> Response:
    """Make one message due now, its retry count at 0 again."""
    done = retry_these([message_id], actor=acting_person(), reason=reason_given())
    (result,) = done.results
    if result.changed:
        flash("Queued to be sent now. Its retry count is 0 again.", "good")
    else:
        flash(f"Nothing changed: {result.message or 'there is no such message'}.", "warn")
    return redirect(back_or(url_for("hl7_messages.every_message")), 303)


def _here(wanted: MessageFilter) -> str:
    return url_for("hl7_messages.every_message", **wanted.arguments(position=wanted.position))


def _asked(status: str, code: str) -> tuple[str, School | None]:
    return status.upper(), next((school for school in schools() if school.code == code), None)


def _to_confirm(status: str, school: School | None, *, after: int | None = None) -> Response:
    code = school.code if school else None
    address = url_for("hl7_messages.confirm_all", status=status, school=code, after=after, back=back_or("") or None)
    return redirect(address, 303)


def _ask(status: str, school: School | None, *, problem: str = "") -> str:
    return render_template(
        "hl7_retry_all.html",
        status=status,
        school=school,
        words=WORDS[status],
        count=count_to_retry(status, school),
        confirm_above=CONFIRM_ABOVE,
        after=_number(request.values.get("after", "")),
        problem=problem,
        reason=request.form.get("reason", ""),
        back=back_or(""),
    )


def _say(done: Retried, words: str) -> None:
    if done.retried:
        are = "message is" if done.retried == 1 else "messages are"
        left = f" {done.unchanged:,} stayed as they were." if done.unchanged else ""
        flash(f"{done.retried:,} {words} {are} due now.{left}", "good")
    elif done.unchanged:
        flash("Nothing changed: what waits is due already, and nothing else can be retried.", "warn")
    else:
        flash("There is nothing to retry.", "warn")


def _ticked(values: list[str]) -> list[UUID]:
    found = []
    for value in values[:PAGE_ROWS]:
        try:
            found.append(UUID(value))
        except ValueError:
            continue
    return found


def _number(text: str) -> int | None:
    digits = text.replace(",", "").replace(" ", "").replace(".", "").strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 16 else None


def _refused(sentence: str) -> Response:
    flash(sentence, "bad")
    return redirect(back_or(url_for("hl7_messages.every_message")), 303)
