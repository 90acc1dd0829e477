"""One pharmacy order: where it is, what it waits for, what may be done, and all that happened. Shows; changes nothing but
what this session may see.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Blueprint, abort, flash, redirect, render_template, url_for
from werkzeug.wrappers import Response

from dashboard.access import ACT, MANAGE, READ, REVEAL, may, needs
from dashboard.context import acting_person, back_or, reason_given
from dashboard.courier_history import history, parcels
from dashboard.courier_order_queries import changes_of, deeds_on, find_order, messages_of, refused_tries
from dashboard.courier_standing import is_under_way, promise, since
from dashboard.courier_track import track
from dashboard.courier_wording import CONFIRMED_BY, MESSAGES, ORDER_STATES, TRACK, WAITING_FOR, money, state_key
from dashboard.dispatch_page import content_is_revealed, reveal_content
from dispatchlog.engine import operator
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.courier.code_rules import MOST_TRIES
from dispatchlog.systems.courier.couriers import couriers
from dispatchlog.systems.courier.folding import HAND
from dispatchlog.systems.courier.inputs import CourierError
from dispatchlog.systems.courier.reading import OrderState, order_state
from dispatchlog.systems.courier.states import Action, DispatchStatus, actions

pages = Blueprint("courier_order", __name__, url_prefix="/orders")

SETTABLE = (*TRACK, "FAILED", "CANCELED")
# What a courier says of a driver at the door; for us that is still on the way, until the code is entered.
ARRIVED = "ARRIVED"


@pages.get("/<uuid:order_id>")
@needs(READ)
def show(order_id: UUID) -> str:
    """The order. Who gets it and where is masked, except for a minute after whoever looks said why."""
    state = found_order(order_id)
    row = as_listed(state)
    dispatch = state.dispatch
    revealed = content_is_revealed(order_id)
    said = own_word(state)
    sent = [parcel["id"] for each in state.dispatches for parcel, _ in parcels(each)]
    messages = messages_of(order_id)
    here = url_for("courier_order.show", order_id=order_id, back=back_or("") or None)
    return render_template(
        "courier_order.html",
        order=state.order,
        row=row,
        key=state_key(row),
        pharmacy=state.pharmacy,
        items=state.items,
        dispatch=dispatch,
        dispatches=state.dispatches,
        booking=dispatch["booking"] if dispatch else None,
        waiting=[WAITING_FOR.get(each, each) for each in state.waiting_for],
        waiting_codes=state.waiting_for,
        track=track(state.order, dispatch),
        since=since(row),
        promised=promise(row),
        under_way=is_under_way(row),
        own_word=said,
        at_the_door=row["dispatch_status"] == "IN_TRANSIT" and said.upper() == ARRIVED,
        set_by_hand=set_by_hand(state),
        tracking=safe_link(dispatch["tracking_url"]) if dispatch else "",
        possible=possible_actions(state),
        tries_left=MOST_TRIES - dispatch["code_tries"] if dispatch else 0,
        revealed=revealed,
        messages=messages,
        message_words=MESSAGES,
        confirmed_by=CONFIRMED_BY,
        money=money,
        lines=history(
            state,
            changes=changes_of(order_id),
            tries=refused_tries(sent),
            deeds=deeds_on(order_id, [*sent, *(message["id"] for message in messages)]),
            telling=telling(state),
        ),
        labels={state: words.label for state, words in ORDER_STATES.items()},
        settable={key: ORDER_STATES[key].label for key in SETTABLE if dispatch and key != dispatch["status"]},
        here=here,
        back=back_or(""),
        list_address=back_or(url_for("courier_orders.every_order")),
        now=datetime.now(UTC),
    )


@pages.post("/<uuid:order_id>/reveal")
@needs(REVEAL)
def reveal(order_id: UUID) -> Response:
    """Show who gets it and where for a minute; that it was looked at, and why, is kept."""
    if find_order(order_id) is None:
        abort(404)
    if reason := reason_given():
        detail = {"order_id": str(order_id)}
        operator.log_action(acting_person(), "reveal_patient", reason=reason, detail=detail)
        reveal_content(order_id)
    else:
        flash("Say why you need to see it: the reason is kept with your name.", "bad")
    return redirect(url_for("courier_order.show", order_id=order_id, back=back_or("") or None), 303)


def found_order(order_id: UUID) -> OrderState:
    """The order as it stands; 404 where there is none."""
    try:
        return order_state(order_id)
    except CourierError:
        abort(404)


def as_listed(state: OrderState) -> dict[str, Any]:
    """The order with its newest dispatch and booking in one row, as lists have it."""
    dispatch: Mapping[str, Any] = state.dispatch or {}
    booking = dispatch.get("booking") or {}
    instants = ("requested_at", "booked_at", "assigned_at", "picked_up_at", "in_transit_at", "ended_at", "eta_at")
    return {
        **state.order,
        **{name: dispatch.get(name) for name in instants},
        "booking_status": booking.get("status"),
        "booking_in_doubt": bool(booking.get("in_doubt")),
    }


def possible_actions(state: OrderState) -> frozenset[str]:
    """What may be done as it stands, by whoever looks; the courier system decides again when it is asked for."""
    possible: set[str] = set()
    order, dispatch = state.order, state.dispatch
    if may(ACT):
        possible |= _of_staff(order, dispatch)
    if may(MANAGE) and dispatch is not None and dispatch["status"] != "REQUESTED":
        possible.add("set")
    return frozenset(possible)


def _of_staff(order: Row, dispatch: Row | None) -> set[str]:
    if dispatch is None:
        markable = not order["is_ready_for_dispatch"] and order["payment_status"] != "Refunded"
        return {"ready"} if markable else set()
    possible: set[str] = set()
    booking = dispatch["booking"]
    if dispatch["status"] == "REQUESTED" and booking and booking["status"] == "FAILED" and not booking["in_doubt"]:
        possible.add("book_again")
    allowed = actions(DispatchStatus(dispatch["status"]))
    if Action.CANCEL in allowed and dispatch["cancel_requested_at"] is None:
        possible.add("cancel")
    if Action.REDISPATCH in allowed:
        possible.add("redispatch")
    if Action.CONFIRM_DELIVERY in allowed:
        possible |= {"deliver", "without_code"}
        possible.add("unlock" if dispatch["code_locked_at"] else "resend")
    return possible


def set_by_hand(state: OrderState) -> Row | None:
    """The event by which a person set the present status, other than by confirming or cancelling; None where none did."""
    last = _last_move(state)
    by_hand = last is not None and last["source"] == "staff" and str(last["event_id"]).startswith(HAND)
    return last if by_hand else None


def own_word(state: OrderState) -> str:
    """The courier's own word where it says more than the status, and nobody here has said otherwise since."""
    dispatch, last = state.dispatch, _last_move(state)
    raw: str = (dispatch["raw_status"] or "") if dispatch else ""
    if dispatch is None or raw.upper() == dispatch["status"] or (last and last["source"] in ("otp", "staff")):
        return ""
    return raw


def _last_move(state: OrderState) -> Row | None:
    """The newest event that moved the present dispatch to where it is."""
    dispatch = state.dispatch
    if dispatch is None:
        return None
    moves = [
        event
        for event in state.events
        if event["dispatch_id"] == dispatch["id"]
        and event["effect"] == "MOVED"
        and event["status"] == dispatch["status"]
    ]
    return max(moves, key=lambda event: event["id"], default=None)


def telling(state: OrderState) -> frozenset[str]:
    """The couriers that send webhooks: by the settings, or because they did for this order."""
    known = {name for name, courier in couriers().items() if courier.tells}
    return frozenset(known | {event["courier"] for event in state.events if event["source"] == "webhook"})


def safe_link(address: str | None) -> str:
    """The address where it leads to a website over HTTPS, else "": a courier wrote it."""
    parts = urlsplit(address or "")
    return address if address and parts.scheme == "https" and parts.hostname else ""
