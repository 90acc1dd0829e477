"""How long the dashboard's pages take with a million rows in each lane: `python -m bench.pages [--orders N] [--times N]`.

Server time, without a network: the application is called in this process, warmed as a worker of the dashboard is when it
starts, signed in as an administrator, page after page in turn. Prints a table and, as its last line, one JSON object, in
milliseconds: the first request of each page, and of all further ones the median, the 95th percentile and the longest.
`--data DIR` keeps the rows in DIR for the next run, for ten million of them take long to write.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psycopg2
from flask.testing import FlaskClient

from bench.crowd import KITS_PER_ORDER, fill
from dashboard import create_app
from dashboard.warming import warm
from dispatchlog.engine.database import connected, database, fetch_all
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up
from dispatchlog.people import PersonError, create_user
from dispatchlog.settings import get_settings

GOAL_MS = 100.0
NAMES = ("p50", "p95", "max", "first")
# Memory in proportion to the rows, and nothing that makes filling slower than it has to be; reading is as ever.
_SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB", "fsync": "off", "full_page_writes": "off"}
PERSON, PASSWORD = "admin@example.org", "a long sentence of the benchmark"
PAGES = (
    "/",
    "/in-doubt",
    "/incidents",
    "/incidents?days=30",
    "/upcoming",
    "/dispatches",
    "/dispatches?status=SENT",
    "/dispatches?status=FAILED&cause=HTTP_500",
    "/dispatches?status=IN_DOUBT",
    "/dispatches?q=VO-4000",
    "/dispatches?q=VO-400000",
    "/dispatches?sort=left",
    "/dispatches?from=2026-05-01&to=2026-05-02",
    "/dispatches?at=older.1767225600000000.00000000000000000000000000000000",
    "/lanes/health_information",
    "/lanes/health_information?status=PENDING",
    "{dispatch}",
    "{story}",
    "/kit-orders",
    "/kit-orders?state=REGISTERED",
    "/kit-orders?q=VO-400000",
    "{order}",
    "/audit",
    "/people",
    "/roles",
    "/bulk",
    "/pausing",
    "/alerts",
    "/account",
    "/help",
    "/metrics",
    "/readyz",
)


def main() -> int:
    """0 when every page answers within its goal, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.pages", description=__doc__)
    parser.add_argument("--orders", type=int, default=500_000, help=f"each has {KITS_PER_ORDER} kits")
    parser.add_argument(
        "--times", type=int, default=100, help="how often each page is asked for, besides the first time"
    )
    parser.add_argument("--data", type=Path, help="where the rows are kept, or were by an earlier run")
    parser.add_argument("--goal", type=float, default=GOAL_MS, help="milliseconds at the 95th percentile")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = options.data or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dispatchlog-pages-")))
        directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        postgres = stack.enter_context(LocalPostgres(directory / "postgres", settings=_SERVER))
        valkey = stack.enter_context(LocalValkey(directory / "valkey"))
        stack.callback(database.close_all)
        client = _prepared(postgres, valkey, options.orders)
        return _measure(client, times=options.times, orders=options.orders, goal=options.goal)


def _prepared(postgres: LocalPostgres, valkey: LocalValkey, orders: int) -> FlaskClient:
    postgres.ensure_database("pages")
    url = postgres.url("pages")
    os.environ |= {"DATABASE_URL": url, "REDIS_URL": valkey.url(), "DISPATCHLOG_SECRET_KEY": "benchmark " * 5}
    get_settings.cache_clear()
    migrate_up(url)
    began = time.monotonic()
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT EXISTS (SELECT FROM orders)")
            if not cursor.fetchone()[0]:
                fill(cursor, orders=orders)
                cursor.execute("VACUUM (ANALYZE)")
                cursor.execute("CHECKPOINT")
                print(
                    f"filled {orders * KITS_PER_ORDER:,} rows per lane in {time.monotonic() - began:.0f} s", flush=True
                )
    app = create_app()
    began = time.monotonic()
    warm(app)
    print(f"warm after {(time.monotonic() - began) * 1000:.0f} ms", flush=True)
    with suppress(PersonError):  # there from an earlier run
        create_user(PERSON, roles=["admin"], password=PASSWORD)
    client = app.test_client()
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get("/sign-in").text)
    assert token is not None  # noqa: S101  the form has one
    client.post("/sign-in", data={"csrf_token": token[1], "email": PERSON, "password": PASSWORD})
    return client


def _measure(client: FlaskClient, *, times: int, orders: int, goal: float) -> int:
    addresses = _addresses()
    taken: dict[str, list[float]] = {page: [] for page in addresses}
    for _ in range(times + 1):
        for page, address in addresses.items():
            began = time.perf_counter()
            answer = client.get(address)
            taken[page].append((time.perf_counter() - began) * 1000)
            if answer.status_code != 200:
                print(f"{address}: {answer.status}", file=sys.stderr)
                return 1
    figures = {page: _figures(first, further) for page, (first, *further) in taken.items()}
    print(f"\n{'milliseconds':<58}" + "".join(f"{name:>8}" for name in NAMES))
    for page, each in figures.items():
        missed = "" if each["p95"] < goal else "  MISSED"
        print(f"{page:<58}" + "".join(f"{each[name]:>8.1f}" for name in NAMES) + missed)
    worst = max(each["p95"] for each in figures.values())
    rounded = {page: {name: round(value, 1) for name, value in each.items()} for page, each in figures.items()}
    print(json.dumps({"rows_per_lane": orders * KITS_PER_ORDER, "worst_p95_ms": round(worst, 1), "pages": rounded}))
    return int(worst >= goal)


def _addresses() -> dict[str, str]:
    with connected():
        dispatch_id, order_id = fetch_all(
            "SELECT id, order_id FROM health_information_dispatch_logs WHERE status = 'FAILED' LIMIT 1"
        )[0]
    places: dict[str, Any] = {
        "dispatch": f"/dispatches/health_information/{dispatch_id}",
        "story": f"/stories/story?subject=order:{order_id}",
        "order": f"/kit-orders/{order_id}",
    }
    return {page: page.format(**places) if page.startswith("{") else page for page in PAGES}


def _figures(first: float, further: list[float]) -> dict[str, float]:
    values = (statistics.median(further), _p95(further), max(further), first)
    return dict(zip(NAMES, values, strict=True))


def _p95(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


if __name__ == "__main__":
    sys.exit(main())
