"""Metrics of attempts: how they ended and how long they took, by gateway. Owns how sums become metrics; counts nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from dispatchlog.engine.attempt_counts import (
    BOUNDS,
    NOTHING_SENT,
    AttemptCount,
    attempt_counts,
    uncounted_attempts,
)

# MSA-1 of an acknowledgement is its attempt's class.
_ACKNOWLEDGED = ("AA", "AE", "AR", "CA", "CE", "CR")


def attempt_metrics() -> Iterator[Metric]:
    """Everything about attempts, from what the scheduler has added up.

    Raises:
        peewee.DatabaseError: PostgreSQL did not answer.
    """
    counts = attempt_counts()
    yield _outcomes(counts)
    yield _repeats(counts)
    yield _seconds(counts)
    yield _acknowledgements(counts)
    yield GaugeMetricFamily(
        "dispatchlog_uncounted_attempts",
        "Newest attempts that the counters leave out until they have ended and are added up.",
        value=uncounted_attempts(),
    )


def _outcomes(counts: Sequence[AttemptCount]) -> Metric:
    family = CounterMetricFamily(
        "dispatchlog_attempts", "Attempts that ended, by how.", labels=["lane", "gateway", "outcome", "class"]
    )
    sums: dict[tuple[str, str, str, str], int] = defaultdict(int)
    for each in counts:
        sums[each.lane, each.gateway, each.outcome, each.class_] += each.number
    for labels, number in sums.items():
        family.add_metric(labels, number)
    return family


def _repeats(counts: Sequence[AttemptCount]) -> Metric:
    family = CounterMetricFamily(
        "dispatchlog_retries", "Attempts that were not the first of their dispatch.", labels=["lane", "gateway"]
    )
    sums: dict[tuple[str, str], int] = defaultdict(int)
    for each in counts:
        sums[each.lane, each.gateway] += each.repeats
    for labels, number in sums.items():
        family.add_metric(labels, number)
    return family


def _seconds(counts: Sequence[AttemptCount]) -> Metric:
    family = HistogramMetricFamily(
        "dispatchlog_attempt_seconds", "How long attempts took that reached for the provider.", labels=["gateway"]
    )
    spans: dict[str, list[int]] = {}
    sums: dict[str, float] = defaultdict(float)
    for each in counts:
        if each.bucket != NOTHING_SENT:
            spans.setdefault(each.gateway, [0] * (len(BOUNDS) + 1))[each.bucket] += each.number
            sums[each.gateway] += each.seconds
    for gateway, numbers in spans.items():
        ends = [*map(str, BOUNDS), "+Inf"]
        buckets = [(end, float(sum(numbers[: place + 1]))) for place, end in enumerate(ends)]
        family.add_metric([gateway], buckets=buckets, sum_value=sums[gateway])
    return family


def _acknowledgements(counts: Sequence[AttemptCount]) -> Metric:
    family = CounterMetricFamily(
        "dispatchlog_hl7_acknowledgements", "Acknowledgements of HL7 messages, by MSA-1.", labels=["code"]
    )
    for code in _ACKNOWLEDGED:
        family.add_metric([code], sum(each.number for each in counts if each.class_ == code))
    return family
