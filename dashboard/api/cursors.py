"""Where a page of an API's list ends, as a text that only comes back. Knows no list."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from uuid import UUID

from dashboard.api.errors import ApiError


def write_cursor(at: datetime, row_id: UUID) -> str:
    """The position after this row."""
    return base64.urlsafe_b64encode(json.dumps([at.isoformat(), str(row_id)]).encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[datetime, UUID]:
    """The position.

    Raises:
        ApiError: INVALID_CURSOR.
    """
    try:
        at, row_id = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        instant = datetime.fromisoformat(at)
        if instant.tzinfo is None:
            raise ValueError("no zone")
        return instant, UUID(row_id)
    except (ValueError, TypeError, AttributeError, binascii.Error) as error:
        raise ApiError("INVALID_CURSOR", "cursor is the next_cursor of the page before", field="cursor") from error
