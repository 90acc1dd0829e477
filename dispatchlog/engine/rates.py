"""How many calls a gateway may be given now: a token bucket per gateway, shared by all workers through Redis.

Owns the counting; a lane says its rate. With Redis out of reach each process keeps a bucket of its own, so the provider
may then see the rate once per process, never without limit.
"""

from __future__ import annotations

import threading

import redis

from dispatchlog.engine.breaker import NOW
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.wakeup import redis_client

# KEYS: bucket. ARGV: rate per second, size, wanted (negative: given back). Holds `tokens` and the instant `at`, by the
# clock of Redis, with its microseconds as text: a number would lose them.
_TAKE = f"""{NOW}
local rate, size, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tokens = tonumber(redis.call('HGET', KEYS[1], 'tokens') or size)
local at = tonumber(redis.call('HGET', KEYS[1], 'at') or now)
tokens = math.min(size, tokens + math.max(0, now - at) * rate)
local granted = math.min(wanted, math.floor(tokens))
tokens = math.min(size, tokens - granted)
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.6f', math.max(now, at)))
redis.call('PEXPIRE', KEYS[1], math.ceil(size / rate * 1000) + 60000)
return {{granted, tostring(math.max(0, 1 - tokens) / rate)}}
"""


class Rates:
    """All gateways' buckets over one Redis. Thread-safe."""

    def __init__(self, redis_url: str) -> None:
        self._take = redis_client(redis_url).register_script(_TAKE)
        self._guard = threading.Lock()
        self._own: dict[str, tuple[float, float]] = {}

    def take(self, gateway: str, wanted: int, *, per_second: float, burst: int = 1) -> int:
        """How many of `wanted` calls may be made now, at most `burst` at once; the rest has to wait."""
        return self.take_or_wait(gateway, wanted, per_second=per_second, burst=burst)[0]

    def take_or_wait(self, gateway: str, wanted: int, *, per_second: float, burst: int = 1) -> tuple[int, float]:
        """As `take`, with the seconds until one more call may be made."""
        try:
            granted, wait = self._take(keys=[f"dispatchlog:rate:{gateway}"], args=[per_second, max(1, burst), wanted])
        except redis.RedisError:
            return self._take_own(gateway, wanted, per_second, max(1, burst))
        return int(granted), float(wait)

    def give_back(self, gateway: str, unused: int, *, per_second: float, burst: int = 1) -> None:
        """Return what was taken and not used, because fewer rows were due."""
        if unused > 0:
            self.take(gateway, -unused, per_second=per_second, burst=burst)

    def _take_own(self, gateway: str, wanted: int, per_second: float, burst: int) -> tuple[int, float]:
        with self._guard:
            now = boottime()
            tokens, at = self._own.get(gateway, (float(burst), now))
            tokens = min(burst, tokens + (now - at) * per_second)
            granted = min(wanted, int(tokens))
            left = min(burst, tokens - granted)
            self._own[gateway] = (left, now)
            return granted, max(0.0, 1 - left) / per_second
