"""The alert rules do what they say, by Prometheus' own tool; each alert has its place in the runbook."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from dashboard.alerts import TITLES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus"
ALERTS = re.findall(r"^ +- alert: (\w+)$", (RULES / "alerts.yml").read_text(), re.MULTILINE)
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def promtool(*arguments: str) -> str:
    ended = subprocess.run(
        ["promtool", *arguments], cwd=RULES, capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_prometheus_takes_the_rules_and_the_example() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", "alerts.yml")
    assert "is valid" in promtool("check", "config", "prometheus.yml")


def test_each_rule_fires_when_it_should_and_keeps_still_when_it_should() -> None:
    promtool("test", "rules", "alerts_test.yml")
    tried = re.findall(
        r"alertname: (\w+)\n +exp_alerts:( \[\])?$", (RULES / "alerts_test.yml").read_text(), re.MULTILINE
    )
    assert {name for name, nothing in tried if not nothing} == set(ALERTS)
    assert {name for name, nothing in tried if nothing} == set(ALERTS)


def test_each_alert_has_a_severity_a_summary_and_its_section_of_the_runbook() -> None:
    bodies = re.split(r"^ +- alert: ", (RULES / "alerts.yml").read_text(), flags=re.MULTILINE)[1:]
    assert len(bodies) == len(set(ALERTS)) == len(ALERTS)
    for name, body in zip(ALERTS, bodies, strict=True):
        assert re.search(r"^ +severity: (critical|warning)$", body, re.MULTILINE), name
        assert re.search(r"^ +summary: \S", body, re.MULTILINE), name
        assert f"runbook_url: docs/runbook.md#{name.lower()}\n" in f"{body}\n", name


def test_the_runbook_has_a_section_for_each_alert_and_none_besides() -> None:
    parts = re.split(r"^## (.+)$", RUNBOOK, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert set(sections) == {"Prometheus", "The program's own"}
    for title, names in (("Prometheus", ALERTS), ("The program's own", list(TITLES))):
        blocks = re.split(r"^### ", sections[title], flags=re.MULTILINE)[1:]
        assert sorted(block.split("\n", 1)[0] for block in blocks) == sorted(names)
        for block in blocks:
            assert "**Means**" in block, block
            assert re.search(r"\*\*Look\*\*.*\*\*Do\*\*|\*\*Look, do\*\*", block, re.DOTALL), block
    anchors = {name.lower() for name in (*ALERTS, *TITLES)}
    assert set(re.findall(r"\]\(#([\w-]+)\)", RUNBOOK)) <= anchors
