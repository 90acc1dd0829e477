"""What the metrics are: names, meaning and values. Owns their queries; each walks an index or reads a few rows."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from dashboard.health import BrokerHealth, broker_health, processes
from dashboard.metric_attempts import attempt_metrics
from dashboard.metric_processes import process_metrics
from dashboard.metric_reports import report_metrics
from dispatchlog.audit.standing import unsealed_seconds
from dispatchlog.engine.database import fetch_all, fetch_one
from dispatchlog.engine.holds import open_holds, targets
from dispatchlog.engine.lanes import Lane, gateway_names
from dispatchlog.engine.move_counts import Moves, count_moves, uncounted_moves
from dispatchlog.engine.states import Status
from dispatchlog.engine.tallies import tallies
from dispatchlog.systems import registry
from dispatchlog.systems.outreach.stats.rollup import behind_seconds

# A lane with more than this in doubt has one trouble, not that many.
MOST_IN_DOUBT = 10_000
BREAKER_STATES = ("closed", "open", "probing", "unknown")


def without_database(*, up: bool) -> Iterator[Metric]:
    """What can be said in any case."""
    build = {"version": version("dispatchlog"), "python": platform.python_version()}
    yield InfoMetricFamily("dispatchlog_build", "The running version.", build)
    yield _one("database_up", "Whether PostgreSQL answered this scrape.", float(up))


def with_database() -> Iterator[Metric]:
    """Everything else.

    Raises:
        peewee.DatabaseError: PostgreSQL did not answer.
    """
    lanes = registry.lanes()
    moves = count_moves()
    yield from _counters(lanes, moves)
    yield _by_status(lanes, moves)
    yield _one(
        "uncounted_moves", "Newest moves that the counters leave out until they are added up.", uncounted_moves()
    )
    yield _one(
        "figures_behind_seconds",
        "How old the oldest change of a message is that the figures have not added up yet.",
        behind_seconds(),
    )
    yield _one(
        "audit_unsealed_seconds",
        "How old the oldest row of an audit source is that no seal covers yet.",
        unsealed_seconds(),
    )
    yield from _queues(lanes)
    broker = broker_health()
    yield from _around(lanes, broker)
    yield from attempt_metrics()
    kept = tallies.read() if broker.answers else {}
    yield from process_metrics(broker, kept)
    yield from report_metrics(kept)


def _counters(lanes: Sequence[Lane], moves: Moves) -> Iterator[Metric]:
    def counter(name: str, words: str, after: Status, *before: str) -> Metric:
        family = CounterMetricFamily(f"dispatchlog_{name}", words, labels=["lane"])
        for lane in lanes:
            found = (n for (of, was, now), n in moves.items() if of == lane.name and now == after and was in before)
            family.add_metric([lane.name], sum(found))
        return family

    anywhere = tuple(Status)
    yield counter("created", "Dispatches that were made.", Status.PENDING, "")
    yield counter("sent", "Dispatches that were accepted by the provider.", Status.SENT, *anywhere)
    yield counter("failed", "Moves to FAILED, in doubt or not.", Status.FAILED, *anywhere)
    yield counter("cancelled", "Dispatches that were cancelled, or of no use any more.", Status.CANCELLED, *anywhere)
    yield counter("returned", "Claims given back or to be tried again.", Status.PENDING, Status.QUEUED)
    yield counter("reopened", "Failed dispatches that were put back.", Status.PENDING, Status.FAILED)


def _by_status(lanes: Sequence[Lane], moves: Moves) -> Metric:
    """What went into a status and did not come out of it is in it: no row is counted."""
    family = GaugeMetricFamily("dispatchlog_dispatches", "Dispatches by status.", labels=["lane", "status"])
    for lane in lanes:
        own = [(was, now, number) for (of, was, now), number in moves.items() if of == lane.name]
        for status in Status:
            inside = sum(number if now == status else -number for was, now, number in own if status in (was, now))
            family.add_metric([lane.name, status.value], max(0, inside))
    return family


def _queues(lanes: Sequence[Lane]) -> Iterator[Metric]:
    doubt = GaugeMetricFamily("dispatchlog_in_doubt", f"In doubt; {MOST_IN_DOUBT} at the most.", labels=["lane"])
    age = GaugeMetricFamily(
        "dispatchlog_oldest_due_age_seconds",
        "For how long the oldest due dispatch is due; 0: none is.",
        labels=["lane"],
    )
    held = GaugeMetricFamily(
        "dispatchlog_oldest_claim_age_seconds", "For how long a worker holds the oldest claimed one.", labels=["lane"]
    )
    sweep = GaugeMetricFamily(
        "dispatchlog_last_sweep_timestamp_seconds", "When the lane was last swept.", labels=["lane"]
    )
    for lane in lanes:
        number, seconds, claimed, swept = fetch_one(
            f"SELECT (SELECT count(*) FROM (SELECT FROM {lane.table} WHERE in_doubt LIMIT %s) d),"
            f" (SELECT extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM {lane.table}"
            "   WHERE status = 'PENDING' AND due_at <= now()),"
            f" (SELECT extract(epoch FROM clock_timestamp() - min(claimed_at))::float8 FROM {lane.table}"
            "   WHERE status = 'QUEUED'),"
            " (SELECT extract(epoch FROM max(occurs_at))::float8 FROM schedule_occurrences WHERE job = %s)",
            (MOST_IN_DOUBT, lane.sweep_job),
        )
        doubt.add_metric([lane.name], number)
        age.add_metric([lane.name], seconds or 0.0)
        held.add_metric([lane.name], claimed or 0.0)
        if swept is not None:
            sweep.add_metric([lane.name], swept)
    yield from (doubt, age, held, sweep)


def _around(lanes: Sequence[Lane], broker: BrokerHealth) -> Iterator[Metric]:
    breakers = GaugeMetricFamily(
        "dispatchlog_breaker_state", "1 for the state in which the gateway's breaker is.", labels=["gateway", "state"]
    )
    for gateway in sorted(gateway_names(lanes)):
        state = broker.circuit_of(gateway).state
        for each in BREAKER_STATES:
            breakers.add_metric([gateway, each], float(each == state))
    held = GaugeMetricFamily("dispatchlog_held", "1 while a person has paused it.", labels=["scope", "name"])
    paused = {each.target for each in open_holds()}
    for target in targets(lanes):
        held.add_metric([target.scope, target.name], float(target in paused))
    running = processes()
    alerts = GaugeMetricFamily("dispatchlog_alerts", "Alerts that are not over.", labels=["kind"])
    for kind, number in fetch_all("SELECT kind, count(*) FROM dispatch_alerts WHERE over_at IS NULL GROUP BY kind"):
        alerts.add_metric([kind], number)
    served = GaugeMetricFamily("dispatchlog_lane_served", "Whether a worker works on the lane.", labels=["lane"])
    for lane in lanes:
        served.add_metric([lane.name], float(running["worker"].serves(lane.name)))
    yield from (breakers, held, alerts, served)
    yield _one("broker_up", "Whether the broker answered.", float(broker.answers))
    yield _one("workers_alive", "Worker processes that were heard from lately.", running["worker"].alive)
    yield _one("schedulers_alive", "Schedulers that lead and were heard from lately.", running["scheduler"].alive)
    yield _one("schema_version", "Number of the newest applied migration.", _schema_version())


def _schema_version() -> int:
    names: Iterable[str] = (row[0] for row in fetch_all("SELECT name FROM schema_migration"))
    return max((int(name.partition("_")[0]) for name in names if name.partition("_")[0].isdecimal()), default=0)


def _one(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(f"dispatchlog_{name}", words, value=value)
