"""The actors of what couriers tell: a message says that events wait, or that couriers are to be asked. The work is in the
tables.
"""

from __future__ import annotations

import dramatiq

from dispatchlog.systems.courier import events, polling, waking
from tasks.broker import broker


@dramatiq.actor(broker=broker, queue_name=waking.EVENTS, actor_name=waking.EVENTS)
def courier_events(_name: object = "") -> None:
    """Events were stored: apply them."""
    events.apply_all()


@dramatiq.actor(broker=broker, queue_name=waking.EVENTS, actor_name=waking.POLLS)
def courier_polls(_name: object = "") -> None:
    """The clock came round: ask about the jobs whose time has come."""
    polling.poll_all()
