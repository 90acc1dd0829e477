"""Owns reading /metrics as Prometheus does."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.dashboard.browsing import Dashboard

Samples = dict[str, dict[tuple[str, ...], float]]


def scrape(dash: Dashboard, **arguments: Any) -> Samples:
    """Every sample by its name and the values of its labels, which are sorted by name."""
    answer = dash.visitor().client.get("/metrics", **arguments)
    assert answer.status_code == 200, answer.text
    found: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found
