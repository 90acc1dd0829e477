"""The worker processes' broker and what each of them starts and stops. Declares no actor."""

from __future__ import annotations

from functools import partial
from typing import Any

import dramatiq
import dramatiq.broker
from dramatiq.middleware import Middleware

from dispatchlog.alert_watch import AlertWatch
from dispatchlog.broker import get_broker, get_waker
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.runtime import Runtime
from dispatchlog.settings import get_settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import events, polling, waking
from dispatchlog.systems.outreach import events as outreach_events
from dispatchlog.systems.outreach import inbound
from dispatchlog.systems.outreach import waking as outreach_waking
from dispatchlog.systems.outreach.campaigns import running
from dispatchlog.tracing import set_trace_id
from dispatchlog.worker import WorkerProcess


class WorkerMiddleware(Middleware):
    """Gives each worker process its connection pool, its presence and its watch."""

    def __init__(self) -> None:
        self._process: WorkerProcess | None = None
        self._alerts: AlertWatch | None = None

    @property
    def runtime(self) -> Runtime | None:
        """The process's runtime; None where no worker has been started."""
        return None if self._process is None else self._process.runtime

    @staticmethod
    def lanes() -> tuple[Lane, ...]:
        """The lanes this process works on."""
        return registry.chosen(get_settings().worker_lanes)

    def after_process_boot(self, broker: dramatiq.Broker) -> None:
        settings = get_settings()
        self._process = WorkerProcess(
            settings,
            self.lanes,
            waker=get_waker(),
            threads=settings.worker_threads,
            alone=bool(settings.worker_lanes),
            errors_apart=True,
            others={
                waking.EVENTS: events.apply_all,
                waking.POLLS: polling.poll_all,
                outreach_waking.EVENTS: partial(
                    outreach_waking.take_up, outreach_waking.EVENTS, outreach_events.apply_all
                ),
                outreach_waking.INBOUND: partial(outreach_waking.take_up, outreach_waking.INBOUND, inbound.process_all),
                outreach_waking.CAMPAIGNS: partial(outreach_waking.take_up, outreach_waking.CAMPAIGNS, running.run),
            },
        )
        self._process.start()
        self._alerts = AlertWatch(settings, registry.lanes, kind="worker")
        self._alerts.start()

    def before_process_message(self, broker: dramatiq.Broker, message: Any) -> None:
        set_trace_id("")  # what this thread did before is another's story

    def before_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        if self._alerts is not None:
            self._alerts.stop()
        if self._process is not None:
            self._process.stop_claiming()

    def after_worker_shutdown(self, broker: dramatiq.Broker, worker: Any) -> None:
        if self._process is not None:
            self._process.close()


worker_process = WorkerMiddleware()
broker = get_broker()
broker.add_middleware(worker_process)
if dramatiq.broker.global_broker is None:
    # `dramatiq tasks` looks for the global broker; an upstream service that has set its own keeps it.
    dramatiq.set_broker(broker)
