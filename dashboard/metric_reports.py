"""Metrics of what comes back and of messages to patients: webhooks, what waits of them, today's figures. Owns queries."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dispatchlog.engine.database import fetch_all, fetch_one
from dispatchlog.engine.tallies import Kept
from dispatchlog.systems.outreach import silence
from dispatchlog.systems.outreach.states import Channel
from dispatchlog.systems.outreach.stats.reading import COUNTS

_COURIER = """
SELECT coalesce(max(extract(epoch FROM clock_timestamp() - received_at)), 0)::float8 FROM
    (SELECT received_at FROM courier_events WHERE applied_at IS NULL ORDER BY id LIMIT 1) e
"""
_TODAY = f"""
SELECT channel, {", ".join(f"sum({name}_count)::bigint" for name in COUNTS)} FROM comm_stats
WHERE date = (now() AT TIME ZONE 'UTC')::date GROUP BY channel
"""


def report_metrics(kept: Kept) -> Iterator[Metric]:
    """Everything about what comes back, with what processes keep together.

    Raises:
        peewee.DatabaseError: PostgreSQL did not answer.
    """
    webhooks = CounterMetricFamily(
        "dispatchlog_webhooks", "Webhooks by what became of them.", labels=["sender", "result"]
    )
    for labels, number in sorted(kept.get("webhooks", {}).items()):
        webhooks.add_metric(labels, number)
    yield webhooks
    waiting = silence.waiting_seconds()
    untaken = GaugeMetricFamily(
        "dispatchlog_untaken_age_seconds",
        "How old the oldest is that was told and is not taken up; 0: none.",
        labels=["what"],
    )
    untaken.add_metric(["courier_events"], fetch_one(_COURIER)[0])
    untaken.add_metric(["outreach_events"], waiting.get("events", 0.0))
    untaken.add_metric(["outreach_answers"], waiting.get("answers", 0.0))
    yield untaken
    today = GaugeMetricFamily(
        "dispatchlog_outreach_today",
        "Messages to patients sent today (UTC), by how far they came.",
        labels=["channel", "step"],
    )
    known = {row[0]: row[1:] for row in fetch_all(_TODAY)}
    for channel in Channel:
        for step, number in zip(COUNTS, known.get(channel, [0] * len(COUNTS)), strict=True):
            today.add_metric([channel.value, step], number)
    yield today
