"""What the audit chain costs: `python -m bench.audit [--rows N] [--seconds S] [--rounds R]`.

Seals and verifies N moves, then lets a writer commit batches of 100 moves for S seconds, with and without somebody who
seals beside it every second (the product does every ten), taking turns. Prints the figures and, as its last line, one JSON
object; the exit code is 1 where the chain does not hold afterwards.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing

import psycopg2
from flask import Flask

from bench.servers import query, started_servers
from dashboard.patient_reads import keep_answer
from dispatchlog.audit.horizon import Horizon
from dispatchlog.audit.sealing import seal_all
from dispatchlog.audit.verifying import verify
from dispatchlog.engine.database import configure, connected, database
from dispatchlog.settings import get_settings

WHO = "bench"
BATCH = 100
_MOVES = """
INSERT INTO dispatch_transitions (lane, dispatch_id, from_status, to_status, actor, claim_token, database_user)
SELECT 'health_information', uuidv7(), 'QUEUED', 'SENT', 'worker:' || n % 16, uuidv7(), 'app'
    FROM generate_series(1, {rows}) n
"""


def seconds_of(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def seal_everything() -> None:
    horizon = Horizon()
    while seal_all(horizon, who=WHO):
        pass


def rows_written(url: str, seconds: float, *, sealed: bool) -> float:
    """Moves per second that one writer commits, a hundred at a time."""
    ended = threading.Event()

    def keep_sealing() -> None:
        horizon = Horizon()
        while not ended.wait(1.0):
            seal_all(horizon, who=WHO)

    sealer = threading.Thread(target=keep_sealing)
    if sealed:
        sealer.start()
    written, began = 0, time.perf_counter()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        while time.perf_counter() - began < seconds:
            cursor.execute(_MOVES.format(rows=BATCH))
            connection.commit()
            written += BATCH
    taken = time.perf_counter() - began
    ended.set()
    if sealed:
        sealer.join()
    return written / taken


def reads_milliseconds(times: int) -> float:
    """What keeping one look at patients' data adds to a page: the median."""
    app = Flask(__name__)
    taken = []
    with app.test_request_context("/api/v1/dispatches?status=FAILED"), connected():
        for _ in range(times):
            taken.append(seconds_of(lambda: keep_answer("findDispatches", actor=WHO, why="scope x", path={})) * 1000)
    return statistics.median(taken)


def measure(url: str, rows: int, seconds: float, rounds: int) -> dict[str, float]:
    query(url, _MOVES.format(rows=rows))
    query(url, "VACUUM (ANALYZE) dispatch_transitions")
    configure(url, role=get_settings().application_role, name="bench", max_connections=8)
    figures = {"rows": float(rows), "sealed_rows_per_s": rows / seconds_of(seal_everything)}
    figures["verified_rows_per_s"] = rows / seconds_of(lambda: verify(who=WHO))
    with_seals, without = [], []
    for _ in range(rounds):
        without.append(rows_written(url, seconds, sealed=False))
        seal_everything()
        with_seals.append(rows_written(url, seconds, sealed=True))
    figures["written_rows_per_s"] = statistics.median(without)
    figures["written_rows_per_s_while_sealing"] = statistics.median(with_seals)
    figures["kept_look_ms"] = reads_milliseconds(500)
    seal_everything()
    figures["holds"] = float(verify(who=WHO).is_good)
    database.close_all()
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with started_servers() as servers, servers.filled_database() as url:
        figures = measure(url, asked.rows, asked.seconds, asked.rounds)
    for name, value in figures.items():
        print(f"{name:<36}{value:>14,.2f}")
    print(json.dumps({**figures, "load": os.getloadavg()[0]}))
    return 0 if figures["holds"] else 1


if __name__ == "__main__":
    sys.exit(main())
