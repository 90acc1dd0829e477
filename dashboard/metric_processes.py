"""Metrics of processes and what they share: connections, the broker's queues, the scheduler's jobs. Owns their queries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dashboard.health import ALIVE_SECONDS, BrokerHealth
from dispatchlog.engine.database import fetch_all, fetch_one
from dispatchlog.engine.presence import LEADER_LOCK
from dispatchlog.engine.tallies import Kept
from dispatchlog.systems import registry

# Who has connections: by the second word of the name that each connection has. Anybody else's are `other`.
KINDS = ("worker", "scheduler", "dashboard", "sockets")
_OF_THE_DASHBOARD = ("webhooks", "live")


def process_metrics(broker: BrokerHealth, kept: Kept) -> Iterator[Metric]:
    """Everything about processes, with what they keep together.

    Raises:
        peewee.DatabaseError: PostgreSQL did not answer.
    """
    yield from _connections()
    yield _waits(kept, "pool_waits", "How often a thread had to wait for one of its process's connections.")
    yield _waits(kept, "pool_wait_seconds", "For how long threads waited for them.")
    queues = GaugeMetricFamily(
        "dispatchlog_broker_queue_messages", "Messages that wait in the broker.", labels=["queue"]
    )
    for queue, number in broker.waiting.items():
        queues.add_metric([queue], number)
    yield queues
    rescued = CounterMetricFamily(
        "dispatchlog_rescued", "Dispatches taken over from workers that died.", labels=["lane"]
    )
    for lane in registry.lanes():
        rescued.add_metric([lane.name], kept.get("rescued", {}).get((lane.name,), 0))
    yield rescued
    yield from _jobs(kept)
    yield from _leader()


def _connections() -> Iterator[Metric]:
    found: Counter[str] = Counter(dict.fromkeys((*KINDS, "other"), 0))
    for name, number in fetch_all(
        "SELECT application_name, count(*) FROM pg_stat_activity WHERE datname = current_database() GROUP BY 1"
    ):
        found[_kind_of(name or "")] += number
    family = GaugeMetricFamily(
        "dispatchlog_database_connections", "Open connections to the database.", labels=["process"]
    )
    for kind, number in found.items():
        family.add_metric([kind], number)
    yield family
    most = fetch_one("SELECT current_setting('max_connections')::int")[0]
    yield GaugeMetricFamily("dispatchlog_database_connections_max", "How many PostgreSQL allows.", value=most)


def _kind_of(name: str) -> str:
    words = name.split()
    kind = words[1] if len(words) > 1 and words[0] == "dispatchlog" else ""
    if kind in _OF_THE_DASHBOARD:
        return "dashboard"
    return kind if kind in KINDS else "other"


def _waits(kept: Kept, name: str, words: str) -> Metric:
    family = CounterMetricFamily(f"dispatchlog_{name}", words, labels=["process"])
    for kind in ("worker", "scheduler", "dashboard"):
        family.add_metric([kind], kept.get(name, {}).get((kind,), 0))
    return family


def _jobs(kept: Kept) -> Iterator[Metric]:
    def gauge(name: str, words: str, tally: str) -> Metric:
        family = GaugeMetricFamily(f"dispatchlog_{name}", words, labels=["job_name"])
        for labels, value in sorted(kept.get(tally, {}).items()):
            family.add_metric(labels, value)
        return family

    yield gauge("job_seconds", "How long the scheduler's job took when it last ran.", "job_seconds")
    yield gauge("job_last_run_timestamp_seconds", "When it last ran to its end.", "job_last_run")
    yield gauge("job_period_seconds", "How often it is to run.", "job_period")
    failures = CounterMetricFamily(
        "dispatchlog_job_failures", "How often a job of the scheduler raised an error.", labels=["job_name"]
    )
    for labels in sorted(kept.get("job_period", {})):
        failures.add_metric(labels, kept.get("job_failures", {}).get(labels, 0))
    yield failures


def _leader() -> Iterator[Metric]:
    since, locks = fetch_one(
        "SELECT (SELECT extract(epoch FROM max(started_at))::float8 FROM"
        "   (SELECT kind, started_at, stopped_at, last_seen_at FROM dispatch_workers"
        "     ORDER BY last_seen_at DESC LIMIT 1000) w"
        "   WHERE kind = 'scheduler' AND stopped_at IS NULL AND last_seen_at > now() - %s * interval '1 s'),"
        " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s AND objid = %s AND granted"
        "   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))",
        (ALIVE_SECONDS, *LEADER_LOCK),
    )
    yield GaugeMetricFamily("dispatchlog_scheduler_leads", "1 while a scheduler holds the lead.", value=locks)
    leading = GaugeMetricFamily(
        "dispatchlog_scheduler_leads_since_timestamp_seconds", "Since when the present scheduler leads."
    )
    if since is not None:
        leading.add_metric([], since)
    yield leading
