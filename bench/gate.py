"""Owns the starting line: processes say that they are ready and wait; the run releases them together. Times nothing."""

from __future__ import annotations

import redis

_READY = "bench:ready"
_GO = "bench:go"
_WAIT_SECONDS = 60


def wait_for_release(redis_url: str) -> bool:
    """In a measured process: say ready, then wait; False when nobody released it."""
    with redis.Redis.from_url(redis_url) as client:
        client.rpush(_READY, "1")
        return client.blpop([_GO], timeout=_WAIT_SECONDS) is not None


def ready_count(client: redis.Redis) -> int:
    """How many processes wait."""
    return int(client.llen(_READY))


def release(client: redis.Redis, processes: int) -> None:
    """Let that many processes go."""
    client.rpush(_GO, *["1"] * processes)
