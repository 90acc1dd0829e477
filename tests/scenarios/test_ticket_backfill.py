"""The backfill of an adopted database is killed again and again, and goes on: every thread linked, nothing double."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import closing
from typing import Any

import psycopg2

from dispatchlog.migrate import migrate_up
from tests.migrations.test_migrations import cursor_of, rows
from tests.scenarios.processes import wait_for
from tests.systems.old_conversations import make_old_tables, old_id, report_everybody

COMMAND = [sys.executable, "-m", "dispatchlog.cli", "tickets", "backfill"]
SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'dispatchlog backfill'"


def adopted_database(url: str, count: int) -> None:
    """So many old prescriptions with threads, adopted, and everybody in them known."""
    with cursor_of(url) as cursor:
        make_old_tables(cursor, count=count)
    migrate_up(url)
    with cursor_of(url) as cursor:
        report_everybody(cursor)


def killed_backfill(url: str, *, batch: int, at: int) -> None:
    """Run the command, and kill it when it has made the ticket of this order but cannot finish the batch."""
    env = {**os.environ, "DATABASE_URL": url}
    hold = "SELECT FROM chat_thread_members WHERE thread_id = %s FOR UPDATE"
    waits = f"SELECT {SESSIONS} AND wait_event_type = 'Lock'"
    with closing(psycopg2.connect(url)) as reader, reader.cursor() as cursor:
        cursor.execute(hold, (old_id("thread", at),))
        with subprocess.Popen([*COMMAND, "--batch", str(batch)], env=env, stderr=subprocess.DEVNULL) as process:
            wait_for(lambda: bool(rows(url, waits)))
            process.kill()
    assert process.returncode == -signal.SIGKILL
    wait_for(lambda: not rows(url, f"SELECT {SESSIONS}"))


def finished_backfill(url: str, *, batch: int) -> dict[str, Any]:
    env = {**os.environ, "DATABASE_URL": url}
    done = subprocess.run(
        [*COMMAND, "--json", "--batch", str(batch)], env=env, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def assert_all_linked_once(url: str, count: int) -> None:
    def number(sql: str) -> Any:
        return rows(url, f"SELECT count(*) FROM {sql}")[0][0]

    assert number("healthcare_tickets") == count
    assert number("(SELECT DISTINCT appointment_id FROM healthcare_tickets) k") == count
    assert number("chat_threads") == count
    linked = "chat_threads t JOIN healthcare_tickets k ON k.id = t.ticket_id AND k.appointment_id = t.order_id"
    assert number(f"{linked} JOIN prescriptions p ON p.id = k.prescription_id AND p.ticket_id = k.id") == count
    assert number("prescriptions WHERE is_legacy") == number("chat_threads WHERE is_legacy") == 0
    assert number("ticket_timeline") == number("ticket_timeline WHERE kind = 'backfilled'") == count
    assert number("chat_thread_members m JOIN care_parties c ON c.id = m.party_id") == 3 * count
    assert number("chat_thread_members") == 3 * count
    assert number("chat_messages") == number("chat_messages WHERE sender_party_id IS NOT NULL") == 3 * count
    assert number("ticket_notifications") == number("ticket_backfill_findings") == 0


def test_a_backfill_that_is_killed_again_and_again_doubles_nothing(empty_database_url: str) -> None:
    count, batch = 300, 20
    adopted_database(empty_database_url, count)
    for at in (70, 75, 210):
        killed_backfill(empty_database_url, batch=batch, at=at)
        whole_batches = (at - 1) // batch * batch
        assert rows(empty_database_url, "SELECT count(*) FROM healthcare_tickets") == [(whole_batches,)]
    left = count - whole_batches
    assert finished_backfill(empty_database_url, batch=batch) == {
        "dry_run": False,
        "tickets": left,
        "threads": left,
        "prescriptions": left,
        "left": {},
    }
    assert_all_linked_once(empty_database_url, count)
    assert finished_backfill(empty_database_url, batch=batch)["tickets"] == 0
