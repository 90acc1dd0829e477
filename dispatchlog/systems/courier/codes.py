"""Delivery codes: six digits that the patient reads out at the door. Owns their derivation, checking and locking.

A code follows from a key, the dispatch and a counter, so no row stores it, and a resend says the same code until it
expires.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from dispatchlog.systems.courier.orders import OrderRow

DIGITS = 6
MOST_TRIES = 5


def code_of(dispatch_id: UUID, counter: int) -> str:
    """The code: six decimal digits."""
    raise NotImplementedError


def issue_code(dispatch: Mapping[str, Any]) -> None:
    """Give the dispatch its code and enqueue the message to the patient, in the caller's transaction, order locked.

    Called when the dispatch becomes IN_TRANSIT; does nothing where a code that has not expired is there.
    """
    raise NotImplementedError


def resend_code(dispatch_id: UUID, *, actor: str) -> OrderRow:
    """Send the code again: the same while it has not expired, else a new one with new tries.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_IN_TRANSIT, CODE_LOCKED,
            CODE_SENT_JUST_NOW (within 30 s).
    """
    raise NotImplementedError


def verify_code(dispatch_id: UUID, code: str, *, actor: str) -> OrderRow:
    """The recipient's code: DELIVERED where it is right. A wrong one is counted even though it raises.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_IN_TRANSIT, OTP_MALFORMED (not six
            digits; not counted), OTP_INVALID, OTP_EXPIRED, OTP_LOCKED (after 5 wrong ones).
    """
    raise NotImplementedError


def confirm_without_code(dispatch_id: UUID, *, actor: str, reason: str) -> OrderRow:
    """Staff override: delivered, on a person's word, where the code is locked or cannot be had. Audited.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, DISPATCH_ALREADY_DELIVERED, DISPATCH_NOT_IN_TRANSIT, REASON_REQUIRED.
    """
    raise NotImplementedError


def unlock_code(dispatch_id: UUID, *, actor: str, reason: str) -> OrderRow:
    """Staff override: five more tries for the present code. Audited.

    Raises:
        CourierError: DISPATCH_NOT_FOUND, CODE_NOT_LOCKED, REASON_REQUIRED.
    """
    raise NotImplementedError
