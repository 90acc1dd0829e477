"""A circuit breaker per gateway, shared by all workers through Redis. Owns when to hold back; counts no attempts of rows:
while it is open, rows stay PENDING and nothing is attempted.

Over 10 % failures of at least 20 calls in 60 s opens it. After the pause it lets 1 call through, then 5, then all; a
failure among those opens it again. With Redis out of reach it lets everything through: retries still bound the harm.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import redis
import structlog

from dispatchlog.engine.wakeup import redis_client

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60
BUCKET_SECONDS = 10
LEAST_CALLS = 20
FAILURE_RATIO = 0.10
PAUSE_SECONDS = 15.0
PROBES = (1, 5)
UNLIMITED = 1_000_000

# KEYS: state hash, bucket prefix. ARGV: now, wanted.
# State: stage 0 closed (absent), 1.. probing; `until` the end of the pause; `left` probes still to hand out.
# The answer is how many calls may be made, and the stage in which they were handed out.
_ALLOW = """
local stage = tonumber(redis.call('HGET', KEYS[1], 'stage') or '0')
if stage == 0 then return {tonumber(ARGV[2]), 0} end
if tonumber(ARGV[1]) < tonumber(redis.call('HGET', KEYS[1], 'until')) then return {0, stage} end
local left = tonumber(redis.call('HGET', KEYS[1], 'left'))
if left <= 0 then
    -- probes were handed out and never answered for (their worker died): hand out again after another pause
    if tonumber(ARGV[1]) < tonumber(redis.call('HGET', KEYS[1], 'asked')) + tonumber(ARGV[3]) then return {0, stage} end
    left = 1
end
local given = math.min(left, tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'left', left - given, 'asked', ARGV[1])
return {given, stage}
"""

# KEYS: state hash. ARGV: stage, unused, most in this stage.
_GIVE_BACK = """
if redis.call('HGET', KEYS[1], 'stage') ~= ARGV[1] then return 0 end
local left = tonumber(redis.call('HGET', KEYS[1], 'left')) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'left', math.min(left, tonumber(ARGV[3])))
return 1
"""

# KEYS: state hash, this bucket, the older buckets. ARGV: now, good, bad, pause, least calls, ratio, probes per stage...
_REPORT = """
local good, bad = tonumber(ARGV[2]), tonumber(ARGV[3])
local stage = tonumber(redis.call('HGET', KEYS[1], 'stage') or '0')
local function open()
    redis.call('HSET', KEYS[1], 'stage', 1, 'until', tonumber(ARGV[1]) + tonumber(ARGV[4]), 'left', ARGV[7],
               'good', 0, 'asked', ARGV[1])
    for i = 2, #KEYS do redis.call('DEL', KEYS[i]) end
    return 'open'
end
if stage > 0 then
    if bad > 0 then return open() end
    local total = redis.call('HINCRBY', KEYS[1], 'good', good)
    if total >= tonumber(ARGV[6 + stage]) then
        if ARGV[7 + stage] then
            redis.call('HSET', KEYS[1], 'stage', stage + 1, 'left', ARGV[7 + stage], 'good', 0)
            return 'probing'
        end
        redis.call('DEL', KEYS[1])
        return 'closed'
    end
    return 'probing'
end
redis.call('HINCRBY', KEYS[2], 'good', good)
redis.call('HINCRBY', KEYS[2], 'bad', bad)
redis.call('EXPIRE', KEYS[2], 120)
local all, failed = 0, 0
for i = 2, #KEYS do
    local g = tonumber(redis.call('HGET', KEYS[i], 'good') or '0')
    local b = tonumber(redis.call('HGET', KEYS[i], 'bad') or '0')
    all = all + g + b
    failed = failed + b
end
if bad > 0 and all >= tonumber(ARGV[5]) and failed > all * tonumber(ARGV[6]) then return open() end
return 'closed'
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many calls may be made now; `stage` is 0 where the breaker is closed and else names the half-open stage."""

    calls: int
    stage: int = 0


@dataclass(frozen=True, slots=True)
class BreakerState:
    """What a page shows of one gateway's breaker: closed, open (until `opens_in_seconds` have passed) or probing."""

    state: str
    opens_in_seconds: float = 0.0


class Breaker:
    """All gateways' breakers over one Redis."""

    def __init__(self, redis_url: str, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._client = redis_client(redis_url)
        self._pause = pause_seconds
        self._allow = self._client.register_script(_ALLOW)
        self._report = self._client.register_script(_REPORT)
        self._give_back = self._client.register_script(_GIVE_BACK)

    def allow(self, gateway: str, wanted: int) -> Allowance:
        """How many of `wanted` calls may be made now; none while it is open."""
        try:
            calls, stage = self._allow(keys=[_state(gateway)], args=[time.time(), wanted, self._pause])
        except redis.RedisError:
            return Allowance(wanted)
        return Allowance(int(calls), int(stage))

    def give_back(self, gateway: str, allowance: Allowance, *, used: int) -> None:
        """Return the probes that were not needed, for nothing was due; else they would count as unanswered for a pause."""
        if allowance.stage == 0 or used >= allowance.calls:
            return
        with contextlib.suppress(redis.RedisError):
            most = (*PROBES, UNLIMITED)[allowance.stage - 1]
            self._give_back(keys=[_state(gateway)], args=[allowance.stage, allowance.calls - used, most])

    def report(self, gateway: str, *, good: int, bad: int) -> None:
        """Tell how many calls were answered (whatever the answer) and how many failed as the provider's fault."""
        now = time.time()
        bucket = int(now // BUCKET_SECONDS)
        buckets = [f"dispatchlog:breaker:{gateway}:{bucket - back}" for back in range(WINDOW_SECONDS // BUCKET_SECONDS)]
        try:
            state = self._report(
                keys=[_state(gateway), *buckets],
                args=[now, good, bad, self._pause, LEAST_CALLS, FAILURE_RATIO, *PROBES],
            )
        except redis.RedisError:
            return
        if state == "open" and bad:
            log.warning("BREAKER_OPEN", gateway=gateway, pause_seconds=self._pause)

    def state(self, gateway: str) -> BreakerState:
        """What the breaker is doing, for pages; `unknown` when Redis is out of reach."""
        try:
            fields = self._client.hgetall(_state(gateway))
        except redis.RedisError:
            return BreakerState("unknown")
        if not fields:
            return BreakerState("closed")
        pause = float(fields["until"]) - time.time()
        return BreakerState("open", pause) if pause > 0 else BreakerState("probing")


def _state(gateway: str) -> str:
    return f"dispatchlog:breaker:{gateway}"
