"""What is over: campaigns with nothing left to do or past their last day, and what still waits of those that ended."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from dispatchlog.engine import ledger
from dispatchlog.engine.database import connected, fetch_all, transaction
from dispatchlog.systems.outreach.campaigns import clock, lifecycle, lines
from dispatchlog.systems.outreach.campaigns.expansion import ACTOR
from dispatchlog.systems.outreach.lane import comm_job_lane

AT_ONCE = 5_000
_REASONS = {"stopped": "STOPPED", "end_date": "END_DATE"}
_WORDS = {"stopped": "the campaign was stopped", "end_date": "the campaign's last day is over"}

_WITH_LAST_DAY = """
SELECT id, end_date, timezone FROM comm_campaigns WHERE status IN ('active', 'paused') AND end_date IS NOT NULL
"""
# In one statement, so in one moment: no line waits, none of its messages does, and none of them goes by another channel.
_FINISHED = """
SELECT c.id FROM comm_campaigns c WHERE c.status = 'active' AND c.expanded_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM comm_campaign_sends s WHERE s.campaign_id = c.id AND s.state = 'WAITING')
    AND NOT EXISTS (SELECT FROM comm_jobs j WHERE j.campaign_id = c.id AND j.status IN ('PENDING', 'QUEUED'))
    AND c.id <> ALL (ARRAY(SELECT j.campaign_id FROM comm_jobs j WHERE j.fallback_decided_at IS NULL AND NOT j.in_doubt
        AND (j.status = 'FAILED' OR j.bounced_at IS NOT NULL) AND j.campaign_id IS NOT NULL))
"""
# Loose index scans: one probe per campaign of which something waits. What a worker was just making when a campaign ended is
# found here the next time.
_STILL_WAITING = """
WITH RECURSIVE s AS ((SELECT campaign_id FROM comm_campaign_sends WHERE state = 'WAITING' ORDER BY campaign_id LIMIT 1)
    UNION ALL SELECT n.campaign_id FROM s CROSS JOIN LATERAL (SELECT o.campaign_id FROM comm_campaign_sends o
        WHERE o.state = 'WAITING' AND o.campaign_id > s.campaign_id ORDER BY o.campaign_id LIMIT 1) n),
j AS ((SELECT campaign_id FROM comm_jobs WHERE campaign_id IS NOT NULL AND status IN ('PENDING', 'QUEUED')
        ORDER BY campaign_id LIMIT 1)
    UNION ALL SELECT n.campaign_id FROM j CROSS JOIN LATERAL (SELECT o.campaign_id FROM comm_jobs o
        WHERE o.campaign_id > j.campaign_id AND o.campaign_id IS NOT NULL AND o.status IN ('PENDING', 'QUEUED')
        ORDER BY o.campaign_id LIMIT 1) n)
SELECT c.id, c.ended_reason FROM (SELECT campaign_id FROM s UNION SELECT campaign_id FROM j) w
JOIN comm_campaigns c ON c.id = w.campaign_id WHERE c.status = 'completed'
"""


def settle() -> int:
    """What is over: cancel what waits of stopped campaigns in batches, complete those with nothing left or past their last
    day; how many campaigns were completed."""
    completed = complete_what_is_over()
    while end_what_waits():
        pass
    return completed


def complete_what_is_over() -> int:
    """Complete campaigns that are finished or past their last day; how many."""
    with connected():
        now = datetime.now(UTC)
        past = [each for each, *end in fetch_all(_WITH_LAST_DAY) if _is_past(*end, now=now)]
        completed = sum(lifecycle.complete(each, reason="end_date") for each in past)
        return completed + sum(lifecycle.complete(each, reason="finished") for (each,) in fetch_all(_FINISHED))


def end_what_waits() -> int:
    """Of each campaign that has ended, a batch of its lines and its messages that cannot have left; how many."""
    with connected():
        return sum(_end(*each) for each in fetch_all(_STILL_WAITING))


def _is_past(end_date: object, timezone: str, *, now: datetime) -> bool:
    ends_at = clock.ends_at(end_date, timezone)  # type: ignore[arg-type]
    return ends_at is not None and ends_at <= now


def _end(campaign_id: UUID, ended_reason: str) -> int:
    with transaction(ACTOR, _WORDS.get(ended_reason, "the campaign is over")):
        ended = lines.end(campaign_id, reason=_REASONS.get(ended_reason, "ENDED"), limit=AT_ONCE)
        return ended + ledger.cancel_waiting(comm_job_lane(), campaign_id=campaign_id)
