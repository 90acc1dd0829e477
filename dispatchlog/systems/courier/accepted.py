"""What a courier said on accepting something of ours. Owns the reading of a lane's receipt; changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_dicts


def receipt_of(table: str, dispatch_id: UUID) -> Mapping[str, Any]:
    """The provider's number of a row that became SENT, when, and what it said; without evidence on a person's word."""
    rows = fetch_dicts(
        f"SELECT t.provider_message_id, t.sent_at, (SELECT a.evidence FROM dispatch_attempts a"
        " WHERE a.dispatch_id = t.id AND a.outcome = 'ACCEPTED' ORDER BY a.id LIMIT 1) AS evidence"
        f" FROM {table} t WHERE t.id = %s",
        (dispatch_id,),
    )
    row = rows[0]
    evidence = row["evidence"] or {}
    # What a look-up found is kept beside what the send had said.
    return {**row, "evidence": {**evidence, **(evidence.get("look_up") or {})}}


def web_address(value: Any) -> str | None:
    """An address as the courier gave it, where a page may show it as a link."""
    usable = isinstance(value, str) and value.startswith(("https://", "http://")) and len(value) <= 2048
    return value if usable and value.isprintable() else None


def instant(value: Any) -> datetime | None:
    """An instant as the courier gave it; None where it is none, or has no time zone."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo is not None else None
