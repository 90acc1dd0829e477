"""How soon an open page is told of a move: `python -m bench.live [--streams N] [--seconds N] [--rates N ...]`.

The dashboard's own server, real event streams, and a worker process that delivers what an upstream service enqueues. From
the commit of each transition, by PostgreSQL's own clock, until each stream's client has read its event, on one machine.
Prints a table and, as its last line, one JSON object, in milliseconds; the exit code is 1 where a 95th percentile misses.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.lane import CREATE, TABLE, Setup, bench_lane
from bench.listening import Listener, opened_streams, served_dashboard
from bench.processes import MeasuringFailed, started_workers, worker_environment
from bench.servers import Servers, query
from bench.upstream import Upstream, connected_upstream
from dispatchlog.engine.database import configure, database
from dispatchlog.local.postgres import LocalPostgres
from dispatchlog.local.valkey import LocalValkey
from dispatchlog.migrate import migrate_up
from dispatchlog.people import create_user
from dispatchlog.settings import get_settings

GOAL_MS = 2_000.0
PERSON, PASSWORD = "viewer@example.org", "a long sentence of the benchmark"
# PENDING, QUEUED, SENT.
MOVES_PER_DISPATCH = 3
_IDLE_GAP_SECONDS = (0.2, 1.2)
_LONGEST_SECONDS = 60.0
_MOVES = (
    "SELECT id, dispatch_id::text, to_status, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
    " FROM dispatch_transitions WHERE id > {after} ORDER BY id"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement: moves per second that were asked for (0: one now and then), and what came."""

    rate: int
    moves: int
    moves_per_second: float
    waited: Sequence[float]


def main() -> int:
    """0 when every 95th percentile is within the goal, else 1."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("--streams", type=int, default=20, help="open pages")
    parser.add_argument("--seconds", type=float, default=20, help="how long each rate is kept up")
    parser.add_argument("--rates", type=int, nargs="+", default=[0, 50, 200], help="moves per second; 0 is idle")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dispatchlog-live-") as directory, ExitStack() as stack:
        home = Path(directory)
        postgres = stack.enter_context(LocalPostgres(home / "postgres", settings={"track_commit_timestamp": "on"}))
        valkey = stack.enter_context(LocalValkey(home / "valkey"))
        stack.callback(database.close_all)
        servers = Servers(home, postgres, valkey)
        url = _prepared(servers)
        setup = Setup(batch=50, slots=4, threads=4)
        address = stack.enter_context(served_dashboard(worker_environment(servers, url), home / "dashboard.log"))
        workers = stack.enter_context(started_workers(servers, url, "bench.worker", count=1, env=setup.env()))
        workers.release()
        listeners = stack.enter_context(opened_streams(address, options.streams, email=PERSON, password=PASSWORD))
        upstream = stack.enter_context(connected_upstream(url, servers.redis_url, bench_lane(setup)))
        taken = [_measure(url, upstream, listeners, rate=rate, seconds=options.seconds) for rate in options.rates]
        workers.check()
    return _report(taken, streams=options.streams)


def _prepared(servers: Servers) -> str:
    servers.postgres.ensure_database("live")
    url = servers.postgres.url("live")
    os.environ |= {"DATABASE_URL": url, "REDIS_URL": servers.redis_url, "DISPATCHLOG_SECRET_KEY": "benchmark " * 5}
    get_settings.cache_clear()
    migrate_up(url)
    for statement in CREATE:
        query(url, statement)
    configure(url, role=get_settings().application_role, name="bench")
    create_user(PERSON, roles=["viewer"], password=PASSWORD)
    database.close_all()
    return url


def _measure(url: str, upstream: Upstream, listeners: Sequence[Listener], *, rate: int, seconds: float) -> Taken:
    after = query(url, "SELECT coalesce(max(id), 0) FROM dispatch_transitions")[0][0]
    began = time.monotonic()
    if rate:
        _keep_up(upstream, rate / MOVES_PER_DISPATCH, seconds)
        _wait_until_sent(url)
    else:
        _now_and_then(upstream, seconds)
    lasted = time.monotonic() - began
    moves = query(url, _MOVES.format(after=after))
    waited = [_wait_for(listener, move) for move in moves for listener in listeners]
    return Taken(rate, len(moves), len(moves) / lasted, waited)


def _now_and_then(upstream: Upstream, seconds: float) -> None:
    """A single move at a time: a dispatch that is due some day."""
    chance = random.Random(7)  # noqa: S311 - the gaps need no secret
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        upstream.enqueue({"due_at": datetime.now(UTC) + timedelta(days=1)})
        time.sleep(chance.uniform(*_IDLE_GAP_SECONDS))


def _keep_up(upstream: Upstream, rate: float, seconds: float) -> None:
    began = time.monotonic()
    for number in range(int(rate * seconds)):
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        upstream.enqueue({})


def _wait_until_sent(url: str) -> None:
    ends = time.monotonic() + _LONGEST_SECONDS
    while query(url, f"SELECT EXISTS (SELECT FROM {TABLE} WHERE status <> 'SENT' AND due_at < now())")[0][0]:
        if time.monotonic() > ends:
            raise MeasuringFailed(f"the worker was not done in {_LONGEST_SECONDS:.0f} s")
        time.sleep(0.2)


def _wait_for(listener: Listener, move: tuple[int, str, str, float]) -> float:
    """Milliseconds from this move's commit until the stream's client had its event."""
    number, dispatch_id, status, committed = move
    ends = time.monotonic() + _LONGEST_SECONDS
    while (heard := listener.heard_of(number, dispatch_id, status)) is None:
        if time.monotonic() > ends or not listener.is_alive():
            raise MeasuringFailed(f"a stream was never told of move {number}")
        time.sleep(0.05)
    return (heard - committed) * 1000


def _report(taken: Sequence[Taken], *, streams: int) -> int:
    print(f"{streams} streams; milliseconds from commit to the client")
    print(f"{'moves per second':<24}{'moves':>8}{'p50':>8}{'p95':>8}{'max':>8}")
    figures = []
    for each in taken:
        found = {
            "p50": statistics.median(each.waited),
            "p95": sorted(each.waited)[math.ceil(0.95 * len(each.waited)) - 1],
            "max": max(each.waited),
        }
        name = f"{each.moves_per_second:.0f} of {each.rate}" if each.rate else "one now and then"
        values = "".join(f"{value:>8.0f}" for value in found.values())
        print(f"{name:<24}{each.moves:>8}{values}{'' if found['p95'] < GOAL_MS else '  MISSED'}")
        rounded = {key: round(value, 1) for key, value in found.items()}
        figures.append({"rate": each.rate, "moves": each.moves, **rounded})
    print(json.dumps({"streams": streams, "goal_p95_ms": GOAL_MS, "figures": figures}))
    return int(any(figure["p95"] >= GOAL_MS for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
