"""The thread in which a process looks for alerts and sends notices. Owns the thread; rules and sending are elsewhere."""

from __future__ import annotations

import os
import random
import socket
import threading
from collections.abc import Callable, Mapping, Sequence

import peewee
import psycopg2
import structlog

from dispatchlog.alert_notices import send_due
from dispatchlog.alerts import look_if_due
from dispatchlog.engine.breaker import Breaker, BreakerState
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.lanes import Lane, gateway_names
from dispatchlog.settings import Settings

log = structlog.get_logger(__name__)


class AlertWatch:
    """One per process. It needs the process's database pool, and takes one connection of it now and then."""

    def __init__(self, settings: Settings, lanes: Callable[[], Sequence[Lane]], *, kind: str) -> None:
        self._settings = settings
        self._lanes = lanes
        self._who = f"{kind}:{socket.gethostname()}:{os.getpid()}"
        self._breaker = Breaker(settings.effective_redis_url)
        self._stop = threading.Event()
        self._started = boottime()
        self._thread = threading.Thread(target=self._run, name="alerts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop after what it is doing; a notice being sent is finished or left to somebody else."""
        self._stop.set()

    def round(self) -> None:
        """Look if it is due, and send what there is to send.

        Raises:
            peewee.DatabaseError: PostgreSQL is away; so is everything else then.
        """
        lanes = self._lanes()
        up_seconds = boottime() - self._started
        look_if_due(self._settings, lanes, self._breakers(lanes), who=self._who, up_seconds=up_seconds)
        send_due(self._settings, who=self._who)

    def _breakers(self, lanes: Sequence[Lane]) -> Mapping[str, BreakerState]:
        return self._breaker.states(sorted(gateway_names(lanes)))

    def _run(self) -> None:
        # Not all processes at once: whoever comes first does it for all.
        while not self._stop.wait(self._settings.alert_check_seconds * random.uniform(0.5, 1.0)):  # noqa: S311  no secret
            try:
                self.round()
            except (psycopg2.Error, peewee.PeeweeException) as error:
                log.warning("ALERTS_WITHOUT_DATABASE", error=type(error).__name__)
            except Exception:
                log.exception("ALERTS_FAILED")
