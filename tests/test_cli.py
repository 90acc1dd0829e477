"""The command line as an operator uses it: real processes, exit codes, and errors that say what to do."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from dispatchlog.engine.database import configure, connected, database, fetch_one
from dispatchlog.settings import Settings
from dispatchlog.systems.hl7 import schools
from tests.dashboard.reported_visits import report


def dispatchlog(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run one command in an empty folder and a narrow terminal, with only the given settings."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DISPATCHLOG_")}
    for name in ("DATABASE_URL", "REDIS_URL", "BROKER_URL", "DATABASE_OWNER_URL"):
        clean.pop(name, None)
    return subprocess.run(
        [sys.executable, "-m", "dispatchlog.cli", *arguments],
        cwd=cwd,
        env={**clean, "COLUMNS": "30", **env},
        capture_output=True,
        text=True,
        timeout=120,
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


def test_a_message_is_printed_as_it_is(tmp_path: Path, urls: dict[str, str]) -> None:
    run = dispatchlog("sweep", "[bold]no such lane[/bold]", cwd=tmp_path, **urls)
    assert "[bold]no such lane[/bold]" in run.stderr
    assert len(run.stderr.splitlines()) == 1


def test_no_command_needs_what_only_local_servers_need(tmp_path: Path, urls: dict[str, str]) -> None:
    (tmp_path / "psutil.py").write_text("raise ImportError('not installed')")
    assert dispatchlog("users", "list", cwd=tmp_path, PYTHONPATH=str(tmp_path), **urls).returncode == 0


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
    for name in ("settings", "names", "migrations", "database", "clock", "pooler", "schema", "tickets", "redis"):
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
    assert run.stdout == "1 order stored, 1 refused\n"
    assert run.stderr.startswith("line 3, order_id: INVALID_UUID: ")
    configure(settings_env.database_url, role=settings_env.application_role)
    with connected():
        assert fetch_one("SELECT count(*) FROM orders")[0] == 1
    database.close_all()


def test_visits_are_imported_with_their_messages(tmp_path: Path, urls: dict[str, str], settings_env: Settings) -> None:
    configure(settings_env.database_url, role=settings_env.application_role)
    schools.add_school("SCH-01", "First school", actor="test")
    visits = tmp_path / "visits.ndjson"
    lines = (report(visitId=str(uuid4())), report(visitId="7"))
    visits.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    run = dispatchlog("import", "--visits", str(visits), cwd=tmp_path, **urls)
    assert run.stdout == "1 visit stored, 1 refused\n"
    assert run.stderr.startswith("line 2, visitId: INVALID_UUID: ")
    with connected():
        assert fetch_one("SELECT status FROM hl7_messages")[0] == "PENDING"
    database.close_all()


def test_people_and_tokens_are_made_listed_and_ended(tmp_path: Path, urls: dict[str, str]) -> None:
    added = dispatchlog("users", "add", "desk@example.org", "--role", "support", cwd=tmp_path, **urls)
    assert added.returncode == 0, added.stderr
    assert "desk@example.org" in dispatchlog("users", "list", cwd=tmp_path, **urls).stdout
    assert dispatchlog("users", "add", "desk@example.org", cwd=tmp_path, **urls).returncode == 1
    assert dispatchlog("users", "disable", "desk@example.org", cwd=tmp_path, **urls).returncode == 0
    assert "disabled" in dispatchlog("users", "list", cwd=tmp_path, **urls).stdout
    assert dispatchlog("users", "enable", "desk@example.org", cwd=tmp_path, **urls).returncode == 0
    none = dispatchlog("users", "reset-second-factor", "desk@example.org", cwd=tmp_path, **urls)
    assert "NO_SECOND_FACTOR" in none.stderr
    assert "active" in dispatchlog("users", "list", cwd=tmp_path, **urls).stdout
    token = dispatchlog("tokens", "add", "vitract-orders", "--scope", "orders:write", cwd=tmp_path, **urls)
    assert token.stdout.startswith("dlk_")
    assert dispatchlog("tokens", "revoke", "vitract-orders", cwd=tmp_path, **urls).returncode == 0
    assert "revoked" in dispatchlog("tokens", "list", cwd=tmp_path, **urls).stdout


def test_an_account_is_linked_to_whom_it_acts_for(tmp_path: Path, urls: dict[str, str]) -> None:
    def users(*arguments: str) -> subprocess.CompletedProcess[str]:
        return dispatchlog("users", *arguments, cwd=tmp_path, **urls)

    assert users("add", "north@example.org", "--role", "doctor").returncode == 0
    linked = users("link", "north@example.org", "--kind", "doctor", "--name", "Dr Sample North")
    assert "acts for Dr Sample North (doctor " in linked.stdout, linked.stderr
    party = linked.stdout.rpartition(" ")[2].strip(" )\n")
    again = users("link", "north@example.org", "--kind", "doctor")
    assert (again.returncode, "ACCOUNT_LINKED" in again.stderr) == (1, True)
    assert "nobody any more" in users("unlink", "north@example.org", "--reason", "moved").stdout
    other = users("link", "north@example.org", "--kind", "pharmacy", "--party", party)
    assert "PARTY_OF_OTHER_KIND" in other.stderr
    assert "Dr Sample North" in users("link", "north@example.org", "--kind", "doctor", "--party", party).stdout


def test_what_is_copied_and_piped_is_whole_however_narrow_the_terminal(tmp_path: Path, urls: dict[str, str]) -> None:
    email, name = f"{'desk-' * 10}@example.org", "vitract-orders-of-the-whole-laboratory"
    scopes = ("orders:write", "orders:read", "dispatches:read")
    added = dispatchlog("users", "add", email, "--role", "support", "--role", "admin", cwd=tmp_path, **urls)
    again = dispatchlog("users", "password", email, cwd=tmp_path, **urls)
    dispatchlog("tokens", "add", name, *(f"--scope={scope}" for scope in scopes), cwd=tmp_path, **urls)
    [one_time] = added.stdout.splitlines()
    [password] = again.stdout.splitlines()
    assert re.fullmatch(rf"{email} \(support, admin\): \S{{12,}}", one_time)
    assert re.fullmatch(rf"{email}: \S{{12,}}", password)
    [person] = dispatchlog("users", "list", cwd=tmp_path, **urls).stdout.splitlines()
    assert re.split(r"\s{2,}", person) == [email, "active", "admin, support", "password only"]
    [token] = dispatchlog("tokens", "list", cwd=tmp_path, **urls).stdout.splitlines()
    assert [name, "active"] == token.split()[:2]
    assert all(scope in token for scope in scopes)


def test_the_doctor_gives_every_check_a_line_of_its_own(tmp_path: Path, urls: dict[str, str]) -> None:
    table = dispatchlog("doctor", cwd=tmp_path, **urls).stdout.splitlines()
    checks = json.loads(dispatchlog("doctor", "--json", cwd=tmp_path, **urls).stdout)
    assert [line.split()[:2] for line in table] == [[check["name"], check["state"]] for check in checks]
    assert all(check["next"] in line for line, check in zip(table, checks, strict=True))


def test_a_sweep_without_a_broker_says_what_that_means(tmp_path: Path, urls: dict[str, str]) -> None:
    run = dispatchlog("sweep", cwd=tmp_path, **{**urls, "REDIS_URL": "redis://127.0.0.1:1/0"})
    assert run.returncode == 0
    assert "health_information: swept at" in run.stdout
    [note] = run.stderr.splitlines()  # once, for however many lanes
    assert "no worker was woken; they find what is due by their own clocks" in note


def test_the_sample_begins_again_when_its_database_goes_away(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "dispatchlog.local.demonstration"],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 1
    assert run.stdout == "PostgreSQL does not answer (OperationalError); the orders begin again\n"
    assert run.stderr == ""


def test_a_sweep_releases_every_lane_and_says_when(tmp_path: Path, urls: dict[str, str]) -> None:
    run = dispatchlog("sweep", cwd=tmp_path, **urls)
    assert run.returncode == 0, run.stderr
    assert "health_information: swept at" in run.stdout
    assert dispatchlog("sweep", "nothing", cwd=tmp_path, **urls).returncode == 1


def test_a_lane_is_paused_with_a_reason_and_resumed(tmp_path: Path, urls: dict[str, str]) -> None:
    paused = dispatchlog("pause", "gateway:smtp", "--reason", "maintenance", cwd=tmp_path, **urls)
    assert (paused.returncode, paused.stdout.split(";")[0]) == (0, "gateway:smtp: paused")
    again = dispatchlog("pause", "gateway:smtp", "--reason", "me too", cwd=tmp_path, **urls)
    assert "already paused since" in again.stdout
    resumed = dispatchlog("resume", "gateway:smtp", "--reason", "done", cwd=tmp_path, **urls)
    assert resumed.stdout == "gateway:smtp: goes on\n"
    unknown = dispatchlog("pause", "no-such-lane", "--reason", "why not", cwd=tmp_path, **urls)
    assert unknown.returncode == 1
    assert "gateway:smtp" in unknown.stderr
    assert dispatchlog("pause", "gateway:smtp", cwd=tmp_path, **urls).returncode == 2
