"""Measures how late the dispatches in a worker's hands are when it is killed: until the provider has all of them.

Two workers work off rows through the HTTP provider; one is killed (SIGKILL) at a random moment of its batches, the other
takes over beside its own rows, and a new process replaces the first.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from subprocess import Popen
from typing import Any

from bench.lane import TABLE, bench_lane
from bench.outside import Provider, started_provider
from bench.plan import Plan
from bench.processes import MeasuringFailed, started_workers
from bench.proof import prove_accepted
from bench.scenarios.providers import HTTP_SECONDS, http_setup
from bench.servers import Servers
from bench.upstream import connected_upstream
from dispatchlog.engine.database import fetch_all, fetch_one

_LONGEST_SECONDS = 60.0
_LOOK_SECONDS = 0.02
_HELD = f"""
SELECT t.idempotency_key FROM {TABLE} t JOIN dispatch_workers w ON w.id = t.claimed_by
WHERE t.status = 'QUEUED' AND w.pid = %s
"""
_UNSENT = (
    f"SELECT count(*) FROM {TABLE} WHERE status <> 'SENT' AND (%(keys)s IS NULL OR idempotency_key = ANY (%(keys)s))"
)


def run(servers: Servers, plan: Plan) -> dict[str, list[float]]:
    """Seconds of each kill, and how many dispatches were in the killed worker's hands."""
    seconds: list[float] = []
    held: list[float] = []
    resent: set[str] = set()
    rounds = 0
    chance = random.Random(plan.kills)  # noqa: S311 - the moments need no secret
    with started_provider(latency_seconds=HTTP_SECONDS) as provider, servers.full_database(0) as url:
        setup = http_setup(plan, provider.http_url)
        with (
            started_workers(servers, url, "bench.worker", count=2, env=setup.env()) as workers,
            connected_upstream(url, servers.redis_url, bench_lane(setup)) as upstream,
        ):
            while len(seconds) < plan.kills:
                rounds += 1
                workers.release()
                upstream.enqueue(*_due_rows(plan.kill_rows))
                victim = workers.children.pop(0)
                keys, took = _kill_busy(victim, provider, after_seconds=chance.uniform(0.0, 0.5))
                if keys:  # none when it was killed between two claims
                    seconds.append(took)
                    held.append(float(len(keys)))
                    resent |= keys
                workers.start(1)
                workers.wait_until_ready(1)
                _wait(lambda: _unsent() == 0, "the rows between two kills were not done")
            prove_accepted(provider.accepted(), rows=rounds * plan.kill_rows, may_be_twice=resent)
    return {"recovery": seconds, "recovery_held": held}


def _due_rows(count: int) -> list[dict[str, Any]]:
    """Due one after the other, as rows of upstream services are: what a worker holds is older than what waits."""
    now = datetime.now(UTC)
    return [{"due_at": now - timedelta(milliseconds=count - number)} for number in range(count)]


def _kill_busy(victim: Popen[bytes], provider: Provider, *, after_seconds: float) -> tuple[set[str], float]:
    """The keys in its hands when it was killed, and the seconds until the provider had the last of them from another.

    A row whose outcome was being committed in that moment needs no other worker and counts as none.
    """
    _wait(lambda: bool(_held_by(victim)), "the worker to be killed never claimed anything")
    time.sleep(after_seconds)
    killed = time.monotonic()
    victim.kill()
    victim.wait()
    held = _held_by(victim)
    _wait(lambda: _unsent(held) == 0, "dispatches of a killed worker were not taken over")
    last = {key: at for key, at in provider.accepted() if key in held and at > killed}
    return set(last), max(last.values(), default=killed) - killed


def _held_by(worker: Popen[bytes]) -> set[str]:
    return {key for (key,) in fetch_all(_HELD, (worker.pid,))}


def _unsent(keys: set[str] | None = None) -> int:
    return int(fetch_one(_UNSENT, {"keys": None if keys is None else list(keys)})[0])


def _wait(done: Callable[[], bool], otherwise: str) -> None:
    ends = time.monotonic() + _LONGEST_SECONDS
    while not done():
        if time.monotonic() > ends:
            raise MeasuringFailed(otherwise)
        time.sleep(_LOOK_SECONDS)
