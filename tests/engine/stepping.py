"""Workers that stop at every crash point until they are told to go on, to die there, or to lose their lock meanwhile.

A worker is a thread that runs the real send path on a real PostgreSQL; the order of everything is the test's.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from dispatchlog.engine import delivery
from dispatchlog.engine.breaker import Allowance
from dispatchlog.engine.database import connected
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.gateways.fake import FakeGateway, Play

from .lane import APPLICATION_ROLE, owner
from .processes import PATIENCE_SECONDS


class Killed(BaseException):
    """What a worker's thread dies of: nothing after it runs but what frees this process's own memory."""


class LateGateway(FakeGateway):
    """A provider to which a paused sender can still write, however late."""

    def _hang(self, play: Play, deadline: Any) -> None:
        """Never gives up."""


class AllowingBreaker:
    """Always closed: what a breaker holds back is tested elsewhere."""

    def allow(self, gateway: str, wanted: int) -> Allowance:
        return Allowance(wanted)

    def report(self, gateway: str, *, good: int, bad: int, away: int) -> None:
        """Counts nothing."""

    def give_back(self, gateway: str, allowance: Allowance, *, used: int) -> None:
        """Nothing was taken."""


class ManualWaker:
    """No broker: what is due is found by looking."""

    redis_url = ""

    def clear(self, lane: Lane) -> None:
        """Nothing to clear."""

    def wake(self, lane: Lane) -> None:
        """Nobody to wake."""


@dataclass
class Worker:
    """One worker process's life: its lock, and the thread that carries at most one batch."""

    url: str
    lane: Lane
    presence: Presence = field(init=False)
    runtime: Runtime = field(init=False)
    at: str = ""
    failure: BaseException | None = None
    _thread: threading.Thread | None = None
    _go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _stopped: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _kill: bool = False

    def __post_init__(self) -> None:
        self.presence = Presence(self.url, role=APPLICATION_ROLE)
        self.presence.open()
        self.runtime = Runtime(self.presence, ManualWaker(), AllowingBreaker(), rates=object())  # type: ignore[arg-type]

    @property
    def busy(self) -> bool:
        return self._thread is not None

    def step(self) -> None:
        """Go on to the next crash point, or to the end of the batch; begin one if there is none."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._deliver, daemon=True)
            self._thread.worker = self  # type: ignore[attr-defined]
            self._thread.start()
        else:
            self._go.release()
        assert self._stopped.acquire(timeout=PATIENCE_SECONDS), f"the worker hangs after {self.at or 'its start'}"
        if self.failure is not None:
            raise self.failure

    def die(self) -> None:
        """End where it stands, as kill -9 does: its lock is free and its process is gone."""
        number = self.presence.worker_id
        if self._thread is not None:
            self._kill = True
            self.step()
        self.presence._stop.set()
        self.presence._drop()
        with owner(self.url) as cursor:  # all of them share this test's process, which is not gone
            cursor.execute("UPDATE dispatch_workers SET process_started = 'gone' WHERE id = %s", (number,))

    def lose_lock(self) -> None:
        """PostgreSQL ends the session that holds the lock; the process lives on."""
        with self.presence._guard:
            connection = self.presence._connection
            if connection is None:
                return
            pid = connection.info.backend_pid
        with owner(self.url) as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))

    def _deliver(self) -> None:
        try:
            with connected():
                deliver = delivery.deliver_routes if self.lane.is_routed else delivery.deliver_batch
                deliver(self.lane, self.runtime)
        except Killed:
            pass
        except BaseException as failure:  # noqa: BLE001  handed over to the machine
            self.failure = failure
        finally:
            self.at, self._thread = "", None
            self._stopped.release()

    def reach(self, name: str) -> None:
        """Called by the worker's own thread at a crash point."""
        self.at = name
        self._stopped.release()
        self._go.acquire()
        if self._kill:
            raise Killed


def crash_point(name: str) -> None:
    """Stands in for the engine's: where a process may end, this one waits to be told."""
    worker = getattr(threading.current_thread(), "worker", None)
    if worker is not None:
        worker.reach(name)
