"""What we do to an order's newest dispatch ourselves. Owns the way to `events`, which keeps it and moves the dispatch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.engine.database import fetch_dicts
from dispatchlog.systems.courier.changes import OrderRow
from dispatchlog.systems.courier.states import DispatchStatus

Dispatch = Mapping[str, Any]


def newest_dispatch(order: OrderRow) -> Dispatch | None:
    """The order's newest dispatch as it stands; None before the first. The order is locked."""
    rows = fetch_dicts("SELECT * FROM courier_dispatches WHERE id = %s", (order["dispatch_id"],))
    return rows[0] if rows else None


def move(
    dispatch: Dispatch, status: DispatchStatus, *, event_id: str, source: str, actor: str, reason: str = ""
) -> OrderRow:
    """Keep it as an event and apply that at once, in the caller's transaction with the order locked."""
    from dispatchlog.systems.courier import events  # noqa: PLC0415  (events needs orders, which needs this)

    return events.note_own(dispatch, status, source=source, event_id=event_id, actor=actor, reason=reason)
