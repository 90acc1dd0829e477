"""What a process needs that claims and sends: pool, presence, breaker, watch. Owns their order of start and end."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dispatchlog.engine.breaker import Breaker
from dispatchlog.engine.database import configure, database
from dispatchlog.engine.lanes import Lane
from dispatchlog.engine.presence import Presence
from dispatchlog.engine.runtime import Runtime
from dispatchlog.engine.wakeup import Waker
from dispatchlog.engine.watch import Watch
from dispatchlog.logs import configure_logs
from dispatchlog.settings import Settings


class WorkerProcess:
    """One per process. `lanes` gives the lanes it works on, `threads` is how many of its threads run actors."""

    def __init__(
        self,
        settings: Settings,
        lanes: Callable[[], Sequence[Lane]],
        *,
        waker: Waker,
        threads: int,
        breaker: Breaker | None = None,
    ) -> None:
        configure_logs(settings.log_level)
        configure(
            settings.database_url,
            role=settings.application_role,
            name="dispatchlog worker",
            max_connections=threads + sum(lane.slots for lane in lanes()) + 4,
            by_index=True,
        )
        presence = Presence(settings.database_url, role=settings.application_role)
        presence.open()
        redis_url = settings.effective_redis_url
        self.runtime = Runtime(presence, waker, breaker or Breaker(redis_url))
        self._watch = Watch(self.runtime, lanes, redis_url)

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
