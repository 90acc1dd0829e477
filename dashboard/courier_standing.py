"""How a pharmacy order stands against time: since when it is where it is, and whether it keeps its promise. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from dashboard.courier_wording import Promise, state_key
from dispatchlog.engine.lanes import Row
from dispatchlog.systems.courier.states import REACHED_AT, DispatchStatus

_GRACE = timedelta(minutes=1)


def since(row: Row) -> datetime | None:
    """When the order came into the state it is in."""
    key = state_key(row)
    found: datetime | None = row["created_at"]
    if row["dispatch_status"] is not None:
        found = row[REACHED_AT[DispatchStatus(row["dispatch_status"])]]
    elif key == "NOT_READY":
        found = row["paid_at"]
    elif key == "NO_COURIER":
        found = max(row["ready_at"], row["paid_at"])
    return found


def promise(row: Row, now: datetime | None = None) -> Promise | None:
    """Whether it was, is or will be late, in words; None where nothing was promised or it will not be delivered."""
    deliver_by, status = row["deliver_by"], row["dispatch_status"]
    if deliver_by is None or (row["payment_status"] == "Refunded" and status is None):
        return None
    if status == "DELIVERED":
        late = row["ended_at"] - deliver_by
        if late > _GRACE:
            return Promise(f"{amount(late)} late", "alert", "bad")
        return Promise("In time", "check", "good")
    now = now or datetime.now(UTC)
    if now > deliver_by + _GRACE:
        return Promise(f"Late by {amount(now - deliver_by)}", "alert", "bad")
    eta = row["eta_at"] if is_under_way(row) else None
    if eta is not None and eta > deliver_by + _GRACE:
        return Promise(f"Expected {amount(eta - deliver_by)} late", "clock", "doubt")
    return Promise(f"{amount(deliver_by - now)} left", "clock", "off")


def is_under_way(row: Row) -> bool:
    """Whether a courier has it or is to fetch it."""
    return row["dispatch_status"] in ("BOOKED", "ASSIGNED", "PICKED_UP", "IN_TRANSIT")


def amount(span: timedelta) -> str:
    """`12 min`, `3 h 5 min`, `2 days`; of less than a minute the seconds."""
    seconds = int(abs(span.total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    minutes, hours = seconds // 60, seconds // 3_600
    if hours >= 48:
        return f"{hours // 24} days"
    if hours == 0:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
