"""Orders of kits: the list, and one order traced from its report to its forms. Shows; changes nothing."""

from __future__ import annotations

from uuid import UUID

from flask import Blueprint, abort, render_template, request

from dashboard.access import READ, needs
from dashboard.context import back_or, settings
from dashboard.dispatch_page import possible_actions
from dashboard.filters import parse_filter
from dashboard.order_queries import list_orders, trace_order
from dashboard.order_wording import ORDER_STATES
from dispatchlog.systems import registry

pages = Blueprint("kit_orders", __name__)


@pages.get("/kit-orders")
@needs(READ)
def every_order() -> str:
    """Every order that is stored or was reported, last changed first."""
    asked = [state.upper() for state in request.args.getlist("state") if state]
    states = [state for state in asked if state in ORDER_STATES]
    wanted = parse_filter(request.args, lane=None)
    rows, older = list_orders(states=states, text=wanted.text, position=wanted.position, settings=settings())
    unknown = [f"State “{state[:40]}” is not known; showing all." for state in asked if state not in ORDER_STATES]
    return render_template(
        "kit_orders.html",
        rows=rows,
        older=older,
        wanted=wanted,
        states=states,
        order_states=ORDER_STATES,
        problems=[*unknown, *wanted.problems],
    )


@pages.get("/kit-orders/<uuid:order_id>")
@needs(READ)
def one_order(order_id: UUID) -> str:
    """One order with its kits and their dispatches."""
    trace = trace_order(order_id, settings=settings())
    if trace is None:
        abort(404)
    lanes = {name: registry.lane(name) for name in ("kit_registration", "health_information")}
    return render_template(
        "kit_order.html",
        order=trace.order,
        kits=trace.kits,
        order_states=ORDER_STATES,
        possible=lambda row: possible_actions(lanes[row["lane"]], row),
        list_address=back_or("/kit-orders"),
    )
