"""The actor of the HL7 lane, under a queue of its own: a worker of that lane alone listens to nothing else."""

from __future__ import annotations

import dramatiq

from dispatchlog.systems.hl7.lane import ACTOR, LANE, QUEUE
from tasks.broker import broker
from tasks.deliver import drain_lane


@dramatiq.actor(broker=broker, queue_name=QUEUE, actor_name=ACTOR)
def hl7_messages(lane_name: object = LANE) -> None:
    """A message was stored, or may be sent again: send what is due."""
    drain_lane(lane_name)
