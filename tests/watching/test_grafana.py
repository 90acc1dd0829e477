"""The dashboard for Grafana: Prometheus takes every expression of it, and it knows every metric there is and no other."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dashboard import metrics
from dispatchlog.engine.attempt_counts import keep_all_attempt_counts
from dispatchlog.engine.database import connected, execute
from dispatchlog.engine.tallies import Clocked, tallies
from tests.dashboard.browsing import Dashboard
from tests.dashboard.samples import form_in, make_due, scheduler_alive
from tests.watching.scraping import scrape

ROOT = Path(__file__).parents[2]
BOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "dispatchlog.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
EXPRESSIONS = [target["expr"] for panel in PANELS for target in panel.get("targets", ())]
RULES = (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()
NAMES = re.compile(r"\bdispatchlog_[a-z0-9_]+")


def test_it_is_as_grafana_reads_it() -> None:
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= BOARD.keys()
    ids = [panel["id"] for panel in PANELS]
    assert len(set(ids)) == len(ids)
    places: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24, panel["title"]
        assert not cells & places, panel["title"]
        places |= cells
        assert panel["title"]
        assert panel["type"] in ("row", "timeseries", "stat", "heatmap")
        assert (panel["type"] == "row") == ("targets" not in panel)
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)
    titles = [panel["title"] for panel in PANELS]
    assert len(set(titles)) == len(titles)


def test_every_variable_is_known_and_used() -> None:
    known = {each["name"] for each in BOARD["templating"]["list"]} | {"__rate_interval"}
    used = set(re.findall(r"\$\{?(\w+)\}?", json.dumps(BOARD)))
    assert used - {"__rate_interval"} == known - {"__rate_interval"}


def test_prometheus_takes_every_expression(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "5m").replace("$", "")}
        for number, expression in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))  # JSON is YAML
    ended = subprocess.run(["promtool", "check", "rules", path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"{len(EXPRESSIONS)} rules found" in ended.stdout


@pytest.fixture
def everything(dash: Dashboard, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all samples, once there is one of each."""
    monkeypatch.setattr(metrics, "CACHED_SECONDS", 0.0)
    with connected():
        form_in("SENT")
        make_due("health_information")
        scheduler_alive()
        execute("INSERT INTO dispatch_alerts (kind, subject, summary) VALUES ('queue_age', 'hl7', '')")
        keep_all_attempt_counts(started_by="test")
    with Clocked("job", "replays"):
        tallies.put("job_period", "replays", value=2)
    tallies.add("webhooks", "twilio", "taken")
    return set(scrape(dash))


def test_every_metric_it_names_is_there_and_every_one_is_shown(everything: set[str]) -> None:
    shown = {name for text in EXPRESSIONS for name in NAMES.findall(text)}
    alerted = set(NAMES.findall("\n".join(re.findall(r"^ +(?:expr: .*|rate.*|> .*)$", RULES, re.MULTILINE))))
    assert shown - everything == set()
    assert alerted - everything == set()
    created = {name for name in everything if name.endswith("_created")}
    assert everything - created - shown - alerted == set()


def test_every_metric_is_explained(everything: set[str]) -> None:
    guide = (ROOT / "docs" / "operations.md").read_text()
    section = guide.partition("## Metrics")[2].partition("\n## ")[0]
    for name in everything:
        short = re.sub(r"_(?:bucket|sum|count)$", "", name)
        assert f"`{short}" in section or f"`_{short.removeprefix('dispatchlog_')}`" in section, name
