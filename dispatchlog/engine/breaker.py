"""A circuit breaker per gateway, shared by all workers through Redis. Owns when to hold back; counts no attempts of rows:
while it is open, rows stay PENDING and nothing is attempted.

Over 10 % failures of at least 20 calls in 60 s opens it, and so do 5 calls in a row, however far apart, that reached nobody
or got no answer that makes sense. After the pause it lets 1 call through, then 5, then all; a failure among those opens it
again, for twice as long where nothing has succeeded since. Whoever had a success and fails no more for a minute is trusted
without the rest. With Redis out of reach it lets everything through: retries still bound the harm.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis
import structlog

from dispatchlog.engine.wakeup import redis_client

log = structlog.get_logger(__name__)

WINDOW_SECONDS = 60
BUCKET_SECONDS = 10
LEAST_CALLS = 20
FAILURE_RATIO = 0.10
MOST_AWAY = 5
# Calls further apart than this are not in a row: an endpoint may have been taken away in between.
ROW_SECONDS = 86_400
PAUSE_SECONDS = 15.0
LONGEST_PAUSE = 20  # times the first one: 5 minutes
PROBES = (1, 5)
UNLIMITED = 1_000_000

# The one Redis is the one clock: what workers share must not depend on whose host is right.
NOW = """
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
"""

# KEYS: state hash. ARGV: wanted, pause.
# State: stage 0 closed (absent), 1.. probing; `until` the end of the pause, which was `pause` long; `left` probes still to
# hand out.
# The answer is how many calls may be made, and the stage in which they were handed out.
_ALLOW = f"""{NOW}
local stage = tonumber(redis.call('HGET', KEYS[1], 'stage') or '0')
if stage == 0 then return {{tonumber(ARGV[1]), 0}} end
if now < tonumber(redis.call('HGET', KEYS[1], 'until')) then return {{0, stage}} end
local left = tonumber(redis.call('HGET', KEYS[1], 'left'))
if left <= 0 then
    -- probes were handed out and never answered for (their worker died): hand out again after another pause
    if now < tonumber(redis.call('HGET', KEYS[1], 'asked')) + tonumber(ARGV[2]) then return {{0, stage}} end
    left = 1
end
local given = math.min(left, tonumber(ARGV[1]))
redis.call('HSET', KEYS[1], 'left', left - given, 'asked', now)
return {{given, stage}}
"""

# KEYS: state hash. ARGV: stage, unused, most in this stage.
_GIVE_BACK = """
if redis.call('HGET', KEYS[1], 'stage') ~= ARGV[1] then return 0 end
local left = tonumber(redis.call('HGET', KEYS[1], 'left')) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'left', math.min(left, tonumber(ARGV[3])))
return 1
"""

# KEYS: state hash, the calls away in a row. ARGV: good, bad, away (the last so many), first pause, longest pause, most
# away, seconds of a row, least calls, ratio, seconds of a bucket, buckets, probes per stage...
# A bucket's key is the state's with the bucket's number. The answer is the state, and the pause where it opened.
_REPORT = f"""{NOW}
local good, bad, away = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local buckets = {{}}
for back = 0, tonumber(ARGV[11]) - 1 do
    buckets[back + 1] = KEYS[1] .. ':' .. string.format('%d', math.floor(now / tonumber(ARGV[10])) - back)
end
local stage = tonumber(redis.call('HGET', KEYS[1], 'stage') or '0')
local function open()
    local pause = tonumber(ARGV[4])
    if stage == 1 and good == 0 then
        pause = tonumber(redis.call('HGET', KEYS[1], 'pause') or ARGV[4])
        -- what was under way when it opened is no failed probe
        if now >= tonumber(redis.call('HGET', KEYS[1], 'until')) then pause = math.min(2 * pause, tonumber(ARGV[5])) end
    end
    redis.call('HSET', KEYS[1], 'stage', 1, 'until', now + pause, 'pause', pause, 'left', ARGV[12], 'good', 0, 'asked', now)
    redis.call('PERSIST', KEYS[1])
    redis.call('DEL', KEYS[2], unpack(buckets))
    return {{'open', tostring(pause)}}
end
if stage > 0 then
    if bad > 0 then return open() end
    local total = redis.call('HINCRBY', KEYS[1], 'good', good)
    if total >= tonumber(ARGV[11 + stage]) then
        if not ARGV[12 + stage] then
            redis.call('DEL', KEYS[1])
            return {{'closed', '0'}}
        end
        redis.call('HSET', KEYS[1], 'stage', stage + 1, 'left', ARGV[12 + stage], 'good', 0)
    end
    if good > 0 then redis.call('EXPIRE', KEYS[1], ARGV[10] * ARGV[11]) end
    return {{'probing', '0'}}
end
if away < good + bad then redis.call('DEL', KEYS[2]) end
if away > 0 then
    if redis.call('INCRBY', KEYS[2], away) >= tonumber(ARGV[6]) then return open() end
    redis.call('EXPIRE', KEYS[2], ARGV[7])
end
redis.call('HINCRBY', buckets[1], 'good', good)
redis.call('HINCRBY', buckets[1], 'bad', bad)
redis.call('EXPIRE', buckets[1], 120)
local all, failed = 0, 0
for _, bucket in ipairs(buckets) do
    local g = tonumber(redis.call('HGET', bucket, 'good') or '0')
    local b = tonumber(redis.call('HGET', bucket, 'bad') or '0')
    all = all + g + b
    failed = failed + b
end
if bad > 0 and all >= tonumber(ARGV[8]) and failed > all * tonumber(ARGV[9]) then return open() end
return {{'closed', '0'}}
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
            calls, stage = self._allow(keys=[_state(gateway)], args=[wanted, self._pause])
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

    def report(self, gateway: str, *, good: int, bad: int, away: int = 0) -> None:
        """Tell how many calls were answered (whatever the answer) and how many failed as the provider's fault; and how many
        of the latter, the last ones of all in a row, reached nobody or got no answer that makes sense.
        """
        row = (MOST_AWAY, ROW_SECONDS)
        window = (LEAST_CALLS, FAILURE_RATIO, BUCKET_SECONDS, WINDOW_SECONDS // BUCKET_SECONDS)
        try:
            state, pause = self._report(
                keys=[_state(gateway), _away(gateway)],
                args=[good, bad, away, self._pause, self._pause * LONGEST_PAUSE, *row, *window, *PROBES],
            )
        except redis.RedisError:
            return
        if state == "open" and bad:
            log.warning("BREAKER_OPEN", gateway=gateway, pause_seconds=float(pause))

    def forget(self, gateway: str) -> None:
        """Close it and count anew: what failed until now says nothing of the endpoint that the gateway has become."""
        with contextlib.suppress(redis.RedisError):
            self._client.delete(_state(gateway), _away(gateway))

    def state(self, gateway: str) -> BreakerState:
        """What the breaker is doing, for pages; `unknown` when Redis is out of reach."""
        return self.states([gateway])[gateway]

    def states(self, gateways: Sequence[str]) -> dict[str, BreakerState]:
        """The same of many, in one question."""
        pipeline = self._client.pipeline(transaction=False)
        for gateway in gateways:
            pipeline.hgetall(_state(gateway))
        pipeline.time()
        try:
            *found, (seconds, microseconds) = pipeline.execute()
        except redis.RedisError:
            return {gateway: BreakerState("unknown") for gateway in gateways}
        now = seconds + microseconds / 1e6
        return {gateway: _shown(fields, now) for gateway, fields in zip(gateways, found, strict=True)}


def _shown(fields: Mapping[str, str], now: float) -> BreakerState:
    if not fields:
        return BreakerState("closed")
    pause = float(fields["until"]) - now
    return BreakerState("open", pause) if pause > 0 else BreakerState("probing")


def _state(gateway: str) -> str:
    return f"dispatchlog:breaker:{gateway}"


def _away(gateway: str) -> str:
    return f"{_state(gateway)}:away"
