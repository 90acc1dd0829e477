"""A real Prometheus, started with the example of a configuration, reads a real dashboard and evaluates every rule."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx

from dashboard import create_app
from dispatchlog.engine.database import database
from dispatchlog.settings import Settings
from tests.dashboard.api_support import forget_process_state
from tests.dashboard.browsing import served
from tests.ports import free_port
from tests.scenarios.processes import wait_for
from tests.watching.test_alert_rules import ALERTS, RULES


def test_the_example_reads_a_dashboard_and_every_rule_is_evaluated(
    settings_env: Settings, cheap_passwords: None, tmp_path: Path
) -> None:
    forget_process_state()
    port = free_port()
    with served(create_app(settings_env)) as url:
        example = (RULES / "prometheus.yml").read_text()
        quick = example.replace("127.0.0.1:8000", url.removeprefix("http://")).replace(": 15s", ": 1s")
        assert quick.count(": 1s") == 2
        (tmp_path / "prometheus.yml").write_text(quick)
        (tmp_path / "alerts.yml").write_text((RULES / "alerts.yml").read_text())
        command = (
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
        )
        process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], cwd=tmp_path)

        def ask(path: str, **query: str) -> Any:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/api/v1/{path}", params=query, timeout=5).json()["data"]
            except httpx.HTTPError:
                return None

        def value(metric: str) -> str:
            found = ask("query", query=metric)
            return str(found["result"][0]["value"][1]) if found and found["result"] else ""

        def healthy() -> list[str]:
            groups = (ask("rules") or {"groups": []})["groups"]
            return [rule["name"] for group in groups for rule in group["rules"] if rule["health"] == "ok"]

        try:
            wait_for(lambda: value('dispatchlog_database_up{job="dispatchlog"}') == "1")
            wait_for(lambda: sorted(healthy()) == sorted(ALERTS))
        finally:
            process.terminate()
            process.wait(60)
    database.close_all()
