"""Measures what a worker process of the product holds after work: `dispatchlog worker` with both lanes of the kits."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from bench.outside import Provider, started_provider
from bench.plan import Plan
from bench.processes import MeasuringFailed, worker_environment
from bench.servers import Servers, query
from dispatchlog.local.directory import log_tail
from dispatchlog.local.server import end_process
from dispatchlog.supervisor import spawn

_LONGEST_SECONDS = 120.0
_MB = 1_000_000
_CLI = [sys.executable, "-m", "dispatchlog.cli"]
KITS_PER_ORDER = 4

_PRACTITIONERS = """
INSERT INTO practitioners (id, name, email)
SELECT uuidv7(), 'Practitioner ' || n, 'p' || n || '@example.com' FROM generate_series(1, 50) n
"""
_ORDERS = """
INSERT INTO orders (id, order_number, practitioner_id, status, shipping_date)
SELECT uuidv7(), 'N-' || n, (SELECT id FROM practitioners ORDER BY id LIMIT 1 OFFSET n % 50), 'shipped', now()
FROM generate_series(1, {orders}) n
"""
_KITS = f"""
INSERT INTO order_kits (id, order_id, kit_id)
SELECT uuidv7(), id, order_number || '-' || kit FROM orders, generate_series(1, {KITS_PER_ORDER}) kit
"""
_SENT = "SELECT count(*) FROM {table} WHERE status = 'SENT'"
_PIDS = "SELECT pid FROM dispatch_workers WHERE kind = 'worker' AND stopped_at IS NULL"


def run(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """MB of each working process after every kit was registered over HTTP and every form mailed.

    `rss` is resident, `pss` the same with shared pages divided among their users, `peak` the most that was resident.
    """
    statements = (_PRACTITIONERS, _ORDERS.format(orders=plan.orders), _KITS)
    with started_provider() as provider, servers.filled_database(*statements) as url:
        env = _environment(servers, url, provider)
        kits = plan.orders * KITS_PER_ORDER
        with _worker(servers.directory / "worker.log", env, processes=plan.processes) as log:
            _sweep(env, log)
            _wait_until_sent(url, "kit_registrations", kits, log)
            _sweep(env, log)
            _wait_until_sent(url, "health_information_dispatch_logs", kits, log)
            found = [_memory(pid) for (pid,) in query(url, _PIDS)]
    if len(found) != plan.processes:
        raise MeasuringFailed(f"{plan.processes} worker processes were started, {len(found)} work")
    return {name: [memory[name] for memory in found] for name in found[0]}


def _environment(servers: Servers, url: str, provider: Provider) -> dict[str, str]:
    return worker_environment(servers, url) | {
        "DISPATCHLOG_KIT_REGISTRY_URL": provider.http_url,
        "DISPATCHLOG_SMTP_URL": provider.smtp_url,
        "DISPATCHLOG_HEALTH_INFORMATION_DELAY_SECONDS": "0",
        "DISPATCHLOG_SECRET_KEY": "not a secret: this database is gone in a minute",
    }


@contextmanager
def _worker(log: Path, env: Mapping[str, str], *, processes: int) -> Iterator[Path]:
    with log.open("ab") as output:
        process = spawn([*_CLI, "worker", "--processes", str(processes)], env=env, output=output)
    try:
        yield log
    finally:
        process.terminate()
        process.wait(60)


def _sweep(env: Mapping[str, str], log: Path) -> None:
    """`dispatchlog sweep` takes up the shipped orders and releases the forms that are due."""
    with log.open("ab") as output:
        process = spawn([*_CLI, "sweep"], env=env, output=output)
    try:
        code = process.wait(_LONGEST_SECONDS)
    except BaseException:
        end_process(process, signals=(), seconds_each=0.0)
        raise
    if code:
        raise MeasuringFailed(f"dispatchlog sweep ended with code {code}:\n{log_tail(log)}")


def _wait_until_sent(url: str, table: str, count: int, log: Path) -> None:
    ends = time.monotonic() + _LONGEST_SECONDS
    while (sent := query(url, _SENT.format(table=table))[0][0]) < count:
        if time.monotonic() > ends:
            raise MeasuringFailed(f"{sent} of {count} rows of {table} are SENT:\n{log_tail(log)}")
        time.sleep(0.2)


def _memory(pid: int) -> dict[str, float]:
    memory = psutil.Process(pid).memory_full_info()
    found = {"rss": memory.rss / _MB}
    if hasattr(memory, "pss"):
        found["pss"] = memory.pss / _MB
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        found["peak"] = int(lines["VmHWM"].split()[0]) * 1024 / _MB
    return found
