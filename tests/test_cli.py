"""The command line as an operator uses it: real processes, exit codes, and errors that say what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dispatchlog.engine.database import configure, connected, database, fetch_one
from dispatchlog.settings import Settings


def dispatchlog(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command in an empty folder, with only the given settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHLOG_")}
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "DATABASE_OWNER_URL"):
        clean.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "dispatchlog.cli", *arguments],
        cwd=cwd,
        env={**clean, "COLUMNS": "200", **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def urls(settings_env: Settings) -> dict[str, str]:
    return {"DATABASE_URL": settings_env.database_url, "REDIS_URL": settings_env.redis_url}


def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    run = dispatchlog("sweep", cwd=tmp_path)
    assert run.returncode == 1
    assert "NO_DATABASE_URL" in run.stderr
    assert "dispatchlog up" in run.stderr


def test_a_database_that_does_not_answer_is_named_with_what_to_do(tmp_path: Path) -> None:
    run = dispatchlog("users", "list", cwd=tmp_path, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert run.returncode == 1
    assert "DATABASE_UNAVAILABLE" in run.stderr
    assert "check DATABASE_URL" in run.stderr
    assert "Traceback" not in run.stderr


def test_an_empty_database_asks_for_migrations(tmp_path: Path, empty_database_url: str) -> None:
    run = dispatchlog("users", "list", cwd=tmp_path, DATABASE_URL=empty_database_url)
    assert run.returncode == 1
    assert "dispatchlog migrate up" in run.stderr


def test_a_malformed_setting_is_named(tmp_path: Path, urls: dict[str, str]) -> None:
    run = dispatchlog("users", "list", cwd=tmp_path, DISPATCHLOG_SWEEP_SECONDS="hourly", **urls)
    assert run.returncode == 1
    assert "BAD_SETTING" in run.stderr
    assert "sweep_seconds" in run.stderr


def test_production_insists_on_its_own_secrets(tmp_path: Path, urls: dict[str, str]) -> None:
    run = dispatchlog("users", "list", cwd=tmp_path, DISPATCHLOG_ENVIRONMENT="production", **urls)
    assert run.returncode == 1
    assert "DISPATCHLOG_SECRET_KEY" in run.stderr


def test_production_refuses_to_send_a_mail_password_in_clear_text(tmp_path: Path, urls: dict[str, str]) -> None:
    run = dispatchlog(
        "users",
        "list",
        cwd=tmp_path,
        DISPATCHLOG_ENVIRONMENT="production",
        DISPATCHLOG_SECRET_KEY="x" * 32,
        DISPATCHLOG_PUBLIC_URL="https://dispatch.example.org",
        DISPATCHLOG_SMTP_URL="smtp://user:password@mail.example.org?tls=none",
        **urls,
    )
    assert run.returncode == 1
    assert "clear text" in run.stderr
    assert "password@" not in run.stderr


def test_migrations_go_up_and_down_and_say_where_they_are(tmp_path: Path, empty_database_url: str) -> None:
    url = {"DATABASE_URL": empty_database_url}
    assert dispatchlog("migrate", "status", cwd=tmp_path, **url).returncode == 1
    up = dispatchlog("migrate", "up", cwd=tmp_path, **url)
    assert up.returncode == 0
    assert "applied 0001_engine" in up.stdout
    assert dispatchlog("migrate", "status", cwd=tmp_path, **url).returncode == 0
    down = dispatchlog("migrate", "down", "0001_engine", "--yes", cwd=tmp_path, **url)
    assert "reverted 0001_engine" in down.stdout
    assert dispatchlog("migrate", "up", cwd=tmp_path, **url).returncode == 0


def test_the_doctor_finds_a_whole_installation_well_and_names_what_is_missing(
    tmp_path: Path, urls: dict[str, str]
) -> None:
    run = dispatchlog("doctor", "--json", cwd=tmp_path, DISPATCHLOG_SMTP_URL="smtp://127.0.0.1:1?tls=none", **urls)
    checks = {check["name"]: check for check in json.loads(run.stdout)}
    for name in ("settings", "names", "migrations", "database", "clock", "pooler", "schema", "redis"):
        assert checks[name]["state"] == "ok", checks[name]
    assert checks["workers"]["state"] == "warning"
    assert checks["mail"]["state"] == "failed"
    assert "DISPATCHLOG_SMTP_URL" in checks["mail"]["next"]
    assert run.returncode == 1


def test_the_doctor_says_which_server_is_down(tmp_path: Path) -> None:
    run = dispatchlog(
        "doctor",
        "--json",
        cwd=tmp_path,
        DATABASE_URL="postgresql://nobody@127.0.0.1:1/none",
        REDIS_URL="redis://127.0.0.1:1/0",
    )
    failed = {check["name"] for check in json.loads(run.stdout) if check["state"] == "failed"}
    assert {"database", "redis"} <= failed
    assert run.returncode == 1


def test_an_import_stores_the_good_orders_and_lists_the_bad_ones_by_line(
    tmp_path: Path, urls: dict[str, str], settings_env: Settings
) -> None:
    orders = tmp_path / "orders.csv"
    orders.write_text(
        "order_id,order_number,practitioner_id,practitioner_name,practitioner_email,status,shipping_date,tracking_number,"
        "tracking_url,kit_id,recipient_email\n"
        "7b0f4a9e-3a9c-4c6e-9e51-111111111111,ORD-1,,,,paid,,,,KIT-1,a@example.com\n"
        "not-a-uuid,ORD-2,,,,paid,,,,KIT-2,b@example.com\n"
    )
    run = dispatchlog("import", str(orders), cwd=tmp_path, **urls)
    assert run.returncode == 1
    assert "1 orders stored, 1 refused" in run.stdout
    assert "line 3" in run.stderr
    configure(settings_env.database_url, role=settings_env.application_role)
    with connected():
        assert fetch_one("SELECT count(*) FROM orders")[0] == 1
    database.close_all()


def test_people_and_tokens_are_made_listed_and_ended(tmp_path: Path, urls: dict[str, str]) -> None:
    added = dispatchlog("users", "add", "desk@example.org", "--role", "support", cwd=tmp_path, **urls)
    assert added.returncode == 0, added.stderr
    assert "desk@example.org" in dispatchlog("users", "list", cwd=tmp_path, **urls).stdout
    assert dispatchlog("users", "add", "desk@example.org", cwd=tmp_path, **urls).returncode == 1
    assert dispatchlog("users", "disable", "desk@example.org", cwd=tmp_path, **urls).returncode == 0
    assert "disabled" in dispatchlog("users", "list", cwd=tmp_path, **urls).stdout
    token = dispatchlog("tokens", "add", "vitract-orders", "--scope", "orders:write", cwd=tmp_path, **urls)
    assert token.stdout.startswith("dlk_")
    assert dispatchlog("tokens", "revoke", "vitract-orders", cwd=tmp_path, **urls).returncode == 0
    assert "revoked" in dispatchlog("tokens", "list", cwd=tmp_path, **urls).stdout


def test_a_sweep_releases_every_lane_and_says_when(tmp_path: Path, urls: dict[str, str]) -> None:
    run = dispatchlog("sweep", cwd=tmp_path, **urls)
    assert run.returncode == 0, run.stderr
    assert "health_information: swept at" in run.stdout
    assert dispatchlog("sweep", "nothing", cwd=tmp_path, **urls).returncode == 1
