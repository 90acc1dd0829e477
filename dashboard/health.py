"""Whether what sending needs is there: database, broker, workers, scheduler. Owns these checks; mends nothing.

The broker is asked in a thread of its own and not again for a while after silence, so that no page waits for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from itertools import chain

import redis

from dashboard.context import breaker, settings
from dispatchlog.alerts import NO_SCHEDULER, NO_WORKER
from dispatchlog.engine.breaker import BreakerState
from dispatchlog.engine.database import fetch_dicts
from dispatchlog.engine.lanes import Lane, gateway_names
from dispatchlog.engine.wakeup import redis_client
from dispatchlog.systems import registry
from dispatchlog.worker import queues

ALIVE_SECONDS = 10
# How long a page waits for the broker, and how long a broker that was silent is not waited for again.
PATIENCE_SECONDS = 0.25
SILENCE_SECONDS = 5.0
# From well to ill.
TROUBLE = {"closed": 0, "unknown": 1, "probing": 2, "open": 3}


@dataclass(frozen=True, slots=True)
class BrokerHealth:
    """Whether the broker answers, the circuits of the gateways, which it keeps, and how many messages wait by queue.

    With RabbitMQ nothing is known of its queues here: its own metrics tell.
    """

    answers: bool
    circuits: Mapping[str, BreakerState] = field(default_factory=dict)
    waiting: Mapping[str, int] = field(default_factory=dict)

    def circuit_of(self, gateway: str) -> BreakerState:
        """The circuit of the gateway of this name; `unknown` while the broker does not answer."""
        return self.circuits.get(gateway, BreakerState("closed" if self.answers else "unknown"))

    def circuit(self, lane: Lane) -> BreakerState:
        """The circuit of the lane's gateway; of several the one in most trouble, `unknown` while the broker is silent."""
        found = [self.circuit_of(gateway.name) for gateway in lane.gateways()] or [self.circuit_of(lane.gateway.name)]
        return max(found, key=lambda circuit: TROUBLE[circuit.state])


@dataclass(frozen=True, slots=True)
class Processes:
    """The live processes of one kind by their heartbeats (every 2 s), and when the latest of all was seen.

    `every_lane` says whether one of them works on every lane, `lanes` on which those work that are told theirs.
    """

    alive: int = 0
    hosts: int = 0
    last_seen_at: datetime | None = None
    every_lane: bool = False
    lanes: frozenset[str] = frozenset()

    def serves(self, lane_name: str) -> bool:
        """Whether one of them works on this lane."""
        return self.every_lane or lane_name in self.lanes


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the whole: whether it is there, what follows while it is not, and the alerts that say the same."""

    name: str
    icon: str
    works: bool
    words: str
    missing: str = ""
    consequence: str = ""
    alerts: frozenset[tuple[str, str]] = frozenset()


class PatientBroker:
    """Answers what `ask` answers if that comes within PATIENCE_SECONDS, else that the broker is away."""

    def __init__(self, ask: Callable[[], BrokerHealth]) -> None:
        self._ask = ask
        self._guard = threading.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="broker-health")
        self._asking: Future[BrokerHealth] | None = None
        self._silent_until = 0.0

    def health(self) -> BrokerHealth:
        """As it is now; visitors who come together share one question."""
        with self._guard:
            if time.monotonic() < self._silent_until:
                return BrokerHealth(answers=False)
            if self._asking is None or self._asking.done():
                self._asking = self._thread.submit(self._ask)
            asking = self._asking
        try:
            found = asking.result(timeout=PATIENCE_SECONDS)
        except (TimeoutError, redis.RedisError):
            found = BrokerHealth(answers=False)
        if not found.answers:
            self._silent_until = time.monotonic() + SILENCE_SECONDS
        return found


def broker_health() -> BrokerHealth:
    """The settings' broker and the circuits of every gateway; takes PATIENCE_SECONDS at the most."""
    return _patient_broker(settings().effective_redis_url, settings().effective_broker_url).health()


@lru_cache(maxsize=4)
def _patient_broker(redis_url: str, broker_url: str) -> PatientBroker:
    circuits = breaker()

    def ask() -> BrokerHealth:
        redis_client(redis_url).ping()
        states = circuits.states(sorted(gateway_names(registry.lanes())))
        return BrokerHealth(answers=True, circuits=states, waiting=_waiting(broker_url))

    return PatientBroker(ask)


def _waiting(broker_url: str) -> Mapping[str, int]:
    if not broker_url.startswith("redis"):
        return {}
    names = queues(registry.lanes())
    with redis_client(broker_url).pipeline(transaction=False) as pipe:
        for name in names:
            pipe.llen(f"dramatiq:{name}")
        return dict(zip(names, pipe.execute(), strict=True))


def processes() -> Mapping[str, Processes]:
    """The processes of kind `worker` and `scheduler`."""
    rows = fetch_dicts(
        "SELECT kind, count(*) FILTER (WHERE alive) AS alive, count(DISTINCT host) FILTER (WHERE alive) AS hosts,"
        " max(last_seen_at) AS last_seen_at, bool_or(alive AND lanes IS NULL) AS every_lane,"
        " coalesce(jsonb_agg(DISTINCT lanes) FILTER (WHERE alive AND lanes IS NOT NULL), '[]') AS lanes"
        " FROM (SELECT kind, host, lanes, last_seen_at,"
        "  stopped_at IS NULL AND last_seen_at > now() - %s * interval '1 s' AS alive"
        "  FROM dispatch_workers ORDER BY last_seen_at DESC LIMIT 1000) w GROUP BY kind",
        (ALIVE_SECONDS,),
    )
    seen = {row.pop("kind"): Processes(**{**row, "lanes": frozenset(chain(*row["lanes"]))}) for row in rows}
    return {kind: seen.get(kind, Processes()) for kind in ("worker", "scheduler")}


def unserved(workers: Processes, lanes: Sequence[Lane]) -> list[Lane]:
    """Those of the lanes on which none of these workers works."""
    return [lane for lane in lanes if not workers.serves(lane.name)]


def parts(broker: BrokerHealth, running: Mapping[str, Processes], lanes: Sequence[Lane]) -> Sequence[Part]:
    """Everything that sending from these lanes needs. That this page is shown at all is the database's part."""
    workers, schedulers = running["worker"], running["scheduler"]
    return (
        Part("Database", "database", works=True, words="answers"),
        Part(
            "Broker",
            "lane",
            works=broker.answers,
            words="answers" if broker.answers else "does not answer",
            missing="The broker does not answer",
            consequence="Nothing is lost and workers go on by their own clocks, but a paused provider cannot be seen here.",
        ),
        _workers(workers, lanes),
        Part(
            "Scheduler",
            "clock",
            works=schedulers.alive > 0,
            words="running" if schedulers.alive else "not running",
            missing="No scheduler is running",
            consequence="No sweep comes, so what waits for one stays where it is.",
            alerts=frozenset({(NO_SCHEDULER, "")}),
        ),
    )


def _workers(workers: Processes, lanes: Sequence[Lane]) -> Part:
    if not workers.alive:
        return Part(
            "Workers",
            "server",
            works=False,
            words="none running",
            missing="No worker is running",
            consequence="Nothing is being sent. Dispatches wait and are sent when a worker starts.",
            alerts=frozenset({(NO_WORKER, "")}),
        )
    machines = "1 machine" if workers.hosts == 1 else f"{workers.hosts} machines"
    words = f"{workers.alive} on {machines}"
    without = unserved(workers, lanes)
    titles = ", ".join(lane.title for lane in without)
    return Part(
        "Workers",
        "server",
        works=not without,
        words=f"{words}, none for {titles}" if without else words,
        missing=f"No worker is running for {titles}",
        consequence="Nothing of it is being sent. It waits, and is sent when a worker of that lane starts.",
        alerts=frozenset((NO_WORKER, lane.name) for lane in without),
    )
