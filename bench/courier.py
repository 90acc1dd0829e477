"""How many webhooks of a courier the dashboard takes, and how long each waits: `python -m bench.courier [--seconds N]`.

The dashboard's own server with its two workers, PostgreSQL with durable commits, and the load from a process of its own,
all on the same cores. First as many as it takes, then a steady rate whatever the answers take, then the same while a worker
applies what is stored. Every webhook must be answered with 200 and be stored once. Prints a table and, as its last line,
one JSON object; the exit code is 1 where the goal is missed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.hl7 import started_worker
from bench.listening import served_dashboard
from bench.processes import MeasuringFailed, worker_environment
from bench.servers import Servers, query, started_servers

GOAL_PER_SECOND = 500
GOAL_P99_MS = 100.0
JOBS = 1_000
SECRET = "a secret of the benchmark alone"  # noqa: S105  (nobody else's)
LONGEST_SECONDS = 600.0

# So many orders on their way with the courier `generic`; only what webhooks touch has sense.
_FILL = (
    (
        "INSERT INTO pharmacies (id, code, name, phone, address, latitude, longitude)"
        " VALUES (uuidv7(), 'P-1', 'Pharmacy', '+2348000000000', 'Here 1', 6.5, 3.4)"
    ),
    (
        "INSERT INTO pharmacy_orders (id, order_number, pharmacy_id, patient_name, patient_phone, patient_email, address,"
        " latitude, longitude, currency, total_minor, payment_status, paid_at, is_ready_for_dispatch, ready_at,"
        " document_sha256, source, trace_id, dispatch_id, dispatch_status)"
        " SELECT uuidv7(), 'N-' || n, (SELECT id FROM pharmacies), 'Patient', '+2348000000001', 'patient@example.org',"
        " 'There 1', 6.6, 3.5, 'NGN', 100, 'Paid', now(), true, now(), '', 'bench', 'trace-' || n, uuidv7(), 'BOOKED'"
        f" FROM generate_series(0, {JOBS - 1}) n"
    ),
    (
        "INSERT INTO courier_dispatches (id, order_id, attempt, courier, courier_reference, status, trace_id)"
        " SELECT dispatch_id, id, 1, 'generic', 'J-' || substr(order_number, 3), 'BOOKED', trace_id FROM pharmacy_orders"
    ),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """One measurement; `applied` is what share of it was applied when the last was answered, None where no worker ran."""

    name: str
    webhooks: int
    per_second: float
    p50_ms: float
    p99_ms: float
    longest_ms: float
    dashboard_cpu_ms: float
    postgres_cpu_ms: float
    applied: float | None = None
    applied_after_seconds: float | None = None


def environment(servers: Servers, url: str) -> dict[str, str]:
    return {
        **worker_environment(servers, url),
        "DISPATCHLOG_LOG_LEVEL": "info",
        "DISPATCHLOG_SECRET_KEY": "benchmark " * 5,
        "DISPATCHLOG_COURIER_URL": "http://127.0.0.1:9",  # nobody is asked for anything
        "DISPATCHLOG_COURIER_TOKEN": "none",
        "DISPATCHLOG_COURIER_WEBHOOK_SECRET": SECRET,
    }


def load(address: str, secret: Path, *, count: int, rate: float, run: str) -> Mapping[str, object]:
    """What the load's process found.

    Raises:
        MeasuringFailed: it failed, or a webhook was answered with something else than 200.
    """
    argv = [sys.executable, "-m", "bench.courier_load", "--at", address.removeprefix("http://"), "--run", run]
    argv += ["--path", "/webhooks/courier/generic", "--secret-file", str(secret), "--jobs", str(JOBS)]
    argv += ["--count", str(count), "--rate", str(rate)]
    return loaded(argv, count)


def loaded(argv: Sequence[str], count: int) -> Mapping[str, object]:
    """What a load's process found.

    Raises:
        MeasuringFailed: it failed, or something was answered with something else than 200.
    """
    done = subprocess.run(  # noqa: S603  (our own program)
        argv, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS
    )
    if done.returncode:
        raise MeasuringFailed(f"the load failed:\n{done.stderr[-2000:]}")
    found: dict[str, object] = json.loads(done.stdout)
    if found["answers"] != {"200": count}:
        raise MeasuringFailed(f"answers: {found['answers']}")
    return found


def measure(url: str, address: str, secret: Path, *, name: str, count: int, rate: float, applies: bool) -> Taken:
    """One load, and the proof that each of its webhooks is stored."""
    run = name.replace(" ", "-")
    before = spent()
    found = load(address, secret, count=count, rate=rate, run=run)
    dashboard, postgres = ((after - then) * 1000 / count for after, then in zip(spent(), before, strict=True))
    mine = f"FROM courier_events WHERE event_id LIKE '{run}-%'"
    stored, applied = query(url, f"SELECT count(*), count(applied_at) {mine}")[0]
    if stored != count:
        raise MeasuringFailed(f"{stored} of {count} webhooks are stored")
    taken: Sequence[float] = found["milliseconds"]  # type: ignore[assignment]
    seconds = float(found["seconds"])  # type: ignore[arg-type]
    figures = (
        count / seconds,
        statistics.median(taken),
        taken[math.ceil(0.99 * count) - 1],
        taken[-1],
        dashboard,
        postgres,
    )
    if not applies:
        return Taken(name, count, *figures)
    return Taken(name, count, *figures, applied / count, _seconds_until_applied(url))


def spent() -> tuple[float, float]:
    """Seconds of processor time that the dashboard's and PostgreSQL's processes have taken until now."""
    dashboard = postgres = 0.0
    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            times, line = child.cpu_times(), " ".join(child.cmdline())
            dashboard += (times.user + times.system) * ("gunicorn" in line)
            postgres += (times.user + times.system) * ("postgres" in line)
    return dashboard, postgres


def _seconds_until_applied(url: str) -> float:
    began = time.monotonic()
    while query(url, "SELECT EXISTS (SELECT FROM courier_events WHERE applied_at IS NULL)")[0][0]:
        if time.monotonic() - began > LONGEST_SECONDS:
            raise MeasuringFailed("the worker does not catch up")
        time.sleep(0.05)
    return time.monotonic() - began


def report(found: Sequence[Taken]) -> int:
    """Print the table and the JSON; 0 where the steady rate met the goal."""
    print(f"{'':<34}{'webhooks':>10}{'per s':>8}{'p50 ms':>8}{'p99 ms':>8}{'longest':>9}{'cpu ms':>12}{'applied':>9}")
    for each in found:
        applied = "" if each.applied is None else f"{each.applied:.0%}"
        figures = f"{each.per_second:>8.0f}{each.p50_ms:>8.1f}{each.p99_ms:>8.1f}{each.longest_ms:>9.1f}"
        figures += f"{f'{each.dashboard_cpu_ms:.1f} + {each.postgres_cpu_ms:.1f}':>12}{applied:>9}"
        print(f"{each.name:<34}{each.webhooks:>10}{figures}")
    steady = next(each for each in found if each.name.startswith("steady"))
    met = steady.p99_ms < GOAL_P99_MS
    print(
        json.dumps(
            {
                "goal_per_s": GOAL_PER_SECOND,
                "goal_p99_ms": GOAL_P99_MS,
                "met": met,
                "load": os.getloadavg()[0],
                "figures": [asdict(each) for each in found],
            }
        )
    )
    return 0 if met else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.courier", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20, help="how long the steady rate is kept up")
    parser.add_argument("--rate", type=float, default=GOAL_PER_SECOND, help="webhooks per second")
    options = parser.parse_args()
    count = int(options.seconds * options.rate)
    found: list[Taken] = []
    with started_servers() as servers, servers.filled_database(*_FILL) as url:
        env = environment(servers, url)
        os.environ |= env
        secret = servers.directory / "secret"
        secret.write_text(SECRET)
        with served_dashboard(env, servers.directory / "dashboard.log") as address:
            load(address, secret, count=500, rate=250, run="warm")
            found.append(measure(url, address, secret, name="as many as it takes", rate=0, count=count, applies=False))
            found.append(
                measure(
                    url,
                    address,
                    secret,
                    name=f"steady {options.rate:.0f} a second",
                    rate=options.rate,
                    count=count,
                    applies=False,
                )
            )
            query(url, "UPDATE courier_events SET applied_at = now(), effect = 'BEHIND' WHERE applied_at IS NULL")
            with started_worker(servers, url):
                name = f"with a worker, {options.rate:.0f} a second"
                found.append(measure(url, address, secret, name=name, count=count, rate=options.rate, applies=True))
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
