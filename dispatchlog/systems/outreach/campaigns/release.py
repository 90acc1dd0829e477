"""From lines that are due to messages of lane `comm_job`, a few ahead of what leaves, so that nobody else waits behind.

For each line, in one transaction with its message: exit rules, conditions and frequency are asked; then the orchestrator
decides as for any other message, and the line is MADE (whatever was decided, also a refusal, has a job), SKIPPED with its
reason, or put off. What comes after a step gets its line in the same transaction. A line is one row, its message has a
request key made of it, and both are committed together: whoever is killed between has done nothing, and two that run at
once take different lines.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import psycopg2
import structlog

from dispatchlog.engine.database import connected, fetch_all, fetch_one, transaction
from dispatchlog.engine.errors import DispatchlogError
from dispatchlog.systems.outreach.campaigns import clock, lines, step_deciding, store
from dispatchlog.systems.outreach.campaigns.lines import Line
from dispatchlog.systems.outreach.campaigns.settling import settle
from dispatchlog.systems.outreach.campaigns.store import Campaign
from dispatchlog.systems.outreach.inputs import OutreachError

__all__ = ["AHEAD", "release", "settle"]

log = structlog.get_logger(__name__)

# No more than about so many messages of one campaign wait in the lane for the next hour at a time (each worker may add a
# batch), and ten times as many for later ones, when patients read best.
AHEAD = 2_000
_LATER = 10 * AHEAD
SOON = timedelta(hours=1)
# A transaction's lines: their patients are locked by then, and others who write to them wait.
BATCH = 200
ASKED_AGAIN_AFTER = timedelta(hours=1)

_ACTOR = step_deciding.ASKER.actor
_DUE = """
SELECT c.id FROM comm_campaigns c WHERE c.status = 'active' AND EXISTS (SELECT FROM comm_campaign_sends s
    WHERE s.campaign_id = c.id AND s.state = 'WAITING' AND s.due_at <= now()) ORDER BY c.started_at, c.id
"""
_WAITING = """
SELECT count(*) FILTER (WHERE due_at <= now() + %s), count(*) FROM comm_jobs
WHERE campaign_id = %s AND status IN ('PENDING', 'QUEUED')
"""
_TURN_LOST = (psycopg2.errors.DeadlockDetected, psycopg2.errors.SerializationFailure)
# What one line can be the cause of, and no other line with it.
_DEFECTS = (DispatchlogError, ValueError, TypeError, LookupError, psycopg2.DataError, psycopg2.IntegrityError)


def release(*, limit: int = 500) -> int:
    """Decide what is due of all active campaigns, the same share for each; how many lines were decided. Runs of several
    processes take different lines. A campaign that cannot be judged (its segment was broken) is logged as
    CAMPAIGN_NOT_RELEASED and holds up no other."""
    with connected():
        due = [campaign_id for (campaign_id,) in fetch_all(_DUE)]
        return sum(_share(campaign_id, max(1, limit // len(due))) for campaign_id in due)


def _share(campaign_id: UUID, limit: int) -> int:
    decided = 0
    try:
        campaign = store.campaign(campaign_id)
        ends_at = clock.ends_at(campaign.end_date, campaign.timezone)
        if ends_at is not None and ends_at <= datetime.now(UTC):
            return 0
        limit = min(limit, _room(campaign_id))
        while decided < limit and (done := _batch(campaign, min(BATCH, limit - decided))):
            decided += done
    except OutreachError as error:
        log.error("CAMPAIGN_NOT_RELEASED", campaign_id=str(campaign_id), code=error.code, field=error.field)
    except _TURN_LOST:
        log.info("CAMPAIGN_TURN_LOST", campaign_id=str(campaign_id))  # nothing was kept; the next time
    return decided


def _room(campaign_id: UUID) -> int:
    soon, all_of_them = fetch_one(_WAITING, (SOON, campaign_id))
    return max(0, min(AHEAD - int(soon), _LATER - int(all_of_them)))


def _batch(campaign: Campaign, limit: int) -> int:
    """Decide so many lines in one transaction, or one by one where something among them cannot be decided."""
    claimed: list[Line] = []
    try:
        return _decide(campaign, limit, claimed)
    except OutreachError:
        raise
    except _DEFECTS as error:
        if len(claimed) == 1:
            log.exception("CAMPAIGN_DEFECT", campaign_id=str(campaign.id))
            _give_up(campaign, claimed[0], error)
            return 1
        if not claimed:
            raise
    return sum(_batch(campaign, 1) for _ in claimed)


def _decide(campaign: Campaign, limit: int, claimed: list[Line]) -> int:
    with transaction(_ACTOR):
        claimed += lines.claim(campaign.id, limit=limit)
        decided = step_deciding.decide(campaign, claimed) if claimed else []
        lines.write(campaign, decided)
    return len(decided)


def _give_up(campaign: Campaign, line: Line, error: Exception) -> None:
    """A line that cannot be decided must not keep all that come after it. What cannot be opened may be so later, where the
    right secret key is back."""
    until = datetime.now(UTC) + ASKED_AGAIN_AFTER
    if isinstance(error, DispatchlogError):
        decided = lines.put_off(line, error.code, until)
    else:
        decided = lines.skipped(line, "DEFECT")
    with transaction(_ACTOR):
        lines.write(campaign, [decided])
