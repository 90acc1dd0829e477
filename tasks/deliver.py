"""The generic drain actor: a message says that a lane has something due. The rows carry the work."""

from __future__ import annotations

import dramatiq
import structlog

from dispatchlog.engine.delivery import drain as deliver
from dispatchlog.engine.errors import UnknownLane
from dispatchlog.systems import registry
from tasks.broker import broker, worker_process

log = structlog.get_logger(__name__)


def drain_lane(lane_name: object) -> None:
    """Deliver what the lane has due. Anybody who can write to the broker can send a name, so only known lanes count."""
    try:
        lane = registry.lane(str(lane_name))
    except UnknownLane:
        log.warning("UNKNOWN_LANE", lane=str(lane_name)[:64])
        return
    if worker_process.runtime is not None and lane in worker_process.lanes():
        deliver(lane, worker_process.runtime)


@dramatiq.actor(broker=broker, queue_name="dispatch")
def drain(lane_name: object = "") -> None:
    """Wake-up of one lane, by name."""
    drain_lane(lane_name)
