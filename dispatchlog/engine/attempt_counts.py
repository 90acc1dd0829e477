"""How attempts ended and how long they took, by gateway, without counting the whole log. Owns `dispatch_attempt_counts`.

Attempts are added up by spans of ids, once every one of a span has ended: what is counted never changes, so a counter never
goes back. What somebody proves later of an attempt is in the log alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dispatchlog.engine.database import execute, fetch_all, fetch_one, transaction
from dispatchlog.engine.deadline import boottime
from dispatchlog.engine.table_writers import writers_ended

# Upper ends of the spans of time, in seconds; what took longer is in one more.
BOUNDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
NOTHING_SENT = -1
# So many ids at a time, for one transaction, and how long one turn goes on.
MOST_AT_ONCE = 200_000
TURN_SECONDS = 5.0
PATIENCE_SECONDS = 2.0
# An attempt that has no end after this is counted without one: its sender was never heard of again.
ENDLESS_AFTER_SECONDS = 900

# Few classes of many codes: providers make up codes as they like, and every one would be a series of its own.
CLASSES = (
    *("accepted", "AA", "AE", "AR", "CA", "CE", "CR", "2xx", "3xx", "4xx", "5xx"),
    *("timeout", "connection", "credentials", "died", "other"),
)
_CLASS = r"""
CASE WHEN evidence->>'code' IN ('AA', 'AE', 'AR', 'CA', 'CE', 'CR') THEN evidence->>'code'
    WHEN outcome = 'ACCEPTED' THEN 'accepted'
    WHEN code ~ '^(SMTP|HTTP|KWIK)_[2-5][0-9][0-9]$' THEN substr(code, 6, 1) || 'xx'
    WHEN code ~ 'TIMEOUT' THEN 'timeout'
    WHEN code ~ 'UNAUTHORISED|AUTH$|CREDENTIALS' THEN 'credentials'
    WHEN code ~ 'CONNECT|TLS|LOST|RESOLVE' THEN 'connection'
    WHEN code ~ '^WORKER_DIED' THEN 'died'
    ELSE 'other' END
"""
_BUCKET = f"coalesce(width_bucket(latency_ms, ARRAY[{', '.join(str(1000 * bound) for bound in BOUNDS)}]::float8[]), -1)"
_KEEP = f"""
INSERT INTO dispatch_attempt_counts AS c (lane, gateway, outcome, class, bucket, number, repeats, seconds)
    SELECT lane, gateway, coalesce(outcome, 'UNKNOWN'), {_CLASS}, {_BUCKET}, count(*), count(*) FILTER (WHERE number > 1),
        coalesce(sum(latency_ms), 0) / 1000
    FROM dispatch_attempts WHERE id > %s AND id <= %s GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (lane, gateway, outcome, class, bucket) DO UPDATE SET number = c.number + excluded.number,
        repeats = c.repeats + excluded.repeats, seconds = c.seconds + excluded.seconds
"""
_OPEN = f"""
SELECT min(id) FROM dispatch_attempts WHERE id > %s AND id <= %s AND outcome IS NULL
    AND sending_at > clock_timestamp() - {ENDLESS_AFTER_SECONDS} * interval '1 s'
"""


@dataclass(frozen=True, slots=True)
class AttemptCount:
    """So many attempts of a lane by a gateway ended so: how (`Outcome`), the class of the code, which span of BOUNDS.

    `repeats` of them were not the first of their dispatch; `seconds` is how long all of them took.
    """

    lane: str
    gateway: str
    outcome: str
    class_: str
    bucket: int
    number: int
    repeats: int
    seconds: float


def attempt_counts() -> Sequence[AttemptCount]:
    """What is added up."""
    rows = fetch_all(
        "SELECT lane, gateway, outcome, class, bucket, number, repeats, seconds FROM dispatch_attempt_counts"
        " ORDER BY lane, gateway, outcome, class, bucket"
    )
    return [AttemptCount(*row) for row in rows]


def uncounted_attempts() -> int:
    """How many of the newest attempts are not added up; at most a little too many."""
    newest, kept = fetch_one(
        "SELECT coalesce((SELECT max(id) FROM dispatch_attempts), 0), (SELECT up_to FROM dispatch_attempts_counted)"
    )
    return max(0, int(newest - kept))


def keep_all_attempt_counts(*, started_by: str) -> None:
    """`keep_attempt_counts` until nothing is left that has ended, or TURN_SECONDS are over."""
    ends = boottime() + TURN_SECONDS
    while keep_attempt_counts(started_by=started_by) == MOST_AT_ONCE and boottime() < ends:
        pass


def keep_attempt_counts(*, started_by: str) -> int:
    """Add up what has ended since the last time; how many ids that were comes back. Several at once do it once."""
    with transaction(started_by):
        position = fetch_all("SELECT up_to FROM dispatch_attempts_counted FOR UPDATE SKIP LOCKED")
        if not position:
            return 0
        after = position[0][0]
        newest = fetch_one("SELECT coalesce(max(id), 0) FROM dispatch_attempts")[0]
        up_to = min(newest, after + MOST_AT_ONCE)
        if up_to <= after or not writers_ended("dispatch_attempts", patience_seconds=PATIENCE_SECONDS):
            return 0
        still_open = fetch_one(_OPEN, (after, up_to))[0]
        up_to = up_to if still_open is None else still_open - 1
        execute(_KEEP, (after, up_to))
        execute("UPDATE dispatch_attempts_counted SET up_to = %s", (up_to,))
    return int(up_to - after)
