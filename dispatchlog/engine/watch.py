"""A worker process's own clock: wakes its lanes on a nudge or when a row falls due, rescues, and asks about doubts.

Owns the threads that drain without a message; what a drain does is in `delivery`. With this the broker is only a hint:
nudges arrive in a millisecond or two, and without any broker a due row is found within half a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import MappingProxyType

import peewee
import psycopg2
import redis
import structlog

from dispatchlog.engine.claims import seconds_until_due
from dispatchlog.engine.contact import Contact
from dispatchlog.engine.database import DATABASE_AWAY, connected
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.delivery import drain
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.lookup import look_up_due
from dispatchlog.engine.rescue import rescue
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import NUDGES, redis_client, redis_contact

log = structlog.get_logger(__name__)

TICK_SECONDS = 0.5


class Watch:
    """One per worker process. Its pool has a thread for every slot of every lane, so hung lanes cannot starve others.

    With `nudged` False it takes no nudges, which would be lost to the workers of the lanes that are not its own. `others`
    is what else is done at every nudge of its name and at every tick, in a thread of the pool; cheap where nothing is.
    """

    def __init__(
        self,
        runtime: Runtime,
        lanes: Callable[[], Sequence[Lane]],
        redis_url: str,
        *,
        nudged: bool = True,
        others: Mapping[str, Callable[[], object]] = MappingProxyType({}),
    ) -> None:
        self._runtime = runtime
        self._lanes = lanes
        self._redis_url = redis_url
        self._nudged = nudged
        self._others = others
        self._guard = threading.Lock()
        self._waiting: set[str] = set()
        self._asking: set[str] = set()
        self._next_tick = 0.0
        self._database = Contact("DATABASE", meanwhile="nothing is claimed; what was sent is recorded when it is back")
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        threads = sum(lane.slots for lane in lanes()) + len(others) + 1
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="drain")

    def start(self) -> None:
        self._thread.start()

    def stop(self, *, timeout_seconds: float = 30.0) -> None:
        """Stop after the rows now being sent; what is claimed and not begun is given back by its drain."""
        self._runtime.stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_seconds)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _run(self) -> None:
        while not self._runtime.stopping.is_set():
            try:
                self._round()
            except Exception:
                # Without this thread nobody would rescue or retry any more, and the process would look alive.
                log.exception("WATCH_FAILED")
                self._runtime.stopping.wait(TICK_SECONDS)

    def _round(self) -> None:
        """Listen for nudges until the next tick is due, then tick."""
        for name in self._nudges(max(0.005, self._next_tick - boottime())):
            for lane in self._lanes():
                if lane.name == name:
                    self._submit(lane)
            self._do_other(name)
        if boottime() >= self._next_tick:
            self._next_tick = boottime() + min(TICK_SECONDS, self._tick())

    def _nudges(self, wait_seconds: float) -> list[str]:
        """Lane names pushed since; waits up to `wait_seconds` for the first. Names from the list are untrusted."""
        if not self._nudged:
            self._runtime.stopping.wait(wait_seconds)
            return []
        try:
            popped = redis_client(self._redis_url).blpop([NUDGES], timeout=wait_seconds)
        except redis.RedisError as error:
            redis_contact(self._redis_url).lost(error)
            self._runtime.stopping.wait(wait_seconds)
            return []
        redis_contact(self._redis_url).found()
        return [str(popped[1])] if popped else []

    def _tick(self) -> float:
        """Look after every lane; seconds until the soonest due row comes back."""
        soonest = TICK_SECONDS
        for lane in self._lanes():
            try:
                with connected():
                    worker_id = self._runtime.presence.worker_id
                    rescue(lane, worker_id=worker_id, live_tokens=self._runtime.live_tokens())
                    due_in = seconds_until_due(lane)
            except DATABASE_AWAY as error:
                self._database.lost(error)
                return TICK_SECONDS
            except (psycopg2.Error, peewee.PeeweeException, DispatchlogError) as error:
                log.warning("WATCH_TICK_FAILED", lane=lane.name, error=type(error).__name__)
                continue
            self._database.found()
            if due_in is not None and due_in <= 0:
                self._submit(lane)
            elif due_in is not None:
                soonest = min(soonest, due_in)
            self._ask(lane)
        for name in self._others:
            self._do_other(name)
        return soonest

    def _do_other(self, name: str) -> None:
        if name not in self._others:
            return
        with self._guard:
            if name in self._waiting:
                return
            self._waiting.add(name)
        self._pool.submit(self._other, name)

    def _other(self, name: str) -> None:
        with self._guard:
            self._waiting.discard(name)
        try:
            self._others[name]()
        except DATABASE_AWAY as error:
            self._database.lost(error)
        except Exception:
            log.exception("WATCH_TASK_FAILED", task=name)

    def _submit(self, lane: Lane) -> None:
        with self._guard:
            if lane.name in self._waiting:
                return
            self._waiting.add(lane.name)
        self._pool.submit(self._drain, lane)

    def _drain(self, lane: Lane) -> None:
        with self._guard:
            self._waiting.discard(lane.name)
        try:
            drain(lane, self._runtime)
        except Exception:
            log.exception("DRAIN_FAILED", lane=lane.name)

    def _ask(self, lane: Lane) -> None:
        with self._guard:
            if lane.name in self._asking:
                return
            self._asking.add(lane.name)
        self._pool.submit(self._look_up, lane)

    def _look_up(self, lane: Lane) -> None:
        try:
            with connected():
                if not self._runtime.holds.keeps_gateway(lane):
                    look_up_due(lane, worker_id=self._runtime.presence.worker_id)
        except (psycopg2.Error, peewee.PeeweeException, DispatchlogError) as error:
            log.warning("LOOK_UP_STOPPED", lane=lane.name, error=type(error).__name__)
        finally:
            with self._guard:
                self._asking.discard(lane.name)
