"""Pharmacies: where orders are picked up. Owns their table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dispatchlog.systems.courier.inputs import PharmacyInput


def put_pharmacy(pharmacy: PharmacyInput, *, source: str) -> Mapping[str, Any]:
    """Create or update the pharmacy of this code; its row comes back.

    Raises:
        CourierError: INVALID_CODE, INVALID_EMAIL, INVALID_PHONE, INVALID_COORDINATES, INVALID_TEXT.
    """
    raise NotImplementedError
