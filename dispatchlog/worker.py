"""What a process needs that claims and sends: pool, presence, breaker, watch. Owns their order of start and end."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from dispatchlog import bulk
from dispatchlog.broker import get_waker
from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.spans import configure_spans
from dispatchlog.engine.tallies import tallies
from dispatchlog.engine.wakeup import Waker
from dispatchlog.engine.watch import Watch
from dispatchlog.logs import configure_logs
from dispatchlog.settings import Settings
from dispatchlog.systems import registry
from dispatchlog.systems.courier import waking
from dispatchlog.systems.outreach import waking as outreach_waking


def queues_of(lanes: str) -> list[str]:
    """Dramatiq's arguments for a worker of these lanes alone (`registry.chosen`): none where it works on all of them.

    Bulk actions send nothing themselves, and every worker carries them out; the same with what couriers, providers of
    messages, patients and the core platform told.

    Raises:
        UnknownLane: there is none of a name.
    """
    chosen = registry.chosen(lanes)
    if not lanes:
        return []
    return ["--queues", *queues(chosen)]


def queues(lanes: Sequence[Lane]) -> list[str]:
    """The broker's queues that a worker of these lanes listens to."""
    everybodys = {bulk.QUEUE, waking.EVENTS, *outreach_waking.QUEUES}
    return sorted({*everybodys, *(queue for lane in lanes for queue in (lane.queue, *lane.inlets))})


class WorkerProcess:
    """One per process. `lanes` gives the lanes it works on, `threads` is how many of its threads run actors, `others` is
    what it does besides (`Watch`).

    With `alone`, other workers have lanes that this one has not. With `errors_apart`, only warnings and worse are logged on
    standard error.
    """

    def __init__(
        self,
        settings: Settings,
        lanes: Callable[[], Sequence[Lane]],
        *,
        waker: Waker,
        threads: int,
        breaker: Breaker | None = None,
        alone: bool = False,
        errors_apart: bool = False,
        others: Mapping[str, Callable[[], object]] = MappingProxyType({}),
    ) -> None:
        configure_logs(settings.log_level, errors_apart=errors_apart)
        tallies.configure(settings.effective_redis_url, process="worker")
        configure_spans(settings.otlp_url, process="worker")
        configure(
            settings.database_url,
            role=settings.application_role,
            name="dispatchlog worker",
            max_connections=threads + sum(lane.slots for lane in lanes()) + len(others) + 4,
            by_index=True,
        )
        names = [lane.name for lane in lanes()] if alone else None
        presence = Presence(settings.database_url, role=settings.application_role, lanes=names)
        presence.open()
        redis_url = settings.effective_redis_url
        self.runtime = Runtime(presence, waker, breaker or Breaker(redis_url))
        self._watch = Watch(self.runtime, lanes, redis_url, nudged=not alone, others=others)

    def start(self) -> None:
        """Begin to watch the clock and the nudges."""
        self._watch.start()

    def stop_claiming(self) -> None:
        """Let what is claimed be finished and claim no more; to be called before the actors are stopped."""
        self.runtime.stopping.set()

    def close(self) -> None:
        """End after the actors have: give up the presence and the connections."""
        self._watch.stop()
        self.runtime.presence.close()
        database.close_all()


@contextmanager
def by_hand(settings: Settings) -> Iterator[Runtime]:
    """A runtime for a command that sends by itself and then ends; SIGINT and SIGTERM let it finish what it has begun."""
    configure(settings.database_url, role=settings.application_role, name="dispatchlog by hand", max_connections=4)
    presence = Presence(settings.database_url, role=settings.application_role, kind="by hand")
    presence.open()
    runtime = Runtime(presence, get_waker(), Breaker(settings.effective_redis_url))
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: runtime.stopping.set()) for number in numbers]
    try:
        yield runtime
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
        presence.close()
        database.close_all()
