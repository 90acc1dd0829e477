"""How many webhooks in a row bore a signature that does not fit. Owns their counters in Redis, which may be lost."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import redis

from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.wakeup import redis_client
from dispatchlog.systems.outreach.provider_words import SENDGRID, TWILIO, WHATSAPP

GENERIC = "generic"
DOORS = (SENDGRID, TWILIO, WHATSAPP, GENERIC)
# A row of refusals that nobody adds to is over after this.
KEPT_SECONDS = 3_600
# Each process ends the row at most so often: hundreds of good webhooks a second need not each say so.
PAUSE_SECONDS = 1.0


class Refusals:
    """One per process. Thread-safe; without Redis nothing is counted."""

    def __init__(self, redis_url: str) -> None:
        self._redis = redis_client(redis_url)
        self._guard = threading.Lock()
        self._ended: dict[str, float] = {}

    def refused(self, provider: str) -> None:
        """One more whose signature does not fit."""
        with self._guard:
            self._ended.pop(provider, None)
        try:
            with self._redis.pipeline() as pipe:
                pipe.incr(_key(provider))
                pipe.expire(_key(provider), KEPT_SECONDS)
                pipe.execute()
        except redis.RedisError:
            return

    def accepted(self, provider: str) -> None:
        """One whose signature fits ends the row."""
        with self._guard:
            now = boottime()
            if now - self._ended.get(provider, -PAUSE_SECONDS) < PAUSE_SECONDS:
                return
            self._ended[provider] = now
        try:
            self._redis.delete(_key(provider))
        except redis.RedisError:
            return

    def in_a_row(self) -> Mapping[str, int] | None:
        """How many by provider; None where Redis does not say."""
        try:
            counts = self._redis.mget([_key(provider) for provider in DOORS])
        except redis.RedisError:
            return None
        return {provider: int(count) for provider, count in zip(DOORS, counts, strict=True) if count}


def _key(provider: str) -> str:
    return f"dispatchlog:webhooks:refused:{provider}"
