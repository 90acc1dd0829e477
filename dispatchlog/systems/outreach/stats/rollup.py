"""Counting messages as they are sent and heard of. Owns comm_stats, comm_campaign_stats and comm_stat_changes.

A trigger of `comm_jobs` writes what changed in the same transaction, so nothing is lost and nothing counted twice; here it
is added up and taken away, in one transaction too. A day (UTC) is that on which a message was sent.

In every snapshot of the database the figures and the changes that wait are together what counting the log gives.
"""

from __future__ import annotations

from datetime import date

from dispatchlog.engine.database import connected, execute, fetch_dicts, fetch_one, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.outreach.stats.reading import COUNTS

ACTOR = "outreach-figures"
# So many changes in one transaction.
AT_ONCE = 50_000
KEY = "date, organization_id, provider_id, channel, purpose"
CAMPAIGN_KEY = "campaign_id, step, variant, channel"
_NAMES = ", ".join(f"{name}_count" for name in COUNTS)
_SUMS = ", ".join(f"sum({name}_count)::bigint AS {name}_count" for name in COUNTS)
_MINUS = ", ".join(f"-{name}_count" for name in COUNTS)
_NOTHING = ", ".join("0" for _ in COUNTS)
_ADD = ", ".join(f"{name}_count = s.{name}_count + excluded.{name}_count" for name in COUNTS)
_SET = ", ".join(f"{name}_count = excluded.{name}_count" for name in COUNTS)
_IS_NOTHING = " AND ".join(f"{name}_count = 0" for name in COUNTS)
_OLD = ", ".join(f"s.{name}_count" for name in COUNTS)
_NEW = ", ".join(f"excluded.{name}_count" for name in COUNTS)

# In one order, so that of two at once neither holds what the other waits for.
_FOLD = f"""
WITH taken AS (
    DELETE FROM comm_stat_changes WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM comm_stat_changes ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))
    RETURNING {KEY}, campaign_id, step, variant, {_NAMES}
), days AS (
    INSERT INTO comm_stats AS s ({KEY}, {_NAMES})
        SELECT {KEY}, {_SUMS} FROM taken GROUP BY {KEY} ORDER BY {KEY}
    ON CONFLICT ({KEY}) DO UPDATE SET {_ADD}, updated_at = now()
    RETURNING 1
), campaigns AS (
    INSERT INTO comm_campaign_stats AS s ({CAMPAIGN_KEY}, {_NAMES})
        SELECT {CAMPAIGN_KEY}, {_SUMS} FROM taken WHERE campaign_id IS NOT NULL
        GROUP BY {CAMPAIGN_KEY} ORDER BY {CAMPAIGN_KEY}
    ON CONFLICT ({CAMPAIGN_KEY}) DO UPDATE SET {_ADD}, updated_at = now()
    RETURNING 1
)
SELECT (SELECT count(*) FROM taken), (SELECT count(*) FROM days), (SELECT count(*) FROM campaigns)
"""

_COUNT = ", ".join(f"count({name}_at) AS {name}_count" for name in COUNTS)
_SENT = (
    "sent_at >= %(first)s::date::timestamp AT TIME ZONE 'UTC'"
    " AND sent_at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'"
)
_LOG = f"""
SELECT {KEY}, {_COUNT} FROM (SELECT *, (sent_at AT TIME ZONE 'UTC')::date AS date FROM comm_jobs WHERE {_SENT}) sent
GROUP BY {KEY}
"""
_DAYS = "date BETWEEN %(first)s AND %(last)s"
# Whatever is counted of messages of those days was counted since then.
# A campaign is counted as a whole, so one that has lost messages to their age keeps the figures that it has.
_CAMPAIGNS = f"""
SELECT campaign_id FROM (
    SELECT campaign_id FROM comm_campaign_stats WHERE updated_at >= %(first)s::date::timestamp AT TIME ZONE 'UTC'
    UNION SELECT campaign_id FROM comm_jobs WHERE campaign_id IS NOT NULL AND {_SENT}) sent
WHERE NOT EXISTS (SELECT FROM comm_campaigns c, retention_runs r
    WHERE c.id = sent.campaign_id AND r.policy = 'comm_job' AND r.newest >= coalesce(c.started_at, c.created_at))
"""
# Of messages that were deleted for their age, the newest was last touched then; none was sent later.
_GONE = "SELECT (max(newest) AT TIME ZONE 'UTC')::date FROM retention_runs WHERE policy = 'comm_job'"
_CAMPAIGN_LOG = f"""
SELECT {CAMPAIGN_KEY}, {_COUNT} FROM (
    SELECT *, coalesce(campaign_step, '') AS step, coalesce(ab_variant, '') AS variant FROM comm_jobs
    WHERE campaign_id IN (SELECT campaign_id FROM asked) AND sent_at IS NOT NULL) sent
GROUP BY {CAMPAIGN_KEY}
"""
# What counting gives, less what waits and will be added yet.
_REBUILD = f"""
INSERT INTO comm_stats AS s ({KEY}, {_NAMES})
    SELECT {KEY}, {_SUMS} FROM (
        SELECT {KEY}, {_NAMES} FROM ({_LOG}) log
        UNION ALL SELECT {KEY}, {_MINUS} FROM comm_stat_changes WHERE {_DAYS}
        UNION ALL SELECT {KEY}, {_NOTHING} FROM comm_stats WHERE {_DAYS}
    ) found GROUP BY {KEY} ORDER BY {KEY}
ON CONFLICT ({KEY}) DO UPDATE SET {_SET}, updated_at = now() WHERE ({_OLD}) IS DISTINCT FROM ({_NEW})
"""
_REBUILD_CAMPAIGNS = f"""
WITH asked AS ({_CAMPAIGNS})
INSERT INTO comm_campaign_stats AS s ({CAMPAIGN_KEY}, {_NAMES})
    SELECT {CAMPAIGN_KEY}, {_SUMS} FROM (
        SELECT {CAMPAIGN_KEY}, {_NAMES} FROM ({_CAMPAIGN_LOG}) log
        UNION ALL SELECT {CAMPAIGN_KEY}, {_MINUS} FROM comm_stat_changes
            WHERE campaign_id IN (SELECT campaign_id FROM asked)
        UNION ALL SELECT {CAMPAIGN_KEY}, {_NOTHING} FROM comm_campaign_stats
            WHERE campaign_id IN (SELECT campaign_id FROM asked)
    ) found GROUP BY {CAMPAIGN_KEY} ORDER BY {CAMPAIGN_KEY}
ON CONFLICT ({CAMPAIGN_KEY}) DO UPDATE SET {_SET}, updated_at = now() WHERE ({_OLD}) IS DISTINCT FROM ({_NEW})
"""
_DIFFERENCES = f"""
SELECT {KEY}, NULL::uuid AS campaign_id, '' AS step, '' AS variant, {_SUMS} FROM (
    SELECT {KEY}, {_NAMES} FROM comm_stats WHERE {_DAYS}
    UNION ALL SELECT {KEY}, {_NAMES} FROM comm_stat_changes WHERE {_DAYS}
    UNION ALL SELECT {KEY}, {_MINUS} FROM ({_LOG}) log
) found GROUP BY {KEY} HAVING NOT ({" AND ".join(f"sum({name}_count) = 0" for name in COUNTS)})
UNION ALL
SELECT NULL, NULL, NULL, channel, '', campaign_id, step, variant, {_SUMS} FROM (
    WITH asked AS ({_CAMPAIGNS})
    SELECT {CAMPAIGN_KEY}, {_NAMES} FROM comm_campaign_stats WHERE campaign_id IN (SELECT campaign_id FROM asked)
    UNION ALL SELECT {CAMPAIGN_KEY}, {_NAMES} FROM comm_stat_changes WHERE campaign_id IN (SELECT campaign_id FROM asked)
    UNION ALL SELECT {CAMPAIGN_KEY}, {_MINUS} FROM ({_CAMPAIGN_LOG}) log
) found GROUP BY {CAMPAIGN_KEY} HAVING NOT ({" AND ".join(f"sum({name}_count) = 0" for name in COUNTS)})
ORDER BY date, campaign_id
"""


class MessagesGone(DispatchlogError):
    """The log has not all messages of those days any more."""

    code = "MESSAGES_GONE"


def fold(*, limit: int = AT_ONCE) -> int:
    """Add up what changed; how many changes. Several processes may do it at once."""
    with transaction(ACTOR):
        return int(fetch_one(_FOLD, (limit,))[0])


def fold_all() -> int:
    """Until what waited is counted; how many changes. What comes meanwhile may be left to the next time."""
    total = done = fold()
    while done == AT_ONCE:
        done = fold()
        total += done
    return total


def rebuild(first: date, last: date) -> int:
    """Count the days anew from the log, in one transaction, while messages go on; how many rows were written.

    Campaigns that sent something on those days are counted anew as a whole. Folding waits until it is done.

    Raises:
        MessagesGone: messages of those days were deleted for their age, and the figures are all that is left.
    """
    days = {"first": first, "last": last}
    with transaction(ACTOR):
        _refuse_gone(first)
        # Whoever folds writes here first: it is before or after, and what each statement sees is whole.
        execute("LOCK TABLE comm_stats IN SHARE ROW EXCLUSIVE MODE")
        written = int(execute(_REBUILD, days).rowcount) + int(execute(_REBUILD_CAMPAIGNS, days).rowcount)
        execute(f"DELETE FROM comm_stats WHERE {_DAYS} AND {_IS_NOTHING}", days)
        execute(f"DELETE FROM comm_campaign_stats WHERE {_IS_NOTHING}")
    return written


def differences(first: date, last: date) -> list[dict[str, object]]:
    """Where the figures, with what is not added up yet, are not what counting the log gives. Empty, unless there is a bug.

    Each names its day and kind, or its campaign, step, variant and channel, and how many too many the figures have.

    Raises:
        MessagesGone: messages of those days were deleted for their age, so there is nothing to compare with.
    """
    with connected():
        _refuse_gone(first)
        return fetch_dicts(_DIFFERENCES, {"first": first, "last": last})


def _refuse_gone(first: date) -> None:
    gone = fetch_one(_GONE)[0]
    if gone is not None and first <= gone:
        raise MessagesGone(f"messages until {gone} were deleted for their age; ask for days after it")


def behind_seconds() -> float:
    """How old the oldest change is that is not counted yet; 0 where none waits."""
    with connected():
        found = fetch_one(
            "SELECT extract(epoch FROM clock_timestamp() - (SELECT at FROM comm_stat_changes ORDER BY id LIMIT 1))::float8"
        )
    return max(0.0, float(found[0] or 0.0))
