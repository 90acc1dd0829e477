"""What is heard of dispatches: stored once per event of the courier, then applied monotonically. Owns `courier_events`.

Storing and applying are two steps: a webhook is answered as soon as it is stored, and what is not applied is found again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from dispatchlog.gateways.courier import Report
from dispatchlog.systems.courier.orders import OrderRow
from dispatchlog.systems.courier.states import DispatchStatus


def store_reports(courier: str, source: str, reports: Sequence[Report], *, trace_id: str) -> int:
    """Store what the courier reports (source `webhook`, `poll` or `booking`); how many were new. One short statement."""
    raise NotImplementedError


def apply_open(*, limit: int = 500) -> int:
    """Apply what is stored and not applied yet, oldest first; how many. Safe to run in many processes at once."""
    raise NotImplementedError


def set_by_hand(dispatch_id: UUID, status: DispatchStatus, *, actor: str, reason: str) -> OrderRow:
    """An administrator's word: the dispatch is at `status` from now on, also back. Audited.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_SUPERSEDED (a newer attempt exists), STATUS_NOT_ALLOWED
            (REQUESTED, or the same), REASON_REQUIRED.
    """
    raise NotImplementedError


def note_own(
    dispatch: Mapping[str, Any], status: DispatchStatus, *, source: str, event_id: str, actor: str, reason: str = ""
) -> OrderRow:
    """What happened on our side, stored as an event and applied at once, in the caller's transaction, order locked.

    `source` is booking (one was accepted, or taken back), otp (the code was right) or staff (a person's word).
    """
    raise NotImplementedError
