"""Owns the starting line: processes say that they are ready and wait; the run releases them together. Times nothing."""

from __future__ import annotations

import os

import redis

_READY = "bench:ready"
_GO = "bench:go"
_WAIT_SECONDS = 60


def say_ready(redis_url: str) -> None:
    """In a measured process: everything is loaded and connected."""
    with redis.Redis.from_url(redis_url) as client:
        client.sadd(_READY, os.getpid())


def wait_for_release(redis_url: str) -> bool:
    """In a measured process: say ready, then wait; False when nobody released it."""
    say_ready(redis_url)
    with redis.Redis.from_url(redis_url) as client:
        return client.blpop([_GO], timeout=_WAIT_SECONDS) is not None


def ready_count(client: redis.Redis) -> int:
    """How many processes have said so since the last release."""
    return int(client.scard(_READY))


def release(client: redis.Redis, processes: int) -> None:
    """Let that many processes go."""
    client.delete(_READY)
    client.rpush(_GO, *["1"] * processes)


def hold_back(client: redis.Redis, queue: str) -> None:
    """Put a filled queue aside, so that a peer's workers can be up and connected and wait on an empty one."""
    client.rename(queue, f"{queue}:held")


def let_go(client: redis.Redis, queue: str) -> None:
    """Give the queue back under its name; whoever waits on it gets its first message in the same moment."""
    client.delete(_READY)
    client.rename(f"{queue}:held", queue)
