"""Anybody who can reach the broker can write a message, so a message can do no more than name a lane or an order."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from dispatchlog.engine import ledger
from dispatchlog.engine.database import configure, connected, database, fetch_all, transaction
from dispatchlog.settings import Settings
from dispatchlog.systems import registry

QUEUE = "dispatch"


@contextmanager
def worker(settings: Settings, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`dramatiq tasks`, one process with two threads."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dramatiq", "tasks", "--processes", "1", "--threads", "2"],
            env={
                **os.environ,
                "DATABASE_URL": settings.database_url,
                "REDIS_URL": settings.redis_url,
                "dramatiq_worker_timeout": "100",
            },
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def push(client: Any, queue: str, message: bytes) -> str:
    """Put a message into the broker as somebody would who knows its format."""
    number = str(uuid4())
    client.hset(f"dramatiq:{queue}.msgs", number, message)
    client.rpush(f"dramatiq:{queue}", number)
    return number


def message(actor: str, *args: Any, queue: str = QUEUE, **kwargs: Any) -> bytes:
    number = str(uuid4())
    return json.dumps(
        {
            "queue_name": queue,
            "actor_name": actor,
            "args": args,
            "kwargs": kwargs,
            "options": {"redis_message_id": number},
            "message_id": number,
            "message_timestamp": int(time.time() * 1000),
        }
    ).encode()


FORGED = [
    message("drain"),
    message("drain", "no such lane"),
    message("drain", "kit_registrations; DROP TABLE kit_registrations"),
    message("drain", None),
    message("drain", 7),
    message("drain", ["kit_registration"]),
    message("drain", {"name": "kit_registration"}),
    message("drain", "x" * 100_000),
    message("drain", "kit_registration", "and", "more"),
    message("drain", lane="kit_registration"),
    message("no_such_actor", "kit_registration"),
    message("__import__", "os"),
    b"no JSON at all \xff\xfe",
    b"{}",
    b"[]",
    b'"text"',
    b"\x80\x04\x95",  # the beginning of a pickle
]


@pytest.fixture
def app(settings_env: Settings) -> Iterator[Settings]:
    registry.forget()
    configure(settings_env.database_url, role=settings_env.application_role, name="test")
    yield settings_env
    if not database.is_closed():
        database.close()
    database.close_all()
    registry.forget()


def statuses() -> list[str]:
    with connected():
        return [row[0] for row in fetch_all("SELECT status FROM kit_registrations ORDER BY seq")]


def enqueue_registration() -> None:
    with transaction("test"):
        ledger.enqueue(
            registry.lane("kit_registration"),
            [{"order_id": uuid4(), "kit_id": "K-1", "order_number": "N-1", "practitioner_id": uuid4()}],
        )


def test_a_worker_survives_every_forged_and_broken_message_and_works_on(app: Settings, tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with closing(redis.Redis.from_url(app.redis_url)) as client:
        for forged in FORGED:
            push(client, QUEUE, forged)
        for argument in ("", "not a uuid", "' OR true --", {"orderId": ["x"]}, 7, None, str(uuid4())):
            queue = "AUTO_REGISTER_PRACTIONER_ORDER_KITS"
            push(client, queue, message("auto_register_practitioner_order_kits", argument, queue=queue))
        with worker(app, log) as process:
            ends = time.monotonic() + 120
            while client.llen(f"dramatiq:{QUEUE}") and time.monotonic() < ends:
                time.sleep(0.05)
            assert client.llen(f"dramatiq:{QUEUE}") == 0
            enqueue_registration()
            push(client, QUEUE, message("drain", "kit_registration"))
            while statuses() != ["SENT"] and time.monotonic() < ends:
                time.sleep(0.05)
            assert process.poll() is None, log.read_text()
    assert statuses() == ["SENT"], log.read_text()
    with connected():
        assert fetch_all("SELECT count(*) FROM dispatch_transitions WHERE lane <> 'kit_registration'")[0][0] <= 2


@pytest.mark.parametrize("forged", ["no such lane", "", None, 7, ["kit_registration"], {"a": 1}, "x" * 10_000])
def test_the_drain_actor_ignores_what_is_no_lane(app: Settings, forged: object) -> None:
    from tasks.deliver import drain_lane

    enqueue_registration()
    drain_lane(forged)
    assert statuses() == ["PENDING"]


@pytest.mark.parametrize(
    "hint", [None, "", "not a uuid", 7, [], {}, {"orderId": "x"}, {"orderId": None}, {"other": "x"}, "' OR true --"]
)
def test_an_order_hint_that_is_no_id_is_refused_and_changes_nothing(app: Settings, hint: object) -> None:
    from tasks.kits import auto_register_practitioner_order_kits as actor

    actor(hint)
    actor(orderId=hint)
    with connected():
        assert fetch_all("SELECT * FROM order_registrations") == []
    assert statuses() == []


def test_every_spelling_of_the_payload_means_the_same_order(app: Settings) -> None:
    from tasks.kits import auto_register_practitioner_order_kits as actor

    order_id = uuid4()
    actor(str(order_id))
    actor(orderId=str(order_id))
    actor({"orderId": str(order_id)})
    actor(str(order_id).upper(), source="a service")
    with connected():
        ((known, reports),) = fetch_all("SELECT order_id, reports FROM order_registrations")
    assert (known, reports) == (order_id, 4)


def test_an_actor_without_a_running_worker_does_nothing(app: Settings) -> None:
    from tasks.deliver import drain_lane

    enqueue_registration()
    drain_lane("kit_registration")
    assert statuses() == ["PENDING"]
