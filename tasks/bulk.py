"""The actor of bulk runs: a message says that one has begun, or that any is to be gone on with. The work is in
the tables.
"""

from __future__ import annotations

from uuid import UUID

import dramatiq
import structlog

from dispatchlog import bulk
from tasks.broker import broker, worker_process

log = structlog.get_logger(__name__)


@dramatiq.actor(broker=broker, queue_name=bulk.QUEUE)
def run_bulk(run_id: object = "") -> None:
    """Go on with one bulk run by its id, or with all that have begun."""
    if not run_id:
        bulk.go_on(stopping=_is_stopping)
        return
    try:
        known = UUID(str(run_id))
    except ValueError:
        log.warning("BULK_HINT_REFUSED", code="INVALID_UUID")
        return
    bulk.carry_out(known, stopping=_is_stopping)


def _is_stopping() -> bool:
    """The rest is taken up by another worker, or by this one when it runs again."""
    return worker_process.runtime is not None and worker_process.runtime.stopping.is_set()
