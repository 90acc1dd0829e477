"""What happened to a pharmacy order, as a person reads it: reports, payment, couriers' words, refusals, people. No SQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.audit_wording import title_of
from dashboard.courier_wording import EFFECTS, ORDER_STATES, SOURCES, courier_title
from dashboard.masking import mask_text
from dashboard.wording import OUTCOMES, actor
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.courier.reading import OrderState

_PAYMENTS: Mapping[str, tuple[str, str, str]] = {
    "Paid": ("Paid", "check", "good"),
    "Failed": ("The payment failed", "x", "bad"),
    "Refunded": ("The payment was given back", "ban", "off"),
    "Pending": ("The payment is pending", "clock", "wait"),
}
_LANES = {"courier_booking": "Booking", "courier_cancellation": "Cancelation", "courier_message": "Message"}

# What the order itself or an event tells already, with who did it and why.
_TOLD_OTHERWISE = frozenset({"mark_order_ready", "set_courier_status", "confirm_delivery_without_code"})


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the history. Texts are masked; `mark` is a word that stands out, such as that no webhook told of it."""

    at: datetime
    title: str
    icon: str
    tone: str
    text: str = ""
    by: str = ""
    code: str = ""
    mark: str = ""
    attempt: int = 0


def history(
    state: OrderState,
    *,
    changes: Sequence[Mapping[str, Any]],
    tries: Sequence[Row],
    deeds: Sequence[Row],
    telling: Collection[str],
) -> list[Line]:
    """The lines, the newest first. `telling` are the couriers that send webhooks."""
    lines = [
        *_of_order(state, changes),
        *_of_events(state, telling),
        *_of_tries(state, tries),
        *_of_people(deeds),
    ]
    return sorted(lines, key=lambda line: line.at)[::-1]


def found_by_asking(events: Sequence[Row], telling: Collection[str]) -> set[int]:
    """The ids of the events that only asking brought, of couriers that should have told of them by webhook."""
    told = {(event["dispatch_id"], event["status"]) for event in events if event["source"] == "webhook"}
    return {
        event["id"]
        for event in events
        if event["source"] == "poll"
        and event["courier"] in telling
        and event["effect"] == "MOVED"
        and (event["dispatch_id"], event["status"]) not in told
    }


def _of_order(state: OrderState, changes: Sequence[Mapping[str, Any]]) -> Iterator[Line]:
    order = state.order
    yield Line(order["created_at"], "Ordered", "plus", "off", by=actor(order["source"]))
    paid = [change for change in changes if change["what"] == "paid"]
    for change in paid:
        title, icon, tone = _PAYMENTS.get(change["payload"].get("paymentStatus", ""), _PAYMENTS["Pending"])
        yield Line(change["changed_at"], title, icon, tone)
    if order["paid_at"] and not paid:
        yield Line(order["paid_at"], *_PAYMENTS["Paid"])
    if order["ready_at"]:
        yield Line(order["ready_at"], "Marked ready", "check", "good", by=actor(order["ready_by"] or ""))
    for dispatch in state.dispatches:
        title = "Courier asked for" if dispatch["attempt"] == 1 else "Courier asked for again"
        by = courier_title(dispatch["courier"])
        yield Line(dispatch["requested_at"], title, "send", "busy", by=by, attempt=dispatch["attempt"])
        if dispatch["code_locked_at"]:
            words = "Delivery code locked: too many wrong ones"
            yield Line(dispatch["code_locked_at"], words, "shield", "bad", attempt=dispatch["attempt"])


def _of_events(state: OrderState, telling: Collection[str]) -> Iterator[Line]:
    attempts = {dispatch["id"]: dispatch["attempt"] for dispatch in state.dispatches}
    missed = found_by_asking(state.events, telling)
    for event in state.events:
        known = ORDER_STATES.get(event["status"] or "")
        raw = mask_text(event["raw_status"])
        said = f"The courier's word: {raw}." if raw and raw.upper() != (event["status"] or "") else ""
        words = (_how(event), _quoted(event["reason"]), said if known else "", EFFECTS[event["effect"]])
        yield Line(
            event["occurred_at"] or event["received_at"],
            known.label if known else f"Unknown status “{raw}”",
            known.icon if known else "help",
            ("off" if event["effect"] in ("BEHIND", "SUPERSEDED") else known.tone) if known else "doubt",
            text=" ".join(filter(None, words)),
            by=_teller(event),
            mark="No webhook told of it; found by asking" if event["id"] in missed else "",
            attempt=attempts.get(event["dispatch_id"], 0),
        )


def _of_tries(state: OrderState, tries: Sequence[Row]) -> Iterator[Line]:
    attempts, names = _parcels(state)
    for row in tries:
        words, icon, tone = OUTCOMES[row["outcome"]]
        yield Line(
            row["at"],
            f"{names.get(row['dispatch_id'], 'Call')}: {words}",
            icon,
            tone,
            text=_sentence(row["message"]),
            by=row["gateway"],
            code=row["code"] or "",
            attempt=attempts.get(row["dispatch_id"], 0),
        )


def _of_people(deeds: Sequence[Row]) -> Iterator[Line]:
    for row in deeds:
        if row["action"] in _TOLD_OTHERWISE and not row["detail"].get("retried"):
            continue
        where = _LANES.get(row["lane"] or "")
        title = "Asked to book again" if row["detail"].get("retried") else title_of(row["action"], row["lane"])
        yield Line(
            row["at"],
            f"{where}: {title[:1].lower()}{title[1:]}" if where else title,
            "person",
            "off",
            text=_quoted(row["reason"]),
            by=actor(row["actor"]),
        )


def _parcels(state: OrderState) -> tuple[dict[UUID, int], dict[UUID, str]]:
    """Of each booking and cancellation: its dispatch's attempt, and what it is called."""
    attempts: dict[UUID, int] = {}
    names: dict[UUID, str] = {}
    for dispatch in state.dispatches:
        for row, name in parcels(dispatch):
            attempts[row["id"]], names[row["id"]] = dispatch["attempt"], name
    return attempts, names


def parcels(dispatch: Mapping[str, Any]) -> Iterator[tuple[Row, str]]:
    """What left for a dispatch, each with what it is called."""
    if dispatch["booking"]:
        yield dispatch["booking"], "Booking"
    for row in dispatch["cancellations"]:
        yield row, "Cancelation"


def _teller(event: Mapping[str, Any]) -> str:
    """Who said it: a person, or the courier and how we heard."""
    if event["actor"] and event["actor"] != event["courier"]:
        return actor(event["actor"])
    words = SOURCES.get(event["source"], event["source"])
    return f"{courier_title(event['courier'])}, {words[:1].lower()}{words[1:]}"


def _how(event: Mapping[str, Any]) -> str:
    """By what a person knew: the patient's code, or their own word."""
    if event["source"] == "otp":
        return "The patient's code was right."
    return "Said by hand." if event["source"] == "staff" and event["actor"] else ""


def _quoted(words: str | None) -> str:
    return f"“{mask_text(words)}”" if words else ""


def _sentence(text: str | None) -> str:
    text = mask_text(text)
    return text[:1].upper() + text[1:]
