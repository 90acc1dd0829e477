"""One pharmacy order's queries beside what `reading` tells: its messages, and what was done and tried. Owns their SQL."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from dispatchlog.engine.database import fetch_all, fetch_dicts
from dispatchlog.engine.lanes import Row
from dispatchlog.row_content import COURIER_MESSAGES

MOST_ROWS = 200

_MESSAGES = """
SELECT m.id, 'courier_message' AS lane, m.status, m.in_doubt, m.kind, m.about, m.recipient_role, m.recipient_email,
    m.sealed, m.created_at, m.sent_at, m.updated_at, m.last_error_code, m.last_error, m.courier_dispatch_id, d.attempt
FROM courier_messages m JOIN courier_dispatches d ON d.id = m.courier_dispatch_id
WHERE m.order_id = %s ORDER BY m.created_at DESC, m.id DESC LIMIT %s
"""
_TRIES = """
SELECT dispatch_id, gateway, coalesce(finished_at, sending_at) AS at, outcome, code, message FROM dispatch_attempts
WHERE dispatch_id = ANY (%s::uuid[]) AND outcome IS DISTINCT FROM 'ACCEPTED' AND outcome IS DISTINCT FROM 'NOT_SENT'
    AND coalesce(finished_at, sending_at) IS NOT NULL ORDER BY id DESC LIMIT %s
"""
_DEEDS = """
SELECT id, at, actor, action, lane, dispatch_id, reason, detail FROM (
    (SELECT * FROM operator_actions WHERE dispatch_id = ANY (%s::uuid[]) ORDER BY id DESC LIMIT %s)
    UNION ALL
    (SELECT * FROM operator_actions WHERE detail ->> 'order_id' = %s ORDER BY id DESC LIMIT %s)) a
"""
_CHANGES = """
SELECT id, what, payload, changed_at FROM order_changes WHERE order_id = %s ORDER BY id DESC LIMIT %s
"""


def find_order(order_id: UUID) -> Row | None:
    """The order's newest dispatch and version, for what is decided on a page; None where there is no such order."""
    rows = fetch_dicts(
        "SELECT id, order_number, dispatch_id, dispatch_status, version FROM pharmacy_orders WHERE id = %s", (order_id,)
    )
    return rows[0] if rows else None


def messages_of(order_id: UUID) -> list[Row]:
    """The messages about the order, the newest first."""
    return [COURIER_MESSAGES.opened(row) for row in fetch_dicts(_MESSAGES, (order_id, MOST_ROWS))]


def code_sent_at(dispatch_id: UUID) -> datetime | None:
    """When the dispatch's code was last put on its way to the patient."""
    rows = fetch_all(
        "SELECT max(created_at) FROM courier_messages WHERE courier_dispatch_id = %s AND kind = 'CODE'", (dispatch_id,)
    )
    found: datetime | None = rows[0][0]
    return found


def refused_tries(ids: Sequence[UUID]) -> list[Row]:
    """The tries of these bookings and cancellations that were not accepted."""
    return [*fetch_dicts(_TRIES, (list(ids), MOST_ROWS))]


def deeds_on(order_id: UUID, ids: Sequence[UUID]) -> list[Row]:
    """What people did to the order, and to what left for it (`ids`)."""
    return [*fetch_dicts(_DEEDS, (list(ids), MOST_ROWS, str(order_id), MOST_ROWS))]


def changes_of(order_id: UUID) -> list[dict[str, Any]]:
    """What those who listen were told of the order."""
    return fetch_dicts(_CHANGES, (order_id, MOST_ROWS))
