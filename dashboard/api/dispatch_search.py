"""Finding dispatches by business key, lane and status, a page at a time. Owns these queries; reads only.

Pages go by key (keyset), not by offset: the thousandth costs what the first costs, and new rows shift nothing.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from dashboard.api.errors import ApiError
from dispatchlog.engine.database import connected, fetch_dicts
from dispatchlog.engine.lanes import Lane, Row
from dispatchlog.row_content import as_stored


@dataclass(frozen=True, slots=True)
class Question:
    """What is searched: `key` exactly (case does not matter), and `status`; "" leaves either out."""

    lanes: Sequence[Lane]
    key: str = ""
    status: str = ""
    limit: int = 50
    cursor: str = ""

    @property
    def by_change(self) -> bool:
        """By status alone the rows come by their last change, which is what the index on (status, updated_at) gives."""
        return bool(self.status and not self.key)


@dataclass(frozen=True, slots=True)
class Found:
    """One page, newest first; `next_cursor` is "" on the last one."""

    rows: list[tuple[Lane, Row]]
    next_cursor: str = ""


def search(question: Question) -> Found:
    """One page of the dispatches asked for.

    Raises:
        ApiError: INVALID_CURSOR.
    """
    after = _read_cursor(question) if question.cursor else None
    rows: list[tuple[Lane, Row]] = []
    with connected():
        for lane in question.lanes:
            sql, values = _query(question, lane, after)
            rows += [(lane, row) for row in fetch_dicts(sql, values)]
    rows.sort(key=lambda found: _position(question, found[1]), reverse=True)
    page = rows[: question.limit]
    more = len(rows) > question.limit
    return Found(page, _write_cursor(_position(question, page[-1][1])) if more else "")


def _query(question: Question, lane: Lane, after: Sequence[Any] | None) -> tuple[str, dict[str, Any]]:
    where = ["true"]
    if question.key:
        where.append(
            "t.id IN (SELECT s.dispatch_id FROM dispatch_search s WHERE s.key = ANY (%(key)s) AND s.lane = %(lane)s)"
        )
    if question.status:
        where.append("t.status = %(status)s")
    if question.by_change:
        where.append("t.seq > 0")  # what the lists' index asks for, so that workers' queries never use it
    columns = "t.updated_at, t.id" if question.by_change else "t.id"
    if after is not None:
        where.append(f"({columns}) < %(after)s")
    order = ", ".join(f"{column} DESC" for column in columns.split(", "))
    sql = f"SELECT t.* FROM {lane.table} t WHERE {' AND '.join(where)} ORDER BY {order} LIMIT %(limit)s"
    return sql, {
        "key": as_stored(question.key.lower()),
        "lane": lane.name,
        "status": question.status,
        "after": tuple(after or ()),
        "limit": question.limit + 1,
    }


def _position(question: Question, row: Row) -> tuple[Any, ...]:
    return (row["updated_at"], row["id"]) if question.by_change else (row["id"],)


def _write_cursor(position: Sequence[Any]) -> str:
    text = "|".join(part.isoformat() if isinstance(part, datetime) else str(part) for part in position)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(question: Question) -> tuple[Any, ...]:
    try:
        padded = question.cursor + "=" * (-len(question.cursor) % 4)
        parts = base64.b64decode(padded, altchars=b"-_", validate=True).decode().split("|")
        if not question.by_change:
            (dispatch_id,) = parts
            return (UUID(dispatch_id),)
        changed_at, dispatch_id = parts
        instant = datetime.fromisoformat(changed_at)
        if instant.tzinfo is None:
            raise ValueError("naive")
        return instant, UUID(dispatch_id)
    except (ValueError, binascii.Error) as error:
        raise ApiError("INVALID_CURSOR", "use the nextCursor of the answer before", field="cursor") from error
