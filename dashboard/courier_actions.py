"""What a person does to one pharmacy order: each view reads the form, calls one function of the courier system, says what
became of it and goes back. It never writes a status itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, MANAGE, needs
from dashboard.context import acting_person, back_or, line_given, reason_given
from dashboard.courier_order import found_order
from dashboard.courier_order_queries import code_sent_at, find_order
from dashboard.courier_queries import as_uuid
from dashboard.courier_wording import ORDER_STATES, refusal
from dispatchlog.systems.courier import cancelling, codes, events, orders
from dispatchlog.systems.courier.code_rules import DIGITS, MOST_TRIES
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.orders import OrderRow, ReadyResult, Waiting
from dispatchlog.systems.courier.states import DispatchStatus

pages = Blueprint("courier_actions", __name__, url_prefix="/orders/<uuid:order_id>")

STALE = "The order moved on after this page was opened, so this time nothing was done. Look at it anew, then decide."
SAY_WHY = "Say why: the reason stays with the order."
# What the form answers to a wrong code; each is a refusal that the recipient or staff can put right.
_STATUS_OF = {"OTP_MALFORMED": 422, "OTP_INVALID": 422, "OTP_EXPIRED": 422, "OTP_LOCKED": 423}


# Not /ready, which is the API's: the existing web client calls it there without the prefix.
@pages.post("/mark-ready")
@needs(ACT)
def ready(order_id: UUID) -> Response:
    """The order is prepared; where its booking failed that is tried again."""
    return _do(order_id, lambda: _ready_words(orders.mark_ready(order_id, actor=acting_person())))


@pages.post("/cancel")
@needs(ACT)
def cancel(order_id: UUID) -> Response:
    """Take the booking back."""
    if not (reason := reason_given()):
        return _refused(order_id, SAY_WHY)
    if _is_stale(order_id):
        return _refused(order_id, STALE)

    def act() -> str:
        order = cancelling.cancel_dispatch(order_id, actor=acting_person(), reason=reason)
        if order["dispatch_status"] == "CANCELED":
            return "Canceled. The courier had not been told of it."
        return "The courier is being told. It is canceled once the courier has accepted that."

    return _do(order_id, act)


@pages.post("/redispatch")
@needs(ACT)
def redispatch(order_id: UUID) -> Response:
    """Book a courier again."""
    if not (reason := reason_given()):
        return _refused(order_id, SAY_WHY)
    if _is_stale(order_id):
        return _refused(order_id, STALE)

    def act() -> str:
        cancelling.redispatch(order_id, actor=acting_person(), reason=reason)
        return "A courier is being booked again."

    return _do(order_id, act)


@pages.get("/deliver")
@needs(ACT)
def ask_code(order_id: UUID) -> str | Response:
    """The form for the recipient's code; a dialog on the order's page, and a page of its own without scripts."""
    state = found_order(order_id)
    dispatch = state.dispatch
    if dispatch is None or dispatch["status"] != "IN_TRANSIT":
        code = (
            "DISPATCH_ALREADY_DELIVERED"
            if dispatch and dispatch["status"] == "DELIVERED"
            else "DISPATCH_NOT_IN_TRANSIT"
        )
        return _refused(order_id, refusal(code, ""))
    return _code_page(order_id)


@pages.post("/deliver")
@needs(ACT)
def deliver(order_id: UUID) -> Response | tuple[str, int]:
    """Delivered, where the code is right."""
    code = "".join(line_given("code", most=40).split())
    try:
        codes.verify_code(_shown_dispatch(order_id), code, actor=acting_person())
    except CourierError as error:
        if error.code in _STATUS_OF:
            return _code_page(order_id, problem=error.code), _STATUS_OF[error.code]
        return _refused(order_id, refusal(error.code, error.message))
    flash("Delivered. The code was right.", "good")
    return _back(order_id)


@pages.post("/resend")
@needs(ACT)
def resend(order_id: UUID) -> Response:
    """Send the recipient the code again."""

    def act() -> str:
        codes.resend_code(_shown_dispatch(order_id), actor=acting_person())
        return "The code is being sent to the patient again."

    return _do(order_id, act, to_form=request.form.get("return") == "form")


@pages.post("/unlock")
@needs(ACT)
def unlock(order_id: UUID) -> Response:
    """More tries for a locked code."""

    def act() -> str:
        codes.unlock_code(_shown_dispatch(order_id), actor=acting_person(), reason=reason_given())
        return "Unlocked: there are five more tries."

    return _do(order_id, act) if reason_given() else _refused(order_id, SAY_WHY)


@pages.post("/deliver-without-code")
@needs(ACT)
def deliver_without_code(order_id: UUID) -> Response:
    """Delivered on a person's word."""

    def act() -> str:
        codes.confirm_without_code(_shown_dispatch(order_id), actor=acting_person(), reason=reason_given())
        return "Delivered, on your word."

    return _do(order_id, act) if reason_given() else _refused(order_id, SAY_WHY)


@pages.post("/status")
@needs(MANAGE)
def set_status(order_id: UUID) -> Response:
    """An administrator says where it is."""
    if not reason_given():
        return _refused(order_id, SAY_WHY)
    try:
        status = DispatchStatus(request.form.get("status", ""))
    except ValueError:
        return _refused(order_id, "Choose a status.")

    def act() -> str:
        events.set_by_hand(_shown_dispatch(order_id), status, actor=acting_person(), reason=reason_given())
        return f"Set to “{ORDER_STATES[status].label}” by hand."

    return _do(order_id, act)


def _ready_words(result: ReadyResult) -> str:
    if result.retried:
        return "The booking is tried again."
    if Waiting.PAYMENT_NOT_CAPTURED in result.waiting_for:
        return "Marked ready. It waits for the payment; the courier is then booked by itself."
    if Waiting.NO_COURIER in result.waiting_for:
        return "Marked ready. It waits for a courier to be set up."
    return "Marked ready. A courier is being booked." if result.changed else "It was marked ready before."


def _do(order_id: UUID, act: Callable[[], str], *, to_form: bool = False) -> Response:
    try:
        flash(act(), "good")
    except CourierError as error:
        if error.code == "ORDER_NOT_FOUND":
            abort(404)
        flash(f"Nothing changed. {refusal(error.code, error.message)}", "bad")
    if to_form:
        return redirect(url_for("courier_actions.ask_code", order_id=order_id, back=back_or("") or None), 303)
    return _back(order_id)


def _code_page(order_id: UUID, *, problem: str = "") -> str:
    """The form with what is left of the tries, as the database has it after what was just entered."""
    state = found_order(order_id)
    dispatch = state.dispatch or {}
    sent_at = code_sent_at(dispatch["id"])
    left = MOST_TRIES - dispatch["code_tries"]
    return render_template(
        "courier_deliver.html",
        order=state.order,
        dispatch=dispatch,
        locked=dispatch["code_locked_at"] is not None,
        expired=dispatch["code_expires_at"] is not None and dispatch["code_expires_at"] <= datetime.now(UTC),
        tries_left=left,
        most_tries=MOST_TRIES,
        digits=DIGITS,
        sent_at=sent_at,
        resend_at=sent_at + codes.RESEND_AFTER if sent_at else None,
        problem=refusal(problem, "") if problem else "",
        back=back_or(""),
        now=datetime.now(UTC),
    )


def _shown_dispatch(order_id: UUID) -> UUID:
    """The dispatch that the page showed, where it is still the order's; a form that names none means the present one.

    Raises:
        CourierError: there is none, or it is another one by now.
    """
    order = find_order(order_id)
    if order is None:
        abort(404)
    shown = as_uuid(request.form.get("dispatch", ""))
    if order["dispatch_id"] is None:
        raise CourierError("no courier was booked", code="DISPATCH_NOT_FOUND")
    if shown not in (None, order["dispatch_id"]):
        raise CourierError("it was dispatched again since", code="DISPATCH_SUPERSEDED")
    found: UUID = order["dispatch_id"]
    return found


def _is_stale(order_id: UUID) -> bool:
    """Whether the page on which this was decided showed another dispatch, or another status of it."""
    order: OrderRow | None = find_order(order_id)
    if order is None:
        abort(404)
    shown = request.form.get("shown", "")
    return bool(shown) and shown != f"{order['dispatch_id']}.{order['dispatch_status']}"


def _refused(order_id: UUID, sentence: str) -> Response:
    flash(sentence, "bad")
    return _back(order_id)


def _back(order_id: UUID) -> Response:
    return redirect(url_for("courier_order.show", order_id=order_id, back=back_or("") or None), 303)
