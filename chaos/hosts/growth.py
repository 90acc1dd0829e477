"""`python -m chaos.hosts.growth`: owns measuring what one more worker host brings, with a provider that takes its time.

All in one run on one machine, so that only the ratios mean something; where its processors are the limit, they show it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from contextlib import closing
from math import inf
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from chaos.hosts.network import Network, why_not
from chaos.hosts.world import HostsWorld
from chaos.lanes import MESSAGE, chaos_lanes
from dispatchlog.engine import ledger
from dispatchlog.engine.database import configure, database, transaction
from dispatchlog.engine.tables import new_id
from dispatchlog.logs import configure_logs
from dispatchlog.settings import get_settings

MOST_HOSTS = 4
PATIENCE_SECONDS = 180.0
LOOK_SECONDS = 0.2

_ALIVE = "SELECT count(*) FROM dispatch_workers WHERE kind = 'worker' AND stopped_at IS NULL"
_OPEN = f"SELECT count(*) FROM {MESSAGE.table} WHERE status IN ('PENDING', 'QUEUED')"
_PACE = f"""
SELECT count(*) / extract(epoch FROM max(sent_at) - min(first_claimed_at))::float8 FROM {MESSAGE.table}
WHERE status = 'SENT' AND id = ANY (%s::uuid[])
"""


class Growth:
    """One run: more and more hosts on the same network."""

    def __init__(self, world: HostsWorld, cursor: Any) -> None:
        self._world = world
        self._cursor = cursor
        self._lane = chaos_lanes(world.outside)[MESSAGE.name]

    def pace(self, hosts: int, *, delay_seconds: float, dispatches: int) -> tuple[float, float]:
        """Dispatches per second with so many hosts, and which share of the processors was busy meanwhile."""
        for number, slot in enumerate(self._world.workers):
            slot.respawn_at = 0.0 if number < hosts else inf
        self._until(_ALIVE, hosts)
        plays = [{"do": "accept", "delay_seconds": delay_seconds}] * dispatches
        self._world.script("messages", plays, clear=True)
        ids = [str(new_id()) for _ in range(dispatches)]
        rows = [{"id": each, "recipient": f"{each}@example.org", "note": each} for each in ids]
        psutil.cpu_percent()
        with transaction("growth"):
            ledger.enqueue(self._lane, rows)
        self._until(_OPEN, 0)
        busy = psutil.cpu_percent()
        self._cursor.execute(_PACE, (ids,))
        return float(self._cursor.fetchone()[0]), busy

    def _until(self, sql: str, wanted: int) -> None:
        ends = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < ends:
            self._world.tend()
            self._cursor.execute(sql)
            if self._cursor.fetchone()[0] == wanted:
                return
            time.sleep(LOOK_SECONDS)
        raise TimeoutError(f"never {wanted}: {sql}")


def measure(directory: Path, network: Network, options: argparse.Namespace) -> list[dict[str, float]]:
    """A line per number of hosts and delay."""
    world = HostsWorld(directory, 1, MOST_HOSTS, network, dashboards=0)
    try:
        world.start()
        configure(world.database_url, role=get_settings().application_role, name="dispatchlog growth")
        for slot in world.workers:
            slot.respawn_at = inf
        lines: list[dict[str, float]] = []
        with closing(psycopg2.connect(world.database_url)) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            growth = Growth(world, cursor)
            for hosts in range(1, MOST_HOSTS + 1):
                for delay_ms in options.delay_ms:
                    dispatches = max(100, round(options.seconds * hosts * MESSAGE.slots * 1000 / delay_ms))
                    pace, busy = growth.pace(
                        hosts, delay_seconds=delay_ms / 1000, dispatches=min(dispatches, options.most)
                    )
                    lines.append(
                        {"hosts": hosts, "delay_ms": delay_ms, "per_second": round(pace, 1), "processors_busy": busy}
                    )
                    print(lines[-1], flush=True)
        return lines
    finally:
        if database.database is not None:
            database.close_all()
        world.stop()


def main() -> int:
    """Print a line per measurement, and all of them as JSON at the end."""
    parser = argparse.ArgumentParser(prog="python -m chaos.hosts.growth", description=__doc__)
    parser.add_argument("--delay-ms", type=float, nargs="+", default=[20.0, 250.0], help="what the provider takes")
    parser.add_argument("--seconds", type=float, default=8.0, help="how long one measurement should take")
    parser.add_argument("--most", type=int, default=4000, help="dispatches of one measurement")
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(f"This cannot run here: {reason}.")
    configure_logs("error")
    directory = Path(tempfile.mkdtemp(prefix="dispatchlog-growth-"))
    try:
        with Network() as network:
            network.add("desk").enter()
            print(json.dumps(measure(directory, network, options)), flush=True)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
