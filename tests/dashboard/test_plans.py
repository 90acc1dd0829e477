"""No page reads a big table from end to end: whatever a page asks for is walked by an index."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from unittest import mock
from urllib.parse import quote

import psycopg2
import pytest

from bench.crowd import fill
from dispatchlog.engine.database import connected, database, execute, fetch_all
from tests.dashboard.browsing import Dashboard
from tests.dashboard.test_access import VALUES, pages

ORDERS = 4_000
# The tables that grow with the business; the others hold a handful of rows each.
BIG = {
    "kit_registrations",
    "health_information_dispatch_logs",
    "dispatch_transitions",
    "dispatch_attempts",
    "dispatch_payloads",
    "dispatch_search",
    "operator_actions",
    "orders",
    "order_kits",
    "order_registrations",
    "patients",
    "patient_comm_prefs",
    "comm_addresses",
    "comm_appointments",
    "comm_audit_log",
    "comm_campaign_sends",
    "comm_consents",
    "comm_inbound",
    "comm_jobs",
    "comm_portal_tokens",
    "comm_reschedule_requests",
}
LISTS = (
    "/dispatches?status=FAILED",
    "/dispatches?status=IN_DOUBT",
    "/dispatches?q=VO-31",
    "/dispatches?from=2026-01-01&to=2026-02-01",
    "/dispatches?at=older.1767225600000000.00000000000000000000000000000000",
    "/lanes/health_information?status=SENT&q=VO-31",
    "/kit-orders?q=VO-31",
    "/kit-orders?state=REGISTERED",
)
# The stream of changes has no end.
ENDLESS = ("security.logout", "live.stream")


@pytest.fixture
def crowded(dash: Dashboard, database_url: str) -> Dashboard:
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        fill(cursor, orders=ORDERS)
    return dash


def test_no_page_reads_a_big_table_from_end_to_end(crowded: Dashboard) -> None:
    with connected():
        dispatch_id, order_id = fetch_all(
            "SELECT id, order_id FROM health_information_dispatch_logs WHERE status = 'FAILED' LIMIT 1"
        )[0]
    values = {**VALUES, "dispatch_id": dispatch_id, "order_id": order_id}
    addresses = crowded.app.url_map.bind("localhost")
    shown = [
        addresses.build(rule.endpoint, {name: values[name] for name in rule.arguments})
        for rule in pages(crowded.app)
        if "GET" in (rule.methods or ()) and rule.endpoint not in ENDLESS and not rule.endpoint.startswith("security.")
    ]
    visitor = crowded.as_("admin")
    bad = []
    opened = f"/dispatches/health_information/{dispatch_id}?back="
    walks = [opened + quote(back, safe="") for back in LISTS]
    for address in (*shown, *LISTS, *walks):
        with statements() as asked:
            assert visitor.get(address).status_code < 500, address
        bad += [(address, table, sql) for sql, parameters in asked for table in read_whole(sql, parameters)]
    assert bad == []


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Every query that the application asks meanwhile."""
    asked: list[tuple[str, Any]] = []
    execute_sql = database.execute_sql

    def listening(sql: str, params: Any = None, *rest: Any) -> Any:
        if sql.lstrip(" (").upper().startswith(("SELECT", "WITH")):
            asked.append((sql, params))
        return execute_sql(sql, params, *rest)

    with mock.patch.object(database, "execute_sql", listening):
        yield asked


def read_whole(sql: str, parameters: Any) -> set[str]:
    """The big tables for which this query has no index: only then does PostgreSQL still read one from end to end.

    By itself it would do so also where a page stops after a few rows, which a small table has anyhow.
    """
    with connected():
        execute("SET enable_seqscan = off")
        plan = fetch_all(f"EXPLAIN (FORMAT JSON) {sql}", parameters)[0][0]
        execute("RESET enable_seqscan")
    return {node["Relation Name"] for node in nodes(plan[0]["Plan"]) if node["Node Type"] == "Seq Scan"} & BIG


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def test_a_query_that_reads_a_whole_table_is_noticed(crowded: Dashboard) -> None:
    assert read_whole("SELECT status FROM orders WHERE tracking_number = 'T1'", None) == {"orders"}
    assert read_whole("SELECT * FROM orders WHERE id = %s", (VALUES["order_id"],)) == set()
