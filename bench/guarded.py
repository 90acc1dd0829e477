"""What every peer does with one row: claim it, send it, record it, by two guarded updates that commit each by itself.

The table and its triggers are the engine's own. Owns the connections for that; knows no queue and times nothing.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import Any
from uuid import UUID, uuid4

import psycopg2

from bench.lane import TABLE
from dispatchlog.engine.database import connect_arguments
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways.fake import NullGateway
from dispatchlog.settings import get_settings

QUEUE = "rows"
TASK = "deliver_row"

CLAIM = (
    f"UPDATE {TABLE} SET status = 'QUEUED', claim_token = %s, claimed_by = %s, claimed_at = now(),"
    " first_claimed_at = coalesce(first_claimed_at, now()), claims = claims + 1, updated_at = now()"
    " WHERE id = %s AND status = 'PENDING' AND due_at <= now() RETURNING idempotency_key"
)
RECORD = (
    f"UPDATE {TABLE} SET status = 'SENT', provider = 'null', provider_message_id = %s, sent_at = clock_timestamp(),"
    " updated_at = clock_timestamp() WHERE id = %s AND claim_token = %s AND status = 'QUEUED'"
)

_gateway = NullGateway()
_opened: queue.SimpleQueue[Any] = queue.SimpleQueue()
_thread = threading.local()


def connection_arguments() -> dict[str, Any]:
    """Arguments of libpq for the connections of a peer's work: same role and same plans as the engine's."""
    return connect_arguments(get_settings().application_role, name="one message per row", by_index=True)


def open_connections(count: int) -> None:
    """Before the clock starts: one for each thread of this process that will deliver."""
    for _ in range(count):
        _opened.put(_connect())


def deliver_row(row_id: str) -> None:
    """Claim, send, record; each update commits by itself. A row that is not PENDING is left alone."""
    token = uuid4()
    with _connection().cursor() as cursor:
        cursor.execute(CLAIM, (token, os.getpid(), row_id))
        claimed = cursor.fetchone()
        if claimed is not None:
            cursor.execute(RECORD, (send(row_id, claimed[0]), row_id, token))


def send(row_id: str, idempotency_key: str) -> str | None:
    """Hand the row to the gateway that accepts all; the provider's id comes back."""
    parcel = Parcel(UUID(row_id), idempotency_key, "nobody", b"{}")
    receipt = _gateway.send(parcel, deadline=Deadline(_gateway.deadline_seconds), before_write=_no_fence)
    return receipt.provider_message_id


def _no_fence() -> None:
    """An IDEMPOTENT gateway needs none."""


def _connection() -> Any:
    if not hasattr(_thread, "connection"):
        try:
            _thread.connection = _opened.get_nowait()
        except queue.Empty:  # a process forked for this one row
            _thread.connection = _connect()
    return _thread.connection


def _connect() -> Any:
    connection = psycopg2.connect(get_settings().database_url, **connection_arguments())
    connection.autocommit = True
    return connection
