"""Owns small pharmacy orders and their changes, written as SQL, and the process that tells of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx

from dispatchlog.engine.database import execute, transaction
from tests.engine.processes import until

_ROOT = Path(__file__).parents[2]
_CHANGE = "INSERT INTO order_changes (order_id, version, what, payload, trace_id) VALUES (%s, %s, %s, %s, %s)"


def place(number: str) -> UUID:
    """A new order."""
    order_id = uuid4()
    with transaction("test"):
        execute(
            "INSERT INTO pharmacies (id, code, name, phone, address, latitude, longitude)"
            " VALUES (%s, 'P-1', 'Corner', '+1', 'Street 1', 1, 1) ON CONFLICT DO NOTHING",
            (uuid4(),),
        )
        execute(
            "INSERT INTO pharmacy_orders (id, order_number, pharmacy_id, patient_name, patient_phone, patient_email,"
            " address, latitude, longitude, currency, total_minor, document_sha256, source, trace_id) SELECT %s, %s,"
            " id, 'Ada', '+2', 'ada@example.org', 'Street 2', 1, 1, 'EUR', 100, '', 'test', %s"
            " FROM pharmacies WHERE code = 'P-1'",
            (order_id, number, f"trace-{number}"),
        )
    return order_id


def change_of(order_id: UUID, version: int, status: str | None = None) -> tuple[Any, ...]:
    """What is written of a change."""
    payload = {
        "orderId": str(order_id),
        "orderNumber": "RX",
        "what": "status",
        "version": version,
        "dispatchId": "d0d0d0d0-0000-4000-8000-000000000000" if status else None,
        "attempt": 1 if status else None,
        "dispatchStatus": status,
        "paymentStatus": "Paid",
        "isReadyForDispatch": True,
        "etaAt": None,
        "bookingStatus": None,
        "traceId": "trace-1",
        "updatedAt": "2026-01-02T03:04:05Z",
    }
    return order_id, version, "status", json.dumps(payload), "trace-1"


def change(order_id: UUID, version: int, status: str | None = None) -> None:
    """One committed change."""
    with transaction("test"):
        execute(_CHANGE, change_of(order_id, version, status))


def change_over(connection: Any, order_id: UUID, version: int) -> None:
    """One change in the transaction of this connection."""
    with connection.cursor() as cursor:
        cursor.execute(_CHANGE, change_of(order_id, version))


def start_sockets(port: int, **env: str) -> subprocess.Popen[bytes]:
    """`dispatchlog sockets` on this port, once it reads changes; its log goes to `log` where one is given."""
    log = env.pop("log", "")
    output = Path(log).open("ab") if log else None  # noqa: SIM115  the child's own
    process = subprocess.Popen(
        [sys.executable, "-m", "dispatchlog.cli", "sockets"],
        cwd=_ROOT,
        env={**os.environ, "DISPATCHLOG_SOCKET_PORT": str(port), **env},
        stderr=output,
    )
    if output:
        output.close()
    try:
        until(lambda: process.poll() is not None or reads_changes(port), seconds=60, what="it reads changes")
        assert process.poll() is None
    except BaseException:
        kill(process)
        raise
    return process


@contextmanager
def sockets(port: int, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """The same, killed at the end."""
    process = start_sockets(port, **env)
    try:
        yield process
    finally:
        kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(20)


def reads_changes(port: int) -> bool:
    return bool(health(port).get("database"))


def health(port: int) -> dict[str, Any]:
    """What the process says of itself; {}: it does not answer."""
    try:
        answer: dict[str, Any] = httpx.get(f"http://127.0.0.1:{port}/healthz", timeout=5).json()
    except httpx.HTTPError:
        return {}
    return answer
