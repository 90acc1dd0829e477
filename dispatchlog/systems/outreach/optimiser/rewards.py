"""Closing what was chosen: a reward is an answer, a confirmation or a click within its time, never an open; then learning.

Owns comm_choices' outcome and comm_learned. A choice is looked at when its time is over, rewarded or not, so that quick
answers do not count before slow silence does; and once more when a stop would not be its doing any more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dispatchlog.engine.database import execute, fetch_dicts, transaction
from dispatchlog.systems.outreach.optimiser.choosing import keys_of
from dispatchlog.systems.outreach.optimiser.learning import HALF_LIFE_DAYS

REWARD_HOURS = 72
OPT_OUT_DAYS = 7
# What was not sent by then never counts.
NEVER_SENT_DAYS = 10
_WAITING_HOURS = 6
_ACTOR = "worker"
_MOST_ROUNDS = 25
# What evidence counts that was last added to at `updated_at`.
DISCOUNT = f"power(0.5, greatest(extract(epoch FROM now() - l.updated_at), 0)::float / {86_400 * HALF_LIFE_DAYS})"

# A message that came back says nothing of its hour or text, and one that left much later than planned nothing of its hour.
_LOOK = f"""
SELECT c.job_id, c.kind, c.context, c.patient_id, c.organization_id, c.arm, c.closed_at IS NOT NULL AS is_closed,
    CASE WHEN j.sent_at IS NOT NULL AND j.sent_at + interval '{REWARD_HOURS} hours' > now() THEN 'soon'
        WHEN j.sent_at IS NOT NULL AND (c.kind <> 'channel' AND j.bounced_at IS NOT NULL
            OR c.kind = 'hour' AND abs(extract(epoch FROM j.sent_at - j.scheduled_at)) > 7200) THEN 'void'
        WHEN j.sent_at IS NOT NULL THEN 'over'
        WHEN j.status = 'CANCELLED' OR j.status = 'FAILED' AND NOT j.in_doubt
            OR j.scheduled_at < now() - interval '{NEVER_SENT_DAYS} days' THEN 'void'
        ELSE 'waits' END AS state,
    coalesce(least(j.replied_at, j.answered_at, j.clicked_at) <= j.sent_at + interval '{REWARD_HOURS} hours', false) AS won
FROM comm_choices c JOIN comm_jobs j ON j.id = c.job_id
WHERE c.look_at <= now() ORDER BY c.look_at, c.job_id, c.kind LIMIT %(limit)s FOR UPDATE OF c SKIP LOCKED
"""
_CLOSE = f"""
UPDATE comm_choices c SET closed_at = now(), reward = r.won::int, look_at = j.sent_at + interval '{OPT_OUT_DAYS} days'
FROM unnest(%(jobs)s::uuid[], %(kinds)s::text[], %(won)s::bool[]) AS r (job_id, kind, won), comm_jobs j
WHERE c.job_id = r.job_id AND c.kind = r.kind AND j.id = c.job_id
"""
_VOID = """
UPDATE comm_choices c SET closed_at = now(), void = true, look_at = NULL
FROM unnest(%(jobs)s::uuid[], %(kinds)s::text[]) AS r (job_id, kind) WHERE c.job_id = r.job_id AND c.kind = r.kind
"""
_LATER = f"""
UPDATE comm_choices c
SET look_at = coalesce(j.sent_at + interval '{REWARD_HOURS} hours', now() + interval '{_WAITING_HOURS} hours')
FROM unnest(%(jobs)s::uuid[], %(kinds)s::text[]) AS r (job_id, kind), comm_jobs j
WHERE c.job_id = r.job_id AND c.kind = r.kind AND j.id = c.job_id
"""
_OPTED_OUT = f"""
UPDATE comm_choices c SET look_at = NULL, opted_out = EXISTS (
    SELECT FROM comm_consents s WHERE s.patient_id = c.patient_id AND s.channel = c.channel AND NOT s.given
        AND s.at >= j.sent_at AND s.at <= j.sent_at + interval '{OPT_OUT_DAYS} days')
FROM unnest(%(jobs)s::uuid[], %(kinds)s::text[]) AS r (job_id, kind), comm_jobs j
WHERE c.job_id = r.job_id AND c.kind = r.kind AND j.id = c.job_id
"""
# In the order of their keys, so that no two wait for each other.
_LEARN = f"""
INSERT INTO comm_learned AS l (kind, context, scope, scope_id, arm, tries, wins)
SELECT * FROM unnest(%(kinds)s::text[], %(contexts)s::text[], %(scopes)s::text[], %(owners)s::uuid[], %(arms)s::text[],
    %(tries)s::float[], %(wins)s::float[])
ON CONFLICT (scope_id, kind, context, scope, arm) DO UPDATE SET tries = l.tries * {DISCOUNT} + excluded.tries,
    wins = l.wins * {DISCOUNT} + excluded.wins, updated_at = now()
"""


def close_all(*, limit: int = 2_000) -> int:
    """Close what is due, some tens of thousands at the most; how many."""
    closed = 0
    for _ in range(_MOST_ROUNDS):
        found = close_due(limit=limit)
        closed += found
        if found < limit:
            break
    return closed


def close_due(*, limit: int = 2_000) -> int:
    """Look at the choices whose time it is: close them as rewarded or not and learn from it, leave out what was never sent,
    note who wanted no more; in one transaction. How many were looked at."""
    with transaction(_ACTOR, "what was chosen is judged"):
        rows = fetch_dicts(_LOOK, {"limit": limit})
        over = [row for row in rows if not row["is_closed"] and row["state"] == "over"]
        _write(_CLOSE, over)
        _write(_VOID, [row for row in rows if not row["is_closed"] and row["state"] == "void"])
        _write(_LATER, [row for row in rows if not row["is_closed"] and row["state"] in ("soon", "waits")])
        _write(_OPTED_OUT, [row for row in rows if row["is_closed"]])
        _learn(over)
    return len(rows)


def _write(sql: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if rows:
        names = {"jobs": "job_id", "kinds": "kind", "won": "won"}
        execute(sql, {name: [_plain(row[column]) for row in rows] for name, column in names.items()})


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool) else str(value)


def _learn(rows: Iterable[Mapping[str, Any]]) -> None:
    tries: Counter[tuple[str, ...]] = Counter()
    wins: Counter[tuple[str, ...]] = Counter()
    for row in rows:
        for scope, owner, context in keys_of(row["kind"], row["context"], row["patient_id"], row["organization_id"]):
            key = (str(owner), row["kind"], context, scope, row["arm"])
            tries[key] += 1
            wins[key] += row["won"]
    if tries:
        keys = sorted(tries)
        owners, kinds, contexts, scopes, arms = (list(column) for column in zip(*keys, strict=True))
        execute(
            _LEARN,
            {
                "owners": owners,
                "kinds": kinds,
                "contexts": contexts,
                "scopes": scopes,
                "arms": arms,
                "tries": [float(tries[key]) for key in keys],
                "wins": [float(wins[key]) for key in keys],
            },
        )
