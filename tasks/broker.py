"""The worker processes' broker and what each of them starts and stops. Declares no actor."""

from __future__ import annotations

from typing import Any

import dramatiq
import dramatiq.broker
from dramatiq.middleware import Middleware

from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.watch import Watch
from dispatchlog.logs import configure_logs
from dispatchlog.settings import get_settings
from dispatchlog.systems import registry


class WorkerProcess(Middleware):
    """Gives each worker process its connection pool, its presence and its watch."""

    def __init__(self) -> None:
        self.runtime: Runtime | None = None
        self._watch: Watch | None = None

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        settings = get_settings()
        configure_logs(settings.log_level)
        slots = sum(lane.slots for lane in registry.lanes())
        configure(
            settings.database_url,
            role=settings.application_role,
            name="dispatchlog worker",
            max_connections=settings.worker_threads + slots + 4,
            by_index=True,
        )
        presence = Presence(settings.database_url, role=settings.application_role)
        presence.open()
        self.runtime = Runtime(presence, get_waker(), Breaker(settings.effective_redis_url))
        self._watch = Watch(self.runtime, registry.lanes, settings.effective_redis_url)
        self._watch.start()

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        if self.runtime is not None:
            self.runtime.stopping.set()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        if self._watch is not None:
            self._watch.stop()
        if self.runtime is not None:
            self.runtime.presence.close()
            database.close_all()


worker_process = WorkerProcess()
broker = get_broker()
broker.add_middleware(worker_process)
if dramatiq.broker.global_broker is None:
    # `dramatiq tasks` looks for the global broker; an upstream service that has set its own keeps it.
    dramatiq.set_broker(broker)
