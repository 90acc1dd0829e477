"""The list of pharmacy orders, its search and its file, and marking many of them ready. The courier system decides."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from dashboard.access import ACT, EXPORT, READ, needs
from dashboard.context import acting_person, back_or, line_given
from dashboard.courier_export import OrdersFile
from dashboard.courier_filter import FIELDS, OrdersFilter, parse_orders_filter
from dashboard.courier_queries import (
    as_uuid,
    count_by_state,
    every_pharmacy,
    list_orders,
    markable_orders,
    orders_by_id,
    telephone_numbers,
)
from dashboard.courier_standing import is_under_way, promise, since
from dashboard.courier_wording import ORDER_STATES, refusal, state_key
from dashboard.dispatch_list import remember_search
from dashboard.export import TYPES, attachment
from dashboard.queries import PAGE_ROWS
from dispatchlog.bulk import CONFIRM_ABOVE
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.courier import orders
from dispatchlog.systems.courier.orders import ReadyResult, Waiting

pages = Blueprint("courier_orders", __name__, url_prefix="/orders")

# How many orders are marked ready at once.
MOST_AT_ONCE = 200
# What orders wait for once they are marked ready; "": nothing.
_HELD = MappingProxyType(
    {
        "": "being booked",
        Waiting.PAYMENT_NOT_CAPTURED: "waiting for the payment",
        Waiting.NO_COURIER: "waiting for a courier to be set up",
    }
)


@pages.get("")
@needs(READ)
def every_order() -> str:
    """The orders that the address asks for, newest first."""
    wanted = _wanted()
    counts = count_by_state(wanted)
    return render_template(
        "courier_orders.html",
        wanted=wanted,
        pharmacies=every_pharmacy(),
        page=list_orders(wanted),
        counts=counts,
        matching=_matching(wanted, counts),
        markable=any(counts[state] for state in ("UNPAID", "NOT_READY") if not wanted.states or state in wanted.states),
        states=ORDER_STATES,
        may_mark=_may_mark,
        since=since,
        promise=promise,
        is_under_way=is_under_way,
        most_at_once=MOST_AT_ONCE,
        here=_address(wanted, position=wanted.position),
        link=lambda **changes: _address(wanted, **changes),
        now=datetime.now(UTC),
    )


@pages.post("/search")
@needs(READ)
def search() -> BaseResponse:
    """To the list that the form asks for. What may be a patient's address goes into the session, not into the URL."""
    text = line_given("q", most=200)
    arguments: dict[str, Any] = {name: values for name in FIELDS if any(values := request.form.getlist(name))}
    if "@" in text or telephone_numbers(text):
        arguments["found"] = remember_search(text)
    elif text:
        arguments["q"] = text
    return redirect(url_for("courier_orders.every_order", **arguments), 303)


@pages.post("/export")
@needs(EXPORT)
def export() -> Response:
    """The list that the address asks for, with every dispatch, as a file in the `format` of the form."""
    form = request.form.get("format", "csv")
    if form not in TYPES:
        abort(400, "A file is csv or json.")
    wanted = _wanted()
    if wanted.problems:
        # Half a filter would let out more than was meant.
        abort(400, " ".join(wanted.problems))
    return attachment(OrdersFile(wanted, form=form, actor=acting_person()), "pharmacy-orders", form)


@pages.get("/ready")
@needs(ACT)
def confirm_ready() -> str | BaseResponse:
    """Which orders of the list would be marked ready, to be confirmed."""
    wanted = _wanted()
    if wanted.problems:
        return _refused(" ".join(wanted.problems))
    rows = markable_orders(wanted, limit=MOST_AT_ONCE + 1)
    if not rows:
        return _refused("There is nothing to mark ready in this list.")
    return _ask(rows[:MOST_AT_ONCE], more=len(rows) > MOST_AT_ONCE, words=wanted.in_words())


@pages.post("/ready")
@needs(ACT)
def mark_ready() -> BaseResponse | tuple[str, int]:
    """Mark the ticked orders ready, or those that were shown to be confirmed; above a number only after it was typed."""
    ids = _picked()
    if not ids:
        return _refused("Nothing is selected. Tick orders in the list.")
    number = line_given("number").replace(",", "").replace(".", "").replace(" ", "")
    if len(ids) > CONFIRM_ABOVE and number != str(len(ids)):
        rows = [row for row in orders_by_id(ids) if _may_mark(row)]
        return _ask(rows, more=False, words="Selected", problem=f"Type {len(rows):,} to confirm."), 400
    _say(orders.mark_many_ready(ids, actor=acting_person()))
    return redirect(back_or(url_for("courier_orders.every_order")), 303)


def _wanted() -> OrdersFilter:
    return parse_orders_filter(request.args, every_pharmacy(), session.get("searches"))


def _address(wanted: OrdersFilter, **changes: Any) -> str:
    return url_for("courier_orders.every_order", **wanted.arguments(**changes))


def _matching(wanted: OrdersFilter, counts: Mapping[str, Any]) -> str:
    """How many the filter lets through, as far as they were counted."""
    shown = [counts[state] for state in wanted.states or ORDER_STATES]
    total = sum(min(count.number, count.limit) for count in shown)
    return f"{total:,}" if all(count.is_exact for count in shown) else f"{total:,}+"


def _may_mark(row: Row) -> bool:
    """Whether marking it ready would do anything: it is not marked yet, or its booking failed and may be tried again."""
    if row["dispatch_id"] is None:
        return not row["is_ready_for_dispatch"] and row["payment_status"] != "Refunded"
    return state_key(row) == "BOOKING_FAILED" and not row["booking_in_doubt"]


def _ask(rows: Sequence[Row], *, more: bool, words: str, problem: str = "") -> str:
    return render_template(
        "courier_ready.html",
        rows=rows,
        paid=sum(row["payment_status"] == "Paid" for row in rows),
        more=more,
        words=words,
        most_at_once=MOST_AT_ONCE,
        confirm_above=CONFIRM_ABOVE,
        problem=problem,
        back=back_or(url_for("courier_orders.every_order")),
    )


def _picked() -> list[UUID]:
    """The orders whose boxes were ticked, each once; a value that is no id is passed over."""
    found = [identity for value in request.form.getlist("pick") if (identity := as_uuid(value)) is not None]
    return [*dict.fromkeys(found)][: max(MOST_AT_ONCE, PAGE_ROWS)]


def _say(results: Mapping[UUID, ReadyResult | str]) -> None:
    """What became of them, in one sentence, and one more for what was refused."""
    done = [result for result in results.values() if isinstance(result, ReadyResult)]
    refused = Counter(result for result in results.values() if isinstance(result, str))
    changed = [result for result in done if result.changed or result.retried]
    held = Counter(next(iter(result.waiting_for), "") for result in changed)
    parts = [f"{len(changed):,} marked ready" if changed else "Nothing changed"]
    parts += [f"{held[key]:,} {words}" for key, words in _HELD.items() if held[key]]
    parts += [f"{len(done) - len(changed):,} ready already"] if len(done) > len(changed) else []
    flash(f"{', '.join(parts)}.", "good" if changed else "warn")
    for code, number in refused.items():
        flash(f"{number:,} not marked: {refusal(code, code)}", "bad")


def _refused(sentence: str) -> BaseResponse:
    flash(sentence, "bad")
    return redirect(back_or(url_for("courier_orders.every_order")), 303)
