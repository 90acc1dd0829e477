"""One Dramatiq worker process that delivers one row per message. Owns its start and stop; times nothing.

Everything doubtful is decided in its favour: the messages are already in Valkey, each update is one round trip in
autocommit, no attempt is logged, no signature is set, and the gateway accepts at once.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from typing import Any
from uuid import UUID, uuid4

import dramatiq
import psycopg2
from dramatiq import Worker

from bench.gate import wait_for_release
from bench.lane import TABLE
from dispatchlog.broker import make_broker
from dispatchlog.engine.database import connect_arguments
from dispatchlog.engine.deadline import Deadline
from dispatchlog.engine.gateway import Parcel
from dispatchlog.gateways.fake import NullGateway
from dispatchlog.settings import get_settings

ACTOR = "deliver_row"
QUEUE = "rows"

_CLAIM = (
    f"UPDATE {TABLE} SET status = 'QUEUED', claim_token = %s, claimed_by = %s, claimed_at = now(),"
    " first_claimed_at = coalesce(first_claimed_at, now()), claims = claims + 1, updated_at = now()"
    " WHERE id = %s AND status = 'PENDING' AND due_at <= now() RETURNING idempotency_key"
)
_RECORD = (
    f"UPDATE {TABLE} SET status = 'SENT', provider = 'null', provider_message_id = %s, sent_at = clock_timestamp(),"
    " updated_at = clock_timestamp() WHERE id = %s AND claim_token = %s AND status = 'QUEUED'"
)

_gateway = NullGateway()
_opened: queue.SimpleQueue[Any] = queue.SimpleQueue()
_thread = threading.local()


def deliver_row(row_id: str) -> None:
    """Claim, send, record; each update commits by itself. A row that is not PENDING is left alone."""
    token = uuid4()
    with _connection().cursor() as cursor:
        cursor.execute(_CLAIM, (token, os.getpid(), row_id))
        claimed = cursor.fetchone()
        if claimed is None:
            return
        parcel = Parcel(UUID(row_id), claimed[0], "nobody", b"{}")
        receipt = _gateway.send(parcel, deadline=Deadline(_gateway.deadline_seconds), before_write=_no_fence)
        cursor.execute(_RECORD, (receipt.provider_message_id, row_id, token))


def _no_fence() -> None:
    """An IDEMPOTENT gateway needs none."""


def _connection() -> Any:
    if not hasattr(_thread, "connection"):
        _thread.connection = _opened.get_nowait()
    return _thread.connection


def _open_connections(count: int) -> None:
    """One for each thread, before the clock starts."""
    settings = get_settings()
    arguments = connect_arguments(settings.application_role, name="one message per row", by_index=True)
    for _ in range(count):
        connection = psycopg2.connect(settings.database_url, **arguments)
        connection.autocommit = True
        _opened.put(connection)


def main() -> None:
    """Run until SIGTERM; end at once when never released."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    redis_url = get_settings().effective_redis_url
    broker = make_broker(redis_url)
    dramatiq.actor(broker=broker, actor_name=ACTOR, queue_name=QUEUE)(deliver_row)
    threads = int(os.environ["BENCH_THREADS"])
    _open_connections(threads)
    worker = Worker(broker, worker_threads=threads)
    if wait_for_release(redis_url):
        worker.start()
        while not stop.wait(1.0):
            pass
        worker.stop()


if __name__ == "__main__":
    main()
