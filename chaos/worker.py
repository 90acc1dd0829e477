"""One worker process with the run's lanes: `python -m chaos.worker JSON`. Owns its start and stop; kills nobody.

It starts what `tasks/broker.py` starts: pool, presence, watch, and a Dramatiq worker whose actor drains.
"""

from __future__ import annotations

import json
import signal
import sys
import threading

import dramatiq
from dramatiq import Worker

from chaos.lanes import Outside, chaos_lanes
from dispatchlog.broker import make_broker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.engine.watch import Watch
from dispatchlog.logs import configure_logs
from dispatchlog.settings import get_settings

THREADS = 4
# Short, so that a gateway whose breaker opened is tried again while the run lasts.
BREAKER_PAUSE_SECONDS = 0.2


def main() -> None:
    """Run until SIGTERM; end at once where PostgreSQL cannot be reached, to be started again."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = get_settings()
    configure_logs(settings.log_level)
    lanes = chaos_lanes(Outside(**json.loads(sys.argv[1])))
    configure(
        settings.database_url,
        role=settings.application_role,
        name="dispatchlog worker",
        max_connections=THREADS + sum(lane.slots for lane in lanes.values()) + 4,
        by_index=True,
    )
    presence = Presence(settings.database_url, role=settings.application_role)
    presence.open()
    redis_url = settings.effective_redis_url
    broker = make_broker(settings.effective_broker_url)
    runtime = Runtime(presence, Waker(broker, redis_url), Breaker(redis_url, pause_seconds=BREAKER_PAUSE_SECONDS))
    watch = Watch(runtime, lambda: tuple(lanes.values()), redis_url)

    def drain_lane(lane_name: str) -> None:
        if lane_name in lanes:
            drain(lanes[lane_name], runtime)

    dramatiq.actor(broker=broker, actor_name="chaos_drain", queue_name="chaos")(drain_lane)
    worker = Worker(broker, worker_threads=THREADS)
    watch.start()
    worker.start()
    while not stop.wait(1.0):
        pass
    runtime.stopping.set()
    worker.stop()
    watch.stop()
    presence.close()
    database.close_all()


if __name__ == "__main__":
    main()
