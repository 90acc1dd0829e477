"""Lane `courier_message`: the delivery code to the patient, and updates to patient and pharmacy, by e-mail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.engine.lanes import Lane
from dispatchlog.systems.courier.states import DispatchStatus

LANE = "courier_message"


def courier_message_lane() -> Lane:
    """The lane (SMTP, BLIND). The stored bytes of a code's message hold a place-holder; the code is set in on leaving."""
    raise NotImplementedError


def enqueue_code(dispatch: Mapping[str, Any], *, about: str) -> None:
    """The message with the dispatch's present code, to the patient only; `about` makes it unique ("1", "1-resend-2")."""
    raise NotImplementedError


def enqueue_updates(dispatch: Mapping[str, Any], status: DispatchStatus) -> None:
    """Tell patient and pharmacy what they want to know of this status, each once; in the caller's transaction."""
    raise NotImplementedError
